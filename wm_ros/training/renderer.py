# SPDX-License-Identifier: Apache-2.0
"""Trains the renderer of imagined frames on pairs of a present and a future frame."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from wm_ros.progress import Progress
from wm_ros.training import ahead, parallel
from wm_ros.training.batches import Batch, Sampler
from wm_ros.training.config import TrainingConfig
from wm_ros.training.log import telling
from wm_ros.training.precision import autocast
from wm_ros.training.state import Pace, draw_anew, load_state, save_state
from wm_ros.world_model.video.renderer import Renderer, noisy
from wm_ros.world_model.video.tokeniser import Tokeniser, to_unit

RATE = 2e-3
UNKNOWN = 0.2  # share without the tool's way
CLOSED = 0.03  # m: fingers that are told to close further than this may hold something
HOLDING = 0.33  # share drawn from such moments
Imagine = Callable[[Batch], tuple[torch.Tensor, torch.Tensor]]


def train(renderer: Renderer, tokeniser: Tokeniser, sampler: Sampler, rows: np.ndarray,
          settings: TrainingConfig, device: torch.device, imagine: Imagine, state: Path,
          until: float) -> bool:
    """Fit to the frames that follow those at ``rows``; the tokeniser stays as it is.

    :param imagine: what the network foresees of every second sample, for the other half is drawn
        from true latents with noise; and the tool's way of all of them
    :param state: file for resuming;  ``until`` s of the monotonic clock when to save and stop
    :returns: whether it came to its last step
    """
    steps, share = settings.renderer_steps, parallel.share(settings.tokeniser_batch)
    cache, frames = sampler.cache, sampler.config.frame_steps
    closed = rows[cache.executed[rows, -1] < CLOSED]
    held = round(HOLDING * share) if len(closed) else 0
    parallel.alike(renderer)
    optimizer = torch.optim.AdamW(renderer.parameters(), RATE, weight_decay=0.0, fused=True)
    first = load_state(state, renderer, None, optimizer) if state.exists() else 0
    draw_anew(sampler, settings.seed, "renderer", first)
    random, pace = sampler.random, Pace(steps, until)

    def make() -> tuple[int, Batch, torch.Tensor, torch.Tensor, torch.Tensor]:
        now = np.concatenate([random.choice(rows, share - held), random.choice(closed, held)])
        random.shuffle(now)  # every second one is foreseen
        frame = int(random.integers(len(frames)))
        then = cache.future(now, frames[frame])
        batch = sampler.batch(now, augment=False)
        return (frame, batch, sampler.places(now, batch), torch.from_numpy(cache.scene[now]),
                torch.from_numpy(cache.scene[then]))

    with Progress("renderer", steps, quiet=parallel.rank() > 0, start=first) as bar:
        tell = telling(bar, state.parent, share * parallel.size())
        for step, (frame, batch, place, *pair) in enumerate(
                ahead.batches(make, steps - first, device), first):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / 50) * (1 - step / (steps + 1))
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
                loss = renderer.loss(imagined, batch.present, image, coarse, way, place, target)
            loss.backward()
            parallel.descend(renderer, optimizer)
            tell(step + 1, float(loss.detach()))
            if pace.stops(step + 1, lambda n: save_state(state, n, renderer, None, optimizer)):
                return step + 1 == steps
    return True
