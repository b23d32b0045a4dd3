# SPDX-License-Identifier: Apache-2.0
"""The same layouts in other pictures: each serves as many.

Pixels may lie anywhere as long as their points are true, and a room may be built the other way
round; a motion in it is then mirrored too.
"""
from __future__ import annotations

import re

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wm_ros.data.cache import EpisodeCache
from wm_ros.training.batches import Batch, Looks, part, together
from wm_ros.world_model.video.inputs import Inputs

ZOOM, TURN, SHIFT = 0.2, 0.25, 0.12  # of log scale, rad, of half the image
MIRRORED = (1, -1, 1, -1, 1, -1, 1)  # encoded pose: a way, a turn (the other way round), a width


def vary(looks: Looks, random: np.random.Generator, sided: Tensor) -> Looks:
    """Other pictures of the same layouts; half of them mirrored.

    :param sided: (B,) True where the words name left or right: not to be mirrored
    """
    looks = moved(looks, random)
    return mirror(looks, _some(random, ~sided).to(looks.text.device))


def vary_chunks(batch: Batch, random: np.random.Generator, sided: Tensor, first: int,
                share: float) -> Batch:
    """Likewise for ``share`` of the rows from ``first`` on, which then come last, chunks included;
    the frames to be foreseen stay as they are, so that rows that foresee must come before."""
    chosen = random.random(len(sided)) < share
    chosen[:first] = False
    if not chosen.any():
        return batch
    rows = torch.from_numpy(np.flatnonzero(chosen))
    late = part(batch, rows)
    mirrored = _some(random, ~sided[rows]).to(batch.text.device)
    looks = Looks(late.inputs, *(getattr(late, name) for name in Looks._fields[1:]))
    looks = mirror(moved(looks, random), mirrored)
    sign = late.action.new_tensor(MIRRORED)
    sign = torch.where(mirrored[:, None, None], sign, torch.ones_like(sign))
    late = late._replace(**looks._asdict(), action=late.action * sign,
                         executed=late.executed * sign)
    return together(part(batch, torch.from_numpy(np.flatnonzero(~chosen))), late)


def _some(random: np.random.Generator, may: Tensor) -> Tensor:
    """(B,) each with even odds, of those that may."""
    return torch.from_numpy(random.random(len(may)) < 0.5) & may


def moved(looks: Looks, random: np.random.Generator) -> Looks:
    """Scene images shifted, turned and zoomed; points stay true."""
    n = len(looks.text)
    scale = np.exp(random.uniform(-ZOOM, ZOOM, n))
    turn = random.uniform(-TURN, TURN, n)
    aside = random.uniform(-SHIFT, SHIFT, (n, 2, 1))
    affine = np.stack([np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)], 1)
    affine = np.concatenate([affine.reshape(n, 2, 2) * scale[:, None, None], aside], 2)
    i = looks.inputs
    there = i.scene.device
    where = F.affine_grid(torch.from_numpy(affine.astype(np.float32)).to(there),
                          list(i.scene.shape), align_corners=False)
    scene = F.grid_sample(i.scene, where, "bilinear", "border", align_corners=False)
    points = F.grid_sample(i.points.permute(0, 3, 1, 2), where, "nearest", "border",
                           align_corners=False).permute(0, 2, 3, 1)
    return looks._replace(inputs=i._replace(scene=scene, points=points))


def mirror(looks: Looks, which: Tensor) -> Looks:
    """Left becomes right, as if the room were built the other way round, for ``which`` (B,)."""
    i = looks.inputs
    y = i.points.new_tensor([1, -1, 1])
    # position, two columns of the rotation by rows, width, wrench (hand), waves of the width
    hand = i.proprio.new_tensor([1, -1, 1, 1, -1, -1, 1, 1, -1, 1, 1, -1, 1, -1, 1, -1, 1, 1, 1])

    def either(mirrored: Tensor, kept: Tensor) -> Tensor:
        return torch.where(which.view(-1, *[1] * (kept.dim() - 1)), mirrored, kept)

    return looks._replace(
        inputs=Inputs(either(i.scene.flip(-1), i.scene), either((i.points * y).flip(2), i.points),
                      either(i.wrist.flip(-1), i.wrist), either(i.proprio * hand, i.proprio)),
        key_position=either(looks.key_position * y, looks.key_position),
        key_turn=either(looks.key_turn * looks.key_turn.new_tensor([-1, 1]), looks.key_turn))


def sided(cache: EpisodeCache) -> np.ndarray:
    """(T,) whether a task's words name left or right: its pictures are not to be mirrored."""
    named = np.zeros(len(cache.tasks), bool)
    for task, words in zip(cache.arrays["episode_task"], cache.arrays["episode_instruction"],
                           strict=True):
        named[task] |= bool(re.search(r"\b(left|right)\b", cache.instructions[words]))
    return named
