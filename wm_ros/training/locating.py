# SPDX-License-Identifier: Apache-2.0
"""Training of the locator: key poses in pictures that are shifted, turned, zoomed and mirrored.

A key pose is where the tool next closes, opens or rests; demonstrations name it themselves.
Unlike a motion it may be mirrored, and pixels may lie anywhere as long as their points are true:
each layout serves as many.
"""
from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wm_ros.data.cache import EpisodeCache
from wm_ros.progress import Progress
from wm_ros.training import ahead, parallel
from wm_ros.training.batches import Looks, Sampler
from wm_ros.training.config import TrainingConfig
from wm_ros.training.log import EVERY, log
from wm_ros.training.losses import masked
from wm_ros.training.precision import autocast
from wm_ros.training.state import Pace, draw_anew, load_state, save_state
from wm_ros.world_model.video.inputs import Inputs
from wm_ros.world_model.video.locator import KeyPoses, Locator, hand_rotation, turned
from wm_ros.world_model.video.parts import POINT_SCALE, clip_points

NEAR = 0.015 / POINT_SCALE  # spread of the heat around a key pose
FINE = 0.004 / POINT_SCALE  # where a miss counts less than in proportion
REACH = 0.12 / POINT_SCALE  # from the tool: within it the wrist camera can refine
ZOOM, TURN, SHIFT = 0.2, 0.25, 0.12  # of log scale, rad, of half the image


class Losses(NamedTuple):
    """Means over a batch."""

    heat: Tensor
    votes: Tensor
    refined: Tensor
    turn: Tensor
    axes: Tensor

    def total(self) -> Tensor:
        return (0.2 * self.heat + 2 * (self.votes + self.refined)
                + 0.5 * (self.turn + self.axes))


def losses(found: KeyPoses, looks: Looks) -> Losses:
    """How far the key poses are off."""
    target, known = looks.key_position, looks.imitate[:, None] * looks.key_valid
    # the nearest cell always belongs to a key pose, be it in free space
    distance = torch.cdist(target, found.cells)
    share = (-0.5 * (distance / NEAR).square()).softmax(-1)
    heat = -(share * found.heat.log_softmax(-1)).sum(-1)
    miss = F.smooth_l1_loss(found.votes, target[:, :, None].expand_as(found.votes),
                            reduction="none", beta=FINE).sum(-1)
    votes = (share * miss).sum(-1)
    # a wrong thing is not brought right from what the wrist camera sees of another
    right = ((found.where.detach() - target).norm(dim=-1) < REACH) * known
    refined = F.smooth_l1_loss(found.refined, target, reduction="none", beta=FINE).sum(-1)
    turn = F.mse_loss(found.turn, looks.key_turn, reduction="none").sum(-1)
    heading = turned(looks.key_turn.flip(-1), hand_rotation(looks.inputs.proprio)[:, None], 1)
    off = F.smooth_l1_loss(found.axes, heading[:, :, None].expand_as(found.axes),
                           reduction="none", beta=0.1).sum(-1)
    return Losses(masked(heat, known), masked(votes, known), masked(refined, right),
                  masked(turn, right), masked((share * off).sum(-1), known))


def find(locator: Locator, looks: Looks) -> KeyPoses:
    """The key poses in a batch."""
    i = looks.inputs
    return locator(i.scene, clip_points(i.points), i.wrist, i.proprio, looks.text)


def vary(looks: Looks, random: np.random.Generator, sided: Tensor) -> Looks:
    """Other pictures of the same layouts; half of them mirrored.

    :param sided: (B,) True where the words name left or right: not to be mirrored
    """
    n = len(sided)
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
    looks = looks._replace(inputs=i._replace(scene=scene, points=points))
    return mirror(looks, (torch.from_numpy(random.random(n) < 0.5) & ~sided).to(there))


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


def rate(step: int, settings: TrainingConfig) -> float:
    """Warm-up, then a cosine to zero."""
    done = step / settings.locator_steps
    return settings.locator_rate * min((step + 1) / 200, 0.5 + 0.5 * math.cos(math.pi * done))


def sided(cache: EpisodeCache) -> np.ndarray:
    """(T,) whether a task's words name left or right: its pictures are not to be mirrored."""
    named = np.zeros(len(cache.tasks), bool)
    for task, words in zip(cache.arrays["episode_task"], cache.arrays["episode_instruction"],
                           strict=True):
        named[task] |= bool(re.search(r"\b(left|right)\b", cache.instructions[words]))
    return named


def train(locator: Locator, sampler: Sampler, settings: TrainingConfig, state: Path,
          device: torch.device, until: float) -> bool:
    """Fit the locator; False where time ended it before its last step. Resumes from ``state``.

    :param until: s of the monotonic clock
    """
    optimizer = torch.optim.AdamW(locator.parameters(), settings.locator_rate, weight_decay=0.02,
                                  betas=(0.9, 0.98), fused=True)
    step = load_state(state, locator, None, optimizer) if state.exists() else 0
    draw_anew(sampler, settings.seed, "locator", step)
    fixed, share = sided(sampler.cache), parallel.share(settings.locator_batch)

    def make() -> Looks:
        rows = sampler.draw(share)
        return vary(sampler.looks(rows), sampler.random,
                    torch.from_numpy(fixed[sampler.cache.task[rows]]))

    batches = ahead.batches(make, settings.locator_steps - step, device)
    pace = Pace(settings.locator_steps, until)
    with Progress("locator", settings.locator_steps, quiet=parallel.rank() > 0,
                  start=step) as bar:
        while step < settings.locator_steps:
            for group in optimizer.param_groups:
                group["lr"] = rate(step, settings)
            looks = next(batches)
            with autocast(device):
                found = losses(find(locator, looks), looks)
            found.total().backward()
            parallel.descend(locator, optimizer)
            step += 1
            if step % EVERY == 0 or step == settings.locator_steps:
                told = log(state.parent, "locator", step, found._asdict())
                bar.update(step, note=told, rate=share * parallel.size())
            if pace.stops(step, lambda n: save_state(state, n, locator, None, optimizer)):
                break
    parallel.barrier()
    return step >= settings.locator_steps
