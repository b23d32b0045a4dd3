# SPDX-License-Identifier: Apache-2.0
"""Blocks of control steps as numbers: relative to where the hand is when the block begins.

A hand that points down has five freedoms: three of displacement, a turn about the vertical and
the opening of the fingers.
"""
from __future__ import annotations

import torch
from torch import Tensor

STEP_DIM = 5  # displacement x y z, turn, width
STEP_LENGTH = 0.022  # m of displacement a control step that count as 1
STEP_TURN = 0.10  # rad
WIDTH_HALF = 0.04  # m, half of the widest opening: widths map to [-1, 1]
HAND_LENGTH = 0.05  # m of the hand's way that count as 1 where a latent is asked for it
HAND_TURN = 0.5  # rad
WIDTHS = (0.0, 0.05, 0.08)  # m, the openings that a plan chooses from


def yaw_of(quaternion: Tensor) -> Tensor:
    """(..., 4) xyzw of a hand that points about down -> (...) heading of its x axis, rad."""
    x, y, z, w = quaternion.unbind(-1)
    return torch.atan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))


def down(yaw: Tensor) -> Tensor:
    """(...) heading, rad -> (..., 4) xyzw of a hand that points down."""
    zero = torch.zeros_like(yaw)
    return torch.stack([torch.cos(yaw / 2), torch.sin(yaw / 2), zero, zero], -1)


def wrap(angle: Tensor) -> Tensor:
    """Angle in [-pi, pi), rad."""
    return (angle + torch.pi) % (2 * torch.pi) - torch.pi


def encode(position: Tensor, yaw: Tensor, width: Tensor, from_position: Tensor,
           from_yaw: Tensor) -> Tensor:
    """Numbers of the order of 1; an even motion gives the same ones for every step.

    :param position: (..., K, 3) m, base frame;  ``yaw`` (..., K) rad;  ``width`` (..., K) m
    :param from_position: (..., 3) of the hand when the block begins;  ``from_yaw`` (...)
    :returns: (..., K * 5); step j is divided by what j fast steps would bring
    """
    steps = torch.arange(1, position.shape[-2] + 1, device=position.device)
    offset = (position - from_position[..., None, :]) / (STEP_LENGTH * steps[:, None])
    turn = wrap(yaw - from_yaw[..., None]) / (STEP_TURN * steps)
    return torch.cat([offset, turn[..., None], (width / WIDTH_HALF - 1)[..., None]],
                     -1).flatten(-2)


def encode_chunk(position: Tensor, quaternion: Tensor, width: Tensor, from_position: Tensor,
                 from_quaternion: Tensor, block: int) -> Tensor:
    """A chunk (n, H, ...) from the hand's pose (3,), (4,) -> blocks (n, H // block, block * 5).

    Every block but the first begins where the one before it was told to end.
    """
    n, blocks = len(position), position.shape[1] // block
    yaw = yaw_of(quaternion)
    start = torch.cat([from_position.expand(n, 1, 3), position[:, block - 1:-1:block]], 1)
    turn = torch.cat([yaw_of(from_quaternion).expand(n, 1), yaw[:, block - 1:-1:block]], 1)
    cut = slice(0, blocks * block)
    steps = [x[:, cut].unflatten(1, (blocks, block)) for x in (position, yaw, width)]
    return encode(steps[0], steps[1], steps[2], start[:, :blocks], turn[:, :blocks])


def hand(position: Tensor, quaternion: Tensor, width: Tensor) -> Tensor:
    """(..., T, 3) m, (..., T, 4) xyzw and (..., T) m -> (..., T, 5): how a hand moved through T
    moments, from their mean; the turn from the first one's."""
    yaw = yaw_of(quaternion)
    x = torch.cat([position / HAND_LENGTH, wrap(yaw - yaw[..., :1])[..., None] / HAND_TURN,
                   width[..., None] / WIDTH_HALF], -1)
    return x - x.mean(-2, keepdim=True)


def limit(knots: Tensor) -> Tensor:
    """Even motions (..., 5), one a block, within what the demonstrators do: at most one step's
    length and turn, and one of the openings that they use."""
    length = knots[..., :3].norm(dim=-1, keepdim=True).clamp_min(1.0)
    widths = torch.tensor(WIDTHS, device=knots.device) / WIDTH_HALF - 1
    nearest = (knots[..., 4:] - widths).abs().argmin(-1, keepdim=True)
    return torch.cat([knots[..., :3] / length, knots[..., 3:4].clamp(-1, 1), widths[nearest]], -1)


def expand(knots: Tensor, block: int) -> Tensor:
    """(..., K, 5) even motions -> (..., K, block * 5) blocks of steps."""
    return knots.repeat((1,) * (knots.dim() - 1) + (block,))


def decode(knots: Tensor, from_position: Tensor, from_quaternion: Tensor,
           block: int) -> tuple[Tensor, Tensor, Tensor]:
    """Even motions (n, K, 5) from the hand's pose -> positions (n, K block, 3) m, quaternions
    (n, K block, 4) and widths (n, K block) m."""
    steps = knots.repeat_interleave(block, 1)
    position = from_position + (STEP_LENGTH * steps[..., :3]).cumsum(1)
    yaw = yaw_of(from_quaternion) + (STEP_TURN * steps[..., 3]).cumsum(1)
    return position, down(yaw), (steps[..., 4] + 1) * WIDTH_HALF
