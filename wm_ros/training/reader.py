# SPDX-License-Identifier: Apache-2.0
"""A network that reads off the images where the robot's hand is: what is needed to learn from
episodes that hold nothing but images (Baker et al. 2022, VPT, arXiv 2206.11795)."""
from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wm_ros.training.losses import masked
from wm_ros.world_model.video.inputs import Inputs
from wm_ros.world_model.video.locator import LOOKS, UNet
from wm_ros.world_model.video.parts import POINT_SCALE, fourier, grid

FINE = 0.004 / POINT_SCALE  # where a miss counts less than in proportion
FAR = 6.0  # POINT_SCALE units: what lies further off is behind the room


class Hand(NamedTuple):
    """What is read off the images of B moments, in the order and the units of proprioception.

    :param seen: (B, 3) tool, by the scene camera alone;  ``place`` (B, 3) by both cameras
    :param rotation: (B, 6) the first two columns of the tool's rotation, by rows
    :param fingers: (B, 2) their opening, and what they had been told before, -1 closed to 1 open
    """

    seen: Tensor
    place: Tensor
    rotation: Tensor
    fingers: Tensor


class Losses(NamedTuple):
    """Means over a batch."""

    seen: Tensor
    place: Tensor
    rotation: Tensor
    fingers: Tensor

    def total(self) -> Tensor:
        return 2 * (self.seen + self.place) + self.rotation + self.fingers


class Reader(nn.Module):
    """Both cameras' images and the scene's points -> :class:`Hand`.

    Cells of the scene vote for the tool's place as those of the locator do; the wrist camera,
    which is fixed to the hand, tells fingers and heading.

    :param channels: of the finest map;  ``image_size`` of the images, a multiple of 16
    """

    def __init__(self, channels: int, image_size: int, width: int = 16):
        super().__init__()
        c = channels
        self.condition = nn.Parameter(torch.zeros(1, width))  # the U-Nets are told nothing
        self.scene, self.wrist = UNet(6, c, width), UNet(3, c, width)
        self.vote, self.look = nn.Conv2d(c, 4, 1), nn.Conv2d(c, LOOKS, 1)
        self.spread = nn.Linear(4 * c * (image_size // 16) ** 2, 4 * c)
        self.near = nn.Sequential(nn.Linear(5 * c + 2 * LOOKS + 3 * 13, 128), nn.SiLU(),
                                  nn.Linear(128, 128), nn.SiLU())
        self.end = nn.Linear(128, 3 + 6 + 2)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)

    def forward(self, scene: Tensor, points: Tensor, wrist: Tensor) -> Hand:
        """Read the hand.

        :param scene: (B, 3, H, W) in [-1, 1];  ``wrist`` likewise
        :param points: (B, 3, H, W) see :func:`room`
        """
        condition = self.condition.expand(len(scene), -1)
        fine, _ = self.scene(torch.cat([scene, points / 2], 1), condition)
        votes = self.vote(fine).flatten(2).float()
        heat = votes[:, :1].softmax(-1)
        seen = (heat * (F.avg_pool2d(points, 2).flatten(2) + votes[:, 1:])).sum(-1)
        near, deep = self.wrist(F.avg_pool2d(wrist, 2), condition)
        looks = self.look(near).flatten(2).float().softmax(-1) @ grid(near).float()
        spread = F.silu(self.spread(deep.flatten(1))).float()
        rough = seen.detach()
        end = self.end(self.near(torch.cat([
            (heat * fine.flatten(2).float()).sum(-1), spread, looks.flatten(1), rough,
            fourier(rough)], 1))).float()
        return Hand(seen, rough + end[:, :3], end[:, 3:9], end[:, 9:])


def room(inputs: Inputs) -> Tensor:
    """(B, 3, H, W) points of the scene in the base's frame, from where the proprioception counts:
    the same wherever the tool was said to be."""
    tool = inputs.proprio[:, :3, None, None]
    return ((inputs.points / POINT_SCALE).permute(0, 3, 1, 2) + tool).clamp(-FAR, FAR)


def read(reader: Reader, inputs: Inputs) -> Hand:
    """The hand in a batch; what the inputs say of it is not looked at."""
    return reader(inputs.scene, room(inputs), inputs.wrist)


def losses(hand: Hand, inputs: Inputs, told: Tensor, known: Tensor) -> Losses:
    """How far it is off.

    :param told: (B,) what the fingers had been told, -1 to 1, where it is ``known`` (B,)
    """
    place, rotation, width = inputs.proprio[:, :3], inputs.proprio[:, 3:9], inputs.proprio[:, 9]
    fingers = torch.stack([width, told], 1)
    off = F.smooth_l1_loss(hand.fingers, fingers, reduction="none", beta=0.1)
    return Losses(
        F.smooth_l1_loss(hand.seen, place, beta=FINE),
        F.smooth_l1_loss(hand.place, place, beta=FINE),
        F.mse_loss(hand.rotation, rotation),
        off[:, 0].mean() + masked(off[:, 1], known))
