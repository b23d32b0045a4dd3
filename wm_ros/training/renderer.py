# SPDX-License-Identifier: Apache-2.0
"""Trains the renderer of imagined frames on pairs of a present and a future frame."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from wm_ros.data.cache import EpisodeCache
from wm_ros.training import parallel
from wm_ros.training.config import TrainingConfig
from wm_ros.training.precision import autocast
from wm_ros.world_model.video.renderer import Renderer, noisy
from wm_ros.world_model.video.tokeniser import Tokeniser, to_unit

UNKNOWN = 0.2  # share without the tool's way
Imagine = Callable[[np.ndarray], tuple[torch.Tensor, torch.Tensor]]


def train(renderer: Renderer, tokeniser: Tokeniser, cache: EpisodeCache, latents: np.ndarray,
          rows: np.ndarray, ahead: tuple[int, ...], settings: TrainingConfig,
          device: torch.device, imagine: Imagine,
          report: Callable[[int, float], None]) -> None:
    """Fit to frames that lie ``ahead`` of those at ``rows``; the tokeniser stays as it is.

    :param imagine: what the network foresees at every second row, for the other half is drawn
        from true latents with noise; and the tool's way at all rows
    """
    steps, batch = settings.renderer_steps, parallel.share(settings.tokeniser_batch)
    random = np.random.default_rng((settings.seed, 2, parallel.rank()))
    parallel.alike(renderer)
    optimizer = torch.optim.AdamW(renderer.parameters(), 2e-3, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min(1.0, (n + 1) / 50) * (1 - n / (steps + 1)))
    for step in range(steps):
        now = np.sort(random.choice(rows, batch))
        frame = int(random.integers(len(ahead)))
        then = cache.future(now, ahead[frame])
        image, target = (to_unit(torch.from_numpy(cache.scene[r]).to(device))
                         for r in (now, then))
        present, future = (torch.from_numpy(latents[r].astype(np.float32)).to(device)
                           for r in (now, then))
        imagined = noisy(future)
        foreseen, ways = imagine(now)
        way = ways[:, frame]
        known = way[::2, -1:, None] > 0
        imagined[::2] = torch.where(known, foreseen[:, frame], imagined[::2])
        # words alone, without actions, draw frames too
        way = way * (torch.rand_like(way[:, :1]) > UNKNOWN)
        with autocast(device):
            with torch.no_grad():
                coarse = tokeniser.decode(imagined)
            loss = renderer.loss(imagined, present, image, coarse, way, target)
        loss.backward()
        parallel.descend(renderer, optimizer)
        schedule.step()
        report(step + 1, float(loss.detach()))
