# SPDX-License-Identifier: Apache-2.0
"""A data set to bags: recordings as they were, other episodes at 10 Hz."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rich.console import Console

from wm_ros.convert import to_bag
from wm_ros.convert.command import read_state
from wm_ros.convert.pack import STATE
from wm_ros.data.any_bag import AnyBag
from wm_ros.data.lerobot import Dataset, disk_errors
from wm_ros.data.topic_map import load_map
from wm_ros.errors import UserError
from wm_ros.files import LOCK, alone
from wm_ros.progress import Progress


def unpack(root: Path, out: Path, topics: Path | None = None) -> int:
    """Write the bags that are not there yet; returns an exit status.

    :raises UserError: there is no data set, or `out` holds something else
    """
    dataset, names = Dataset(root), load_map(topics)
    console = Console(stderr=True)
    sources = read_state(root / STATE).get("sources", {})
    recorded: dict[tuple[str, int], str] = {}
    recordings: list[str] = []
    for source in sources.values():
        if source["recording"] and (root / source["recording"]).is_dir():
            recordings.append(source["recording"])
            recorded |= {(e["task"], e["seed"]): source["recording"] for e in source["episodes"]}
    jobs: list[tuple[Path, Any]] = [(out / Path(r).name, root / r) for r in recordings]
    for index, row in enumerate(dataset.rows):
        if (row["task_name"], row["seed"]) not in recorded:
            task = re.sub(r"[^\w.-]+", "_", row["task_name"])[:60]
            jobs.append((out / f"{index:06d}_{task}_{row['seed']}", index))
    _check(out, {LOCK, *(folder.name for folder, _ in jobs)})
    written = 0
    with disk_errors(out), alone(out), Progress("bags", len(jobs), "bags") as bar:
        for folder, job in jobs:
            if not folder.exists():
                if isinstance(job, Path):
                    to_bag.copy(AnyBag(job), folder)
                else:
                    to_bag.write(dataset.episode(job), names, folder)
                written += 1
            bar.advance()
    there = len(jobs) - written
    before = f", {there} were there already" if there else ""
    console.print(f"{out}: {written} bags written{before}"
                  f"; {len(recordings)} of {len(jobs)} are recordings as they were made.",
                  soft_wrap=True)
    return 0


def _check(out: Path, names: set[str]) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"{out} is a file: choose a folder for the bags.")
    foreign = [p.name for p in out.iterdir() if p.name not in names
               and not (p.name.startswith(".") and p.name.endswith(".part"))]
    if foreign:
        raise UserError(f"{out} already holds {foreign[0]} and nothing is overwritten: choose "
                        "another --out.")
