# SPDX-License-Identifier: Apache-2.0
"""Trains the renderer of imagined frames on pairs of a present and a future frame."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from wm_ros.training import ahead, parallel
from wm_ros.training.batches import Batch, Sampler
from wm_ros.training.config import TrainingConfig
from wm_ros.training.precision import autocast
from wm_ros.world_model.video.renderer import Renderer, noisy
from wm_ros.world_model.video.tokeniser import Tokeniser, to_unit

UNKNOWN = 0.2  # share without the tool's way
Imagine = Callable[[Batch], tuple[torch.Tensor, torch.Tensor]]


def train(renderer: Renderer, tokeniser: Tokeniser, sampler: Sampler, rows: np.ndarray,
          settings: TrainingConfig, device: torch.device, imagine: Imagine,
          report: Callable[[int, float], None]) -> None:
    """Fit to the frames that follow those at ``rows``; the tokeniser stays as it is.

    :param imagine: what the network foresees of every second sample, for the other half is drawn
        from true latents with noise; and the tool's way of all of them
    """
    steps, share = settings.renderer_steps, parallel.share(settings.tokeniser_batch)
    cache, frames = sampler.cache, sampler.config.frame_steps
    random = np.random.default_rng((settings.seed, 2, parallel.rank()))
    parallel.alike(renderer)
    optimizer = torch.optim.AdamW(renderer.parameters(), 2e-3, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min(1.0, (n + 1) / 50) * (1 - n / (steps + 1)))

    def make() -> tuple[int, torch.Tensor, torch.Tensor, Batch]:
        now = np.sort(random.choice(rows, share))
        frame = int(random.integers(len(frames)))
        then = cache.future(now, frames[frame])
        return (frame, torch.from_numpy(cache.scene[now]), torch.from_numpy(cache.scene[then]),
                sampler.batch(now, augment=False))

    for step, (frame, *pair, batch) in enumerate(ahead.batches(make, steps, device)):
        image, target = (to_unit(x.to(device, non_blocking=True)) for x in pair)
        imagined = noisy(batch.video[:, frame])
        foreseen, ways = imagine(batch)
        way = ways[:, frame]
        known = way[::2, -1:, None] > 0
        imagined[::2] = torch.where(known, foreseen[:, frame], imagined[::2])
        # words alone, without actions, draw frames too
        way = way * (torch.rand_like(way[:, :1]) > UNKNOWN)
        with autocast(device):
            with torch.no_grad():
                coarse = tokeniser.decode(imagined)
            loss = renderer.loss(imagined, batch.present, image, coarse, way, target)
        loss.backward()
        parallel.descend(renderer, optimizer)
        schedule.step()
        report(step + 1, float(loss.detach()))
