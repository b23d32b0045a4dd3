# SPDX-License-Identifier: Apache-2.0
"""The losses of a run as it went: ``log.csv`` beside its checkpoint, one row a progress line."""
from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wm_ros.progress import Progress
from wm_ros.training import parallel

LOG = "log.csv"
EVERY = 20  # steps
# of all stages, tokeniser's and renderer's too
VIDEO = ("loss", "heat", "votes", "refined", "turn", "axes", "now", "action", "value", "video",
         "joint", "mean", "wrong", "seen", "place", "rotation", "fingers")
JEPA = ("predict", "sigreg", "hand", "first")


def log(out: Path, stage: str, step: int, losses: Mapping[str, float | Tensor],
        columns: tuple[str, ...] = VIDEO) -> str:
    """Append a row; what a stage does not learn stays empty.

    A run that goes on from its last saved state writes the steps since then again.

    :returns: the losses for the progress line
    """
    numbers = {name: float(torch.as_tensor(value).detach()) for name, value in losses.items()}
    if parallel.rank() == 0:
        _append(out / LOG, ("stage", "step", *columns),
                {"stage": stage, "step": step, **{k: f"{v:.6g}" for k, v in numbers.items()}})
    return " ".join(f"{k} {v:.3f}" for k, v in numbers.items())


def telling(bar: Progress, out: Path, batch: int) -> Callable[[int, float], None]:
    """What tells of a stage with a single loss, of ``batch`` samples a step."""
    def tell(step: int, loss: float) -> None:
        bar.update(step, note=f"loss {loss:.4f}", rate=batch)
        if step % EVERY == 0 or step == bar.total:
            log(out, bar.name, step, {"loss": loss})
    return tell


def _append(path: Path, columns: tuple[str, ...], row: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        rows = csv.DictWriter(file, columns, lineterminator="\n")
        if new:
            rows.writeheader()
        rows.writerow(row)
