# SPDX-License-Identifier: Apache-2.0
"""The jepa family of this package in TwoRoom: the same modules, losses and search."""
from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.two_room.world import BLOCK, SIZE, Films
from wm_ros.training.jepa import Jepa, JepaTraining, losses
from wm_ros.training.jepa_batches import Sequences
from wm_ros.world_model.jepa import planner
from wm_ros.world_model.jepa.actions import STEP_DIM
from wm_ros.world_model.jepa.config import JepaConfig
from wm_ros.world_model.jepa.encoder import prepare
from wm_ros.world_model.jepa.predictor import roll

LENGTH = 8  # latents of a sequence
BATCH = 16
RATE = 1.5e-3


class Ours:
    """Two images of one camera stand for the two cameras; a way of 2 numbers for one of 5."""

    def __init__(self, search: planner.Search):
        self.model, self.search = Jepa(JepaConfig(image_size=SIZE)), search
        self.settings = JepaTraining(regularise=0.15)
        self.generator = torch.Generator().manual_seed(0)

    def search_by(self, search: planner.Search) -> None:
        """Plan at these settings from now on."""
        self.search = search

    def loss(self, films: Films, random: np.random.Generator) -> Tensor:
        """Of one random batch; as the family is trained, by its two losses alone."""
        which = random.integers(len(films.frames), size=BATCH)
        span = BLOCK * (LENGTH - 1)
        first = random.integers(films.actions.shape[1] - span + 1, size=BATCH)
        at = first[:, None] + BLOCK * np.arange(LENGTH)
        images = films.frames[which[:, None], at].reshape(-1, SIZE, SIZE, 3)
        steps = films.actions[which[:, None], first[:, None] + np.arange(span)]
        actions = blocks(torch.from_numpy(steps).unflatten(1, (LENGTH - 1, BLOCK)))
        parts = losses(self.model, Sequences(
            *_images(images), actions, torch.zeros(BATCH, LENGTH, STEP_DIM),
            torch.ones(BATCH, LENGTH - 1)), self.settings)
        return parts["predict"] + self.settings.regularise * parts["sigreg"]

    @torch.inference_mode()
    def plan(self, image: np.ndarray, goal: np.ndarray, last: Tensor | None
             ) -> tuple[np.ndarray, Tensor]:
        """(BLOCK, 2) actions, and the plan to go on from."""
        z, aim = self.model.encoder(*_images(np.stack([image, goal])))
        mean = torch.zeros(BLOCK, 2) if last is None else planner.shifted(last, 1.0)

        def cost(knots: Tensor) -> Tensor:
            steps = knots[:, :, None].expand(-1, -1, BLOCK, -1)
            foretold = roll(self.model.predictor, z.expand(len(knots), -1), blocks(steps))
            return (foretold - aim).square().mean((1, 2))

        found = planner.search(cost, lambda x: x.clamp(-1, 1), mean[None], torch.ones(BLOCK, 2),
                               self.search, self.generator)
        return found.sequences[0, 0].expand(BLOCK, -1).numpy(), found.mean


def blocks(steps: Tensor) -> Tensor:
    """(B, K, BLOCK, 2) actions -> (B, K, BLOCK * STEP_DIM); as an arm's way: from where the
    block begins, divided by what as many fast steps would bring."""
    way = steps.cumsum(2) / torch.arange(1, BLOCK + 1)[:, None]
    return F.pad(way, (0, STEP_DIM - 2)).flatten(2)


def _images(frames: np.ndarray) -> tuple[Tensor, Tensor]:
    both = torch.from_numpy(np.ascontiguousarray(frames))
    return prepare(both, both)
