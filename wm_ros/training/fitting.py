# SPDX-License-Identifier: Apache-2.0
"""A stage of training in which one part learns alone, resumable at any step."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from wm_ros.progress import Progress
from wm_ros.training import ahead, parallel
from wm_ros.training.log import EVERY, log
from wm_ros.training.precision import autocast
from wm_ros.training.state import Draws, Pace, draw_anew, load_state, save_state

WARMUP = 200  # steps
Made = TypeVar("Made")


class Losses(Protocol):
    """Means over a batch, by name."""

    def _asdict(self) -> Mapping[str, Tensor]: ...
    def total(self) -> Tensor: ...


class Stage(NamedTuple):
    """What a part is taught by.

    :param name: of its progress, its rows in the log and its random numbers
    :param batch: samples a step, over all processes;  ``rate`` the highest learning rate
    """

    name: str
    steps: int
    batch: int
    rate: float
    seed: int


def learning_rate(step: int, stage: Stage) -> float:
    """Warm-up, then a cosine to zero."""
    done = step / stage.steps
    return stage.rate * min((step + 1) / WARMUP, 0.5 + 0.5 * math.cos(math.pi * done))


def fit(part: nn.Module, stage: Stage, draws: Draws, make: Callable[[int], Made],
        losses: Callable[[Made], Losses], state: Path, device: torch.device,
        until: float) -> bool:
    """Teach ``part``; False where time ended it before its last step. Resumes from ``state``.

    :param draws: whose random numbers ``make`` uses
    :param make: so many samples, this process's share of a batch
    :param until: s of the monotonic clock
    """
    optimizer = torch.optim.AdamW(part.parameters(), stage.rate, weight_decay=0.02,
                                  betas=(0.9, 0.98), fused=True)
    step = load_state(state, part, None, optimizer) if state.exists() else 0
    draw_anew(draws, stage.seed, stage.name, step)
    share = parallel.share(stage.batch)
    batches = ahead.batches(lambda: make(share), stage.steps - step, device)
    pace = Pace(stage.steps, until)
    with Progress(stage.name, stage.steps, quiet=parallel.rank() > 0, start=step) as bar:
        while step < stage.steps:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, stage)
            batch = next(batches)
            with autocast(device):
                found = losses(batch)
            found.total().backward()
            parallel.descend(part, optimizer)
            step += 1
            if step % EVERY == 0 or step == stage.steps:
                told = log(state.parent, stage.name, step, found._asdict())
                bar.update(step, note=told, rate=share * parallel.size())
            if pace.stops(step, lambda n: save_state(state, n, part, None, optimizer)):
                break
    parallel.barrier()
    return step >= stage.steps
