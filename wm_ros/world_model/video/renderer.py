# SPDX-License-Identifier: Apache-2.0
"""Draws imagined frames: what stays is copied from the present image, what the hand carries is
copied from where it is now, and the rest is painted.

A few latents a frame cannot hold the grain of a table; the camera has just seen it. So the
renderer gets the present image beside the imagined latents and decides for each pixel how much
of it still holds, there or moved with the hand (cf. Finn et al. 2016, masks over moved pixels;
reference decoders of video codecs). What is hand, or held by it, shows by where it lies.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from wm_ros.world_model.video.config import VideoConfig
from wm_ros.world_model.video.tokeniser import Residual
from wm_ros.world_model.video.way import carried

REACH = 0.1  # m around the tool, within which places are told apart finely
FAR = 2.5  # REACH: further away all is alike
PLACE_DIM = 4
SEEN = 2 * (3 + PLACE_DIM)  # numbers a pixel: colours and place, there and carried
WIDE, FINE = 12, 16  # channels at full size: of what is foreseen, and of the painting


class Renderer(nn.Module):
    """Latents of a future frame, with the present frame and its latents -> that frame."""

    def __init__(self, config: VideoConfig):
        super().__init__()
        c, z = config.tokeniser_conv, config.latent_channels
        self.side = config.latent_side
        self.change = nn.Sequential(nn.Conv2d(3 * z, 4 * c, 3, padding=1), Residual(4 * c),
                                    Residual(4 * c))
        self.up_a = nn.ConvTranspose2d(4 * c, 2 * c, 2, 2)
        self.middle = Residual(2 * c)
        self.up_b = nn.ConvTranspose2d(2 * c, c, 2, 2)
        # what the present image and the carried one show around each place, at a quarter of
        # their size
        self.look = nn.Sequential(nn.Conv2d(SEEN, c, 4, 4), Residual(c))
        self.fine = nn.Sequential(nn.Conv2d(2 * c, 2 * c, 3, padding=1), Residual(2 * c))
        self.up_c = nn.Sequential(nn.Conv2d(2 * c, 16 * WIDE, 1), nn.PixelShuffle(4))
        # at full size, for edges are sharp: painted colour, and how much of it and of what is
        # carried: (3 + 2) numbers a pixel
        self.paint = nn.Sequential(
            nn.Conv2d(WIDE + SEEN + 3, FINE, 3, padding=1), nn.SiLU(),
            nn.Conv2d(FINE, FINE, 3, padding=1), nn.SiLU(), nn.Conv2d(FINE, 5, 1))

    def forward(self, latents: Tensor, present: Tensor, image: Tensor, coarse: Tensor,
                way: Tensor, place: Tensor) -> Tensor:
        """Draw.

        :param latents: (B, T, C) of the future frame;  ``present`` (B, T, C) of the present one
        :param image: (B, 3, H, W) the present frame in [-1, 1]
        :param coarse: (B, 3, H, W) what the tokeniser makes of ``latents`` alone
        :param way: (B, WAY_DIM) the tool's, to that frame; 0 where it is not known
        :param place: (B, PLACE_DIM, H, W) of what the present frame shows, see :func:`places`
        :returns: (B, 3, H, W), about [-1, 1]
        """
        cells = torch.cat([latents, present, latents - present], -1)
        cells = cells.transpose(1, 2).unflatten(2, (self.side, self.side))
        x = self.up_b(self.middle(self.up_a(self.change(
            cells.contiguous(memory_format=torch.channels_last)))))
        now = torch.cat([image, place], 1)
        then = carried(now, way)
        seen = torch.cat([now, then], 1).contiguous(memory_format=torch.channels_last)
        x = self.fine(torch.cat([x, self.look(seen)], 1))
        painted = self.paint(torch.cat([self.up_c(x), seen, coarse], 1)).float()
        share = torch.cat([torch.ones_like(image[:, :1]), painted[:, 3:]], 1).softmax(1)
        return (share[:, :1] * image + share[:, 1:2] * (coarse + painted[:, :3])
                + share[:, 2:] * then[:, :3])

    def loss(self, latents: Tensor, present: Tensor, image: Tensor, coarse: Tensor,
             way: Tensor, place: Tensor, target: Tensor) -> Tensor:
        """Distance of the drawing to the true frame ``target`` (B, 3, H, W)."""
        error = self(latents, present, image, coarse, way, place).float() - target
        return error.abs().mean() + 4 * error.square().mean()


def places(points: Tensor, height: Tensor) -> Tensor:
    """Where what each pixel shows lies, seen from the tool, in units of ``REACH``.

    :param points: (B, H, W, 3) m, in base axes from the tool, see :func:`point_map`
    :param height: (B,) m of the tool over the base
    :returns: (B, PLACE_DIM, H, W): the point, and its height over the base
    """
    up = points[..., 2:] + height[:, None, None, None]
    return (torch.cat([points, up], -1) / REACH).clamp(-FAR, FAR).permute(0, 3, 1, 2)


def noisy(latents: Tensor, most: float = 0.5) -> Tensor:
    """Latents as uncertain as imagined ones: what has not changed must be copied all the same."""
    spread = most * torch.rand(len(latents), 1, 1, device=latents.device)
    return latents + spread * torch.randn_like(latents)
