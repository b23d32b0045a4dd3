# SPDX-License-Identifier: Apache-2.0
"""Where the things are that the words name: the tool's next key poses, found in both cameras.

A small U-Net sees the scene camera's pixels with their 3D points and votes: every cell of a
48 x 48 map says how likely the key pose belongs to what it shows (heat), and how far it lies from
there. The votes around the hottest cell are averaged, so that two like things do not end in a
point between them (heat maps as in Shridhar et al. 2021, CLIPort; votes as in Peng et al. 2019,
PVNet). What the wrist camera sees then shifts the next key pose by the last centimetres, where
the hand hides the thing from the scene camera (coarse to fine as in James et al. 2022), and by the
turn that is left: only from close by can a handle or an edge be told.
"""
from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wm_ros.world_model.text import DIM as TEXT_DIM
from wm_ros.world_model.video.parts import POINT_SCALE, PROPRIO_DIM, FilmBlock, fourier, grid

WINDOW = 0.06 / POINT_SCALE  # around the hottest cell, whose votes count
HAND = slice(9, PROPRIO_DIM)  # of the proprioception: width and wrench say what comes next
LOOKS = 8  # places in the wrist image that are looked at


class KeyPoses(NamedTuple):
    """Where the tool will be at its next ``K`` grasps or releases; a push has its end.

    :param heat: (B, K, N) logits over the scene's cells;  ``cells`` (B, N, 3) their points
    :param votes: (B, K, N, 3) where each cell takes the key pose to be
    :param where: (B, K, 3) what the votes agree on, offset from the tool;  ``refined`` the same
        with what the wrist camera shows;  all in POINT_SCALE units, base axes
    :param axes: (B, K, N, 2) cosine and sine of twice the heading that each cell takes the fingers
        to have there: turned by half a turn, a gripper is the same
    :param turn: (B, K, 2) sine and cosine of twice the turn about the vertical, from the tool
    :param seen: (B, K, S) what was seen there
    """

    heat: Tensor
    cells: Tensor
    votes: Tensor
    axes: Tensor
    where: Tensor
    turn: Tensor
    refined: Tensor
    seen: Tensor


class Locator(nn.Module):
    """Images, points, proprioception and words -> :class:`KeyPoses`.

    :param channels: of the finest map;  ``width`` of the condition;  ``image_size`` of the
        images, a multiple of 16
    """

    COUNT = 2

    def __init__(self, channels: int, image_size: int = 96, width: int = 96):
        super().__init__()
        c, w = channels, width
        self.words = nn.Sequential(nn.Linear(TEXT_DIM, w), nn.SiLU(), nn.Linear(w, w))
        self.hand = nn.Linear(PROPRIO_DIM - HAND.start, w)
        self.scene = UNet(9, c, w)
        self.wrist = UNet(3, c, w)
        self.vote = nn.Conv2d(c, self.COUNT * 6, 1)
        self.look = nn.Conv2d(c, LOOKS, 1)
        # how a thing lies is told by where its parts are: means over places do not know
        self.spread = nn.Linear(4 * c * (image_size // 16) ** 2, 4 * c)
        felt = 5 * c + 3 * LOOKS
        self.size = felt + 2  # of what was seen
        inner = 128
        self.near = nn.Sequential(
            nn.Linear(felt + 2 + 3 * 13 + PROPRIO_DIM + w, inner), nn.SiLU(),
            nn.Linear(inner, inner), nn.SiLU())
        self.shift = nn.Linear(inner, 5)
        nn.init.zeros_(self.shift.weight)
        nn.init.zeros_(self.shift.bias)

    def forward(self, scene: Tensor, points: Tensor, wrist: Tensor, proprio: Tensor,
                text: Tensor) -> KeyPoses:
        """Find the key poses.

        :param scene: (B, 3, H, W) in [-1, 1];  ``wrist`` likewise
        :param points: (B, 3, H, W) relative to the tool, base axes, POINT_SCALE units
        :param proprio: (B, 19);  ``text`` (B, 384)
        """
        dtype = self.hand.weight.dtype
        condition = self.words(text.to(dtype)) + self.hand(proprio[:, HAND].to(dtype))
        place = points + proprio[:, :3, None, None]  # in the room, not only from the tool
        x = torch.cat([scene, points / 2, place], 1).to(dtype)
        fine, _ = self.scene(x, condition)
        votes = self.vote(fine).unflatten(1, (self.COUNT, 6)).flatten(3).float()  # (B, K, 6, N)
        cells = F.avg_pool2d(points, 2).flatten(2).transpose(1, 2)
        heat, offset = votes[:, :, 0], votes[:, :, 1:4].transpose(2, 3)
        axes = votes[:, :, 4:].transpose(2, 3)
        where, weights = agreed(heat, cells, cells[:, None] + offset)
        features = fine.flatten(2).transpose(1, 2)
        seen = weights.to(dtype) @ features  # (B, K, c)

        # close to the lens nothing is small
        near, deep = self.wrist(F.avg_pool2d(wrist, 2).to(dtype), condition)
        attention = self.look(near).flatten(2).float().softmax(-1)
        looks = attention @ grid(near).to(attention)  # (B, LOOKS, 2)
        peak = attention.amax(-1)
        spread = F.silu(self.spread(deep.flatten(1))).float()
        felt = torch.cat([looks.flatten(1), peak, spread], 1)
        rotation = hand_rotation(proprio)
        turn = turned((weights[:, :, None] @ axes)[:, :, 0], rotation[:, None], -1).flip(-1)
        local = (where.detach()[:, :, None] @ rotation[:, None])[:, :, 0]  # in the hand's axes
        seen = torch.cat([seen.float(), felt[:, None].expand(-1, self.COUNT, -1)], -1)
        body = torch.cat([proprio, condition.float()], 1)[:, None].expand(-1, self.COUNT, -1)
        each = torch.cat([seen, turn, local, fourier(local), body], -1)
        shift = self.shift(self.near(each.to(dtype))).float()
        refined = where.detach() + (rotation[:, None] @ shift[..., :3, None])[..., 0]
        turn = turn + shift[..., 3:]
        seen = torch.cat([seen, turn], -1)  # its length tells how sure it is
        return KeyPoses(heat, cells, cells[:, None] + offset, axes, where, turn, refined,
                        seen.to(dtype))


class UNet(nn.Module):
    """(B, inputs, H, W) -> (B, c, H/2, W/2) with context, and (B, 4 c, H/8, W/8)."""

    def __init__(self, inputs: int, channels: int, condition: int):
        super().__init__()
        c = channels
        self.stem = nn.Conv2d(inputs, c, 4, 2, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(c, 2 * c, 2, 2), nn.Conv2d(2 * c, 4 * c, 2, 2)])
        self.middle = FilmBlock(2 * c, condition)
        self.coarse = nn.ModuleList([FilmBlock(4 * c, condition) for _ in range(2)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(4 * c, 2 * c, 2, 2),
                                 nn.ConvTranspose2d(2 * c, c, 2, 2)])
        self.end = nn.ModuleList([FilmBlock(2 * c, condition), FilmBlock(c, condition)])

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        y = self.middle(self.down[0](F.silu(x)), condition)
        z = self.down[1](F.silu(y))
        for block in self.coarse:
            z = block(z, condition)
        y = self.end[0](y + self.up[0](z), condition)
        return self.end[1](x + self.up[1](y), condition), z


def agreed(heat: Tensor, cells: Tensor, votes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the votes of the cells around the hottest one, by their heat.

    :param heat: (B, K, N);  ``cells`` (B, N, 3);  ``votes`` (B, K, N, 3)
    :return: (B, K, 3) and the weights (B, K, N)
    """
    hottest = heat.argmax(-1)  # (B, K)
    centre = cells.gather(1, hottest[..., None].expand(-1, -1, 3))
    away = (cells[:, None] - centre[:, :, None]).square().sum(-1)
    weights = heat.masked_fill(away > WINDOW ** 2, -math.inf).softmax(-1)
    return (weights[:, :, None] @ votes)[:, :, 0], weights


def turned(axes: Tensor, rotation: Tensor, sign: int) -> Tensor:
    """Axes (..., 2), cosine and sine of twice a heading, into the base's frame (``sign`` 1) or
    the hand's (-1); ``rotation`` (..., 3, 3) of a hand that points down (or up)."""
    x = F.normalize(rotation[..., :2, 0], dim=-1)
    cos, sin = x[..., 0].square() - x[..., 1].square(), sign * 2 * x[..., 0] * x[..., 1]
    return torch.stack([axes[..., 0] * cos - axes[..., 1] * sin,
                        axes[..., 1] * cos + axes[..., 0] * sin], -1)


def hand_rotation(proprio: Tensor) -> Tensor:
    """(B, 19) proprioception -> (B, 3, 3) rotation of the tool in the base frame."""
    two = proprio[:, 3:9].unflatten(1, (3, 2))
    third = torch.linalg.cross(two[..., 0], two[..., 1])
    return torch.cat([two, third[..., None]], -1)
