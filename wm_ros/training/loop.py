# SPDX-License-Identifier: Apache-2.0
"""The training loop of the video family's network, resumable at any step."""
from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from wm_ros.progress import Progress
from wm_ros.training import ahead, parallel
from wm_ros.training.batches import Batch, Sampler
from wm_ros.training.config import Schedule, TrainingConfig
from wm_ros.training.log import EVERY, log
from wm_ros.training.precision import autocast
from wm_ros.training.state import Ema, Pace, draw_anew, load_state, save_state
from wm_ros.training.throughput import MachineShare
from wm_ros.world_model.precision import best_dtype
from wm_ros.world_model.video.network import VideoNetwork


def optimise(model: VideoNetwork, sampler: Sampler, settings: TrainingConfig, state: Path,
             device: torch.device, until: float, title: str,
             losses: Callable[[Batch], dict[str, Tensor]],
             vary: Callable[[Batch, np.ndarray], Batch] | None = None) -> int:
    """A training loop; leaves the averaged weights in ``model`` and returns the last step.

    :param state: file for resuming, written every two minutes
    :param until: s of the monotonic clock when to save and stop
    :param vary: what becomes of a batch and the rows (B,) of its samples, before it is learnt
    """
    optimizer, ema = make_optimizer(model, settings), Ema(model, settings.ema)
    first = 0
    if state.exists():
        first = load_state(state, model, ema, optimizer)
    draw_anew(sampler, settings.seed, title, first)
    weights = {"video": settings.video_weight, "joint": 0.25 * settings.video_weight,
               "value": settings.value_weight, "now": settings.value_weight}
    share = parallel.share(settings.batch)
    pace = Pace(settings.steps, until)
    step, machine = first, MachineShare(best_dtype(device), device)

    def make() -> Batch:
        rows = sampler.draw(share)
        batch = sampler.batch(rows)
        return vary(batch, rows) if vary else batch

    batches = ahead.batches(make, settings.steps - first, device)
    with Progress(title, settings.steps, quiet=parallel.rank() > 0, start=first) as bar:
        while step < settings.steps:
            rate = learning_rate(step, settings)
            for group in optimizer.param_groups:
                group["lr"] = rate
            batch = next(batches)
            with machine.counted():
                with autocast(device):
                    parts = losses(batch)
                total = sum(weights.get(k, 1.0) * v for k, v in parts.items())
                assert isinstance(total, Tensor)
                total.backward()
            parallel.descend(model, optimizer)
            step += 1
            ema.update(model, step)
            machine.stepped()
            if step % EVERY == 0 or step == settings.steps:
                told = log(state.parent, title, step, parts)
                bar.update(step, note=f"{told}, {machine}", rate=share * parallel.size())
            if pace.stops(step, lambda n: save_state(state, n, model, ema, optimizer)):
                break
    if parallel.rank() == 0 and not state.exists():  # a run of no steps
        save_state(state, step, model, ema, optimizer)
    parallel.barrier()
    model.load_state_dict(ema.weights)
    return step


def make_optimizer(model: nn.Module, settings: Schedule) -> torch.optim.Optimizer:
    """AdamW; no decay on vectors."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": settings.weight_decay},
                              {"params": vectors, "weight_decay": 0.0}],
                             settings.learning_rate, betas=(0.9, 0.98), fused=True)


def learning_rate(step: int, settings: Schedule) -> float:
    """Linear warm-up, then a cosine down to a twentieth."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * (0.05 + 0.475 * (1 + math.cos(math.pi * min(1, done))))
