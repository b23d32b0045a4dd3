# SPDX-License-Identifier: Apache-2.0
"""Two camera images -> one latent of some hundred numbers. No proprioception enters."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wm_ros.world_model.jepa.config import JepaConfig
from wm_ros.world_model.video.parts import grid
from wm_ros.world_model.video.tokeniser import Residual


class Camera(nn.Module):
    """(B, 3, H, W) -> patches (B, 4 conv, H/16, W/16), channels last in memory, and ``points``
    places in the image (B, 2 * points).

    Patches tell what is where by 16 px. Where exactly, the mean place of a softmax over a finer
    map tells (Levine et al. 2016, arXiv 1504.00702, section 5.1).
    """

    def __init__(self, conv: int, points: int):
        super().__init__()
        c = conv
        self.fine = nn.Sequential(nn.Conv2d(3, c, 5, 4, padding=1), nn.SiLU())
        self.middle = nn.Sequential(nn.Conv2d(c, 2 * c, 3, 2, padding=1), Residual(2 * c))
        self.coarse = nn.Sequential(nn.Conv2d(2 * c, 4 * c, 3, 2, padding=1), Residual(4 * c))
        self.finer = nn.Conv2d(2 * c, 4 * c, 1)
        self.sharp = nn.Sequential(Residual(c), nn.SiLU(), nn.Conv2d(c, points, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(x.contiguous(memory_format=torch.channels_last))
        middle = self.middle(fine)
        # as wide as deep: what a cell is part of, at each of its four fine places
        maps = self.sharp(fine + F.pixel_shuffle(self.finer(middle), 2))
        weights = maps.flatten(2).float().softmax(2)  # (B, points, h w)
        places = weights @ grid(maps).to(weights)
        return self.coarse(middle), places.flatten(1)


class Block(nn.Module):
    """Pre-norm transformer block over a set of patches."""

    def __init__(self, width: int, heads: int, expansion: int):
        super().__init__()
        self.heads = heads
        self.norm_a, self.norm_b = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(),
                                  nn.Linear(expansion * width, width))

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm_a(x)).unflatten(2, (3, self.heads, -1))  # (B, T, 3, h, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.out(seen)
        return x + self.feed(self.norm_b(x))


class Encoder(nn.Module):
    """Scene and wrist image -> latent.

    Convolutions make 16 px patches, attention joins the two cameras, and a projector with
    BatchNorm makes one vector of all patches: LayerNorm as the last one would keep SIGReg from
    shaping the distribution (LeWorldModel, section 3). Every patch keeps a place of its own in
    the projector, since a goal is reached when things are *where* they are in its image.
    """

    def __init__(self, config: JepaConfig):
        super().__init__()
        width = 4 * config.conv
        scene, wrist = (config.image_size // 16)**2, (config.image_size // 32)**2
        self.scene = Camera(config.conv, config.points)
        self.wrist = Camera(config.conv, config.points)
        self.place = nn.Parameter(0.02 * torch.randn(scene + wrist, width))
        self.blocks = nn.ModuleList(Block(width, config.heads, config.expansion)
                                    for _ in range(config.encoder_blocks))
        self.cell = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.cell))
        self.projector = nn.Sequential(
            nn.Linear((scene + wrist) * config.cell + 4 * config.points, config.projector),
            nn.BatchNorm1d(config.projector), nn.GELU(),
            nn.Linear(config.projector, config.latent))

    def forward(self, scene: Tensor, wrist: Tensor) -> Tensor:
        """Encode.

        :param scene: (B, 3, S, S) in [-1, 1];  ``wrist`` (B, 3, S/2, S/2)
        :returns: (B, D)
        """
        (far, where), (near, there) = self.scene(scene), self.wrist(wrist)
        patches = torch.cat([far.flatten(2), near.flatten(2)], 2)
        x = patches.transpose(1, 2) + self.place  # (B, T, width)
        for block in self.blocks:
            x = block(x)
        z: Tensor = self.projector(torch.cat([self.cell(x).flatten(1), where, there], 1))
        return z


def prepare(scene: Tensor, wrist: Tensor) -> tuple[Tensor, Tensor]:
    """(B, S, S, 3) uint8 images -> what the encoder eats; the wrist's at half its size."""
    scene, wrist = (x.permute(0, 3, 1, 2).contiguous() for x in (scene, wrist))
    corners = sum(wrist[..., i::2, j::2].short() for i in (0, 1) for j in (0, 1))
    assert isinstance(corners, Tensor)
    # in place: these images are most of what a training step moves through memory
    return (scene.float().mul_(1 / 127.5).sub_(1.0), corners.float().mul_(1 / 510).sub_(1.0))
