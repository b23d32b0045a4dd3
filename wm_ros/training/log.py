# SPDX-License-Identifier: Apache-2.0
"""The losses of a run as it went: ``log.csv`` beside its checkpoint, one row a progress line."""
from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from wm_ros.training import parallel

LOG = "log.csv"
EVERY = 20  # steps
VIDEO = ("loss", "heat", "votes", "refined", "turn", "axes", "now", "action", "value", "video",
         "joint", "mean")  # of all its stages: tokeniser and renderer, locator, train, foresight
JEPA = ("predict", "sigreg", "hand", "first")


def log(out: Path, stage: str, step: int, losses: Mapping[str, float],
        columns: tuple[str, ...] = VIDEO) -> None:
    """Append a row; what a stage does not learn stays empty.

    A run that goes on from its last saved state writes the steps since then again.
    """
    if parallel.rank() > 0:
        return
    path = out / LOG
    out.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        rows = csv.DictWriter(file, ("stage", "step", *columns), lineterminator="\n")
        if new:
            rows.writeheader()
        rows.writerow({"stage": stage, "step": step,
                       **{name: f"{value:.6g}" for name, value in losses.items()}})
