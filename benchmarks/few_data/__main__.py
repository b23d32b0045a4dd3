# SPDX-License-Identifier: Apache-2.0
"""Train the video family and its action-only twin on the same few demonstrations, several
training seeds each, let both do the same held-out layouts, write one JSON and one table.

Stop it any time; the same command goes on.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from wm_ros.evaluation.statistics import wilson
from wm_ros.files import copy, write_text

FAMILIES = ("video", "twin")
SHARED = ("tokeniser.safetensors", "locator.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.few_data", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/few_data"))
    parser.add_argument("--demonstrations", type=int, default=10, help="of each task")
    parser.add_argument("--config", default=str(Path(__file__).with_name("mini.yaml")))
    parser.add_argument("--training-seeds", type=int, default=3)
    parser.add_argument("--layouts", type=int, default=10, help="held-out ones a task")
    parser.add_argument("--first-seed", type=int, default=4000, help="of the layouts")
    args = parser.parse_args()
    data, shared = args.out / "data", args.out / "shared"
    wm("collect", "--out", data, "--tasks", "all", "--episodes", args.demonstrations,
       "--failures", "0", "--seed0", "30000")
    common = ["--data", data, "--cache", args.out / "cache", "--config", args.config]
    # what both families have in common is learnt once: tokeniser, locator
    if not (shared / "config.yaml").exists():
        wm("train", *common, "--family", "twin", "--out", shared, "--steps", "1")
    for seed in range(args.training_seeds):
        train(args.out, common, seed)
        for family in FAMILIES:
            folder = args.out / f"{family}_{seed}"
            if not (folder / "eval" / "eval.json").exists():
                wm("eval", "--model", folder, "--seeds", args.layouts, "--first-seed",
                   args.first_seed, "--open-loop", "1", "--out", folder / "eval")
        report(args.out, seed + 1)


def wm(*words: object) -> None:
    """Run a ``wm`` command to its end; what it says is ours."""
    subprocess.run(command(*words), check=True)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "wm_ros.cli", *map(str, words)]


def train(out: Path, common: list[object], seed: int) -> None:
    """Both families beside each other, half of the cores each; what they say goes to train.log."""
    running: list[tuple[Path, float, subprocess.Popen[bytes]]] = []
    try:
        for family in FAMILIES:
            folder = out / f"{family}_{seed}"
            if (folder / "config.yaml").exists():
                continue
            folder.mkdir(exist_ok=True)
            for name in SHARED:
                if not (folder / name).exists():
                    copy(out / "shared" / name, folder)
            threads = max(1, (os.cpu_count() or 1) // len(FAMILIES))
            log = (folder / "train.log").open("a")
            running.append((folder, time.monotonic(), subprocess.Popen(
                command("train", *common, "--family", family, "--seed", seed, "--out", folder,
                        "--processes", "1"), stdout=log, stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": str(threads)})))
            print(f"training {folder}: see {folder / 'train.log'}", flush=True)
        for folder, began, process in running:
            if process.wait():
                raise SystemExit(f"Training {folder} failed: see {folder / 'train.log'}.")
            print(f"trained {folder} within {time.monotonic() - began:.0f} s", flush=True)
    finally:  # where one failed, the other does not go on alone
        for _, _, process in running:
            process.terminate()
            process.wait()


def outcomes(folder: Path) -> dict[str, bool]:
    """Success of each held-out episode, by task and layout."""
    episodes = json.loads((folder / "eval" / "eval.json").read_text())["episodes"]
    return {f"{e['task']} {e['seed']}": bool(e["success"]) for e in episodes}


def report(out: Path, seeds: int) -> None:
    """Write ``few_data.json`` and ``few_data.md``."""
    rows, done = [], {f: [outcomes(out / f"{f}_{s}") for s in range(seeds)] for f in FAMILIES}
    result: dict[str, Any] = {"training_seeds": seeds}
    for family, runs in done.items():
        every = [x for run in runs for x in run.values()]
        low, high = wilson(sum(every), len(every))
        single = [float(np.mean(list(run.values()))) for run in runs]
        result[family] = {"successes": sum(every), "episodes": len(every),
                          "interval": [low, high], "by_training_seed": single}
        rows.append(f"| {family} | {sum(every)}/{len(every)} | {100 * np.mean(every):.0f} % "
                    f"({100 * low:.0f}-{100 * high:.0f} %) | "
                    + ", ".join(f"{100 * x:.0f} %" for x in single) + " |")
    pairs = [(mine, done["twin"][s][key]) for s, run in enumerate(done["video"])
             for key, mine in run.items()]
    ours, theirs = pairs.count((True, False)), pairs.count((False, True))
    result |= {"only_video": ours, "only_twin": theirs}
    if ours + theirs:
        result["p"] = float(binomtest(ours, ours + theirs).pvalue)
    result["by_task"] = {task: {f: sum(x for run in done[f] for k, x in run.items()
                                       if k.split()[0] == task) for f in FAMILIES}
                         for task in sorted({k.split()[0] for k in done["video"][0]})}
    write_text(out / "few_data.json", json.dumps(result, indent=1) + "\n")
    table = ["| family | done | success (95 %) | each training seed |", "|---|---|---|---|", *rows,
             "", f"Only by video {ours}, only by the twin {theirs}."]
    write_text(out / "few_data.md", "\n".join(table) + "\n")
    print("\n".join(table), flush=True)


if __name__ == "__main__":
    main()
