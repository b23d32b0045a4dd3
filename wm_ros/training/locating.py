# SPDX-License-Identifier: Apache-2.0
"""Training of the locator, on pictures that are shifted, turned, zoomed and mirrored.

A key pose is where the tool next closes, opens or rests; demonstrations name it themselves.
"""
from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from wm_ros.training.batches import Looks, Sampler
from wm_ros.training.config import TrainingConfig
from wm_ros.training.fitting import Stage, fit
from wm_ros.training.losses import masked
from wm_ros.training.variety import sided, vary
from wm_ros.world_model.video.locator import KeyPoses, Locator, hand_rotation, turned
from wm_ros.world_model.video.parts import POINT_SCALE, clip_points

NEAR = 0.015 / POINT_SCALE  # spread of the heat around a key pose
FINE = 0.004 / POINT_SCALE  # where a miss counts less than in proportion
BESIDE = 0.03 / POINT_SCALE  # of a place that is not meant: what is seen within it is not either
REACH = 0.12 / POINT_SCALE  # from the tool: within it the wrist camera can refine


class Losses(NamedTuple):
    """Means over a batch."""

    heat: Tensor
    votes: Tensor
    refined: Tensor
    turn: Tensor
    axes: Tensor
    wrong: Tensor

    def total(self) -> Tensor:
        return (0.2 * self.heat + 0.05 * self.wrong + 2 * (self.votes + self.refined)
                + 0.5 * (self.turn + self.axes))


def losses(found: KeyPoses, looks: Looks) -> Losses:
    """How far the key poses are off."""
    target, known = looks.key_position, looks.imitate.clamp(min=0)[:, None] * looks.key_valid
    # the nearest cell always belongs to a key pose, be it in free space
    distance = torch.cdist(target, found.cells)
    share = (-0.5 * (distance / NEAR).square()).softmax(-1)
    heat = -(share * found.heat.log_softmax(-1)).sum(-1)
    # -log of the share of heat that is not where a grasp was in vain
    elsewhere = found.heat.masked_fill(distance < BESIDE, -math.inf).logsumexp(-1)
    wrong = (found.heat.logsumexp(-1) - elsewhere)[:, 0]
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
                  masked(turn, right), masked((share * off).sum(-1), known),
                  masked(wrong, looks.imitate.clamp(max=0).neg()))


def find(locator: Locator, looks: Looks) -> KeyPoses:
    """The key poses in a batch."""
    i = looks.inputs
    return locator(i.scene, clip_points(i.points), i.wrist, i.proprio, looks.text)


def train(locator: Locator, sampler: Sampler, settings: TrainingConfig, state: Path,
          device: torch.device, until: float) -> bool:
    """Fit the locator; see :func:`wm_ros.training.fitting.fit`."""
    fixed = sided(sampler.cache)

    def make(n: int) -> Looks:
        rows = sampler.draw(n)
        return vary(sampler.looks(rows), sampler.random,
                    torch.from_numpy(fixed[sampler.cache.task[rows]]))

    stage = Stage("locator", settings.locator_steps, settings.locator_batch,
                  settings.locator_rate, settings.seed)
    return fit(locator, stage, sampler, make, lambda looks: losses(find(locator, looks), looks),
               state, device, until)
