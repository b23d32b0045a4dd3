# SPDX-License-Identifier: Apache-2.0
"""``wm compare``: several checkpoints on the same tasks, seeds and machine, in one table.

Every episode is kept as one JSON file under ``cells/``, named by the model's weights and the
settings: the same command goes on where it was stopped; what was trained anew, or run by another
version of the code, is run anew.
"""
from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from wm_ros.errors import UserError
from wm_ros.evaluation import costs, foresight, keeping
from wm_ros.evaluation.arguments import AtLeast, Device
from wm_ros.evaluation.closed_loop import run_episode
from wm_ros.evaluation.comparison import markdown, summarise, write_plot
from wm_ros.evaluation.evaluate import Load, load_once
from wm_ros.evaluation.folders import for_report
from wm_ros.evaluation.jobs import Workers
from wm_ros.files import write_json, write_text
from wm_ros.progress import Progress
from wm_ros.sim.tasks import task_names
from wm_ros.world_model.ensemble import parts
from wm_ros.world_model.interface import Observation
from wm_ros.world_model.loading import find
from wm_ros.world_model.precision import CHOICES

HELP = "Compare checkpoints and families: success, latency, memory, training, foresight, surprise."

REPORT = ("compare.json", "compare.md", "compare.svg", "compare.png")


class Entry(NamedTuple):
    """One column of the comparison.

    :param mark: changes with the checkpoint's files and with what is asked of it
    """

    label: str
    load: Load
    mark: str
    card: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--models", nargs="+", default=["video", "scene3d"], metavar="[NAME=]PATH",
                        help="checkpoint names or folders; NAME= says what to call it")
    parser.add_argument("--tasks", default="all", help="all, home, office, or names with commas")
    parser.add_argument("--seeds", action=AtLeast, least=1, default=10,
                        help="layouts a task (default 10)")
    parser.add_argument("--first-seed", action=AtLeast, least=0, default=100,
                        help="first seed (default 100)")
    parser.add_argument("--split", default="held_out", choices=["held_out", "novel", "train"],
                        help="layouts: new ones, new in looks and words too, or trained on")
    parser.add_argument("--candidates", action=AtLeast, least=1, default=1,
                        help="chunks imagined at a time, the best is followed (default 1)")
    parser.add_argument("--execute", action=AtLeast, least=1, default=3,
                        help="poses followed a chunk")
    parser.add_argument("--foresight", action=AtLeast, least=0, default=2, metavar="N",
                        help="expert episodes a task on which foresight is scored (default 2)")
    parser.add_argument("--precision", default="auto", choices=CHOICES,
                        help="of the networks, where a family has one")
    parser.add_argument("--device", action=Device)
    parser.add_argument("--workers", action=AtLeast, least=1, default=2,
                        help="processes at work")
    parser.add_argument("--out", type=Path, default=Path("out/compare"),
                        help="folder for the report")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    tasks, version = task_names(args.tasks), keeping.code_version()
    entries = read_entries(args)
    about = {"tasks": tasks, "commit": version, "settings": {k: getattr(args, k) for k in (
        "split", "seeds", "first_seed", "candidates", "execute", "foresight", "precision",
        "device")} | {"marks": [[entry.label, entry.mark] for entry in entries]}}
    with for_report(args.out, REPORT, lambda old: about.items() <= old.items()):
        compare(args, entries, about)
    return 0


def compare(args: argparse.Namespace, entries: list[Entry], about: dict[str, Any]) -> None:
    """Run what is not kept yet, and write the report with all that is said ``about`` it."""
    from wm_ros.evaluation.bench import machine

    tasks, version = about["tasks"], about["commit"]
    jobs = list(cells(entries, tasks, args))
    if line := keeping.told([job[0] for job in jobs], version):
        print(line)
    calls = [(_cell, version, *job) for job in jobs if not keeping.is_current(job[0], version)]
    there = len(jobs) - len(calls)
    with keeping.going_on(), Workers(args.workers) as workers, \
            Progress("compare", len(jobs), "episodes", start=there) as bar:
        for done, _ in enumerate(workers.answers(calls), there + 1):
            bar.update(done)
    results = {entry.label: measured(entry, tasks, args) for entry in entries}
    for label, cost in take_costs(entries, tasks[0]).items():
        results[label]["cost"] = cost
    summary = summarise(results, tasks) | {"machine": machine()} | about
    write_json(args.out / "compare.json", summary)
    text = markdown(summary)
    write_text(args.out / "compare.md", text + "\n")
    write_plot(summary, args.out)
    print(f"{text}\n\nTable, plot and every number: {args.out}")


def read_entries(args: argparse.Namespace) -> list[Entry]:
    """The models named on the command line. :raises UserError: if one is missing or named twice"""
    from wm_ros.world_model.checkpoint import read_config
    from wm_ros.world_model.loading import takes

    entries: list[Entry] = []
    for word in args.models:
        name, equals, path = word.partition("=")
        if not equals or find(word).exists():  # folders may be called so
            name, path = "", word
        folder = find(path)
        card, label = read_config(folder), name or folder.resolve().name
        if label in {e.label for e in entries}:
            raise UserError(f"Two models are called {label}: name them apart, NAME=PATH.")
        precision = args.precision if takes(folder, "precision") else "auto"
        asked = f"{args.split} {args.candidates} {args.execute} {precision} {args.device}"
        entries.append(Entry(label, Load(str(folder), precision, device=args.device),
                             keeping.fingerprint(parts(folder, card), asked), card))
    return entries


def cells(entries: list[Entry], tasks: list[str],
          args: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    """Everything to run: (file, kind, model, task, seed, settings). Models take turns, so that a
    comparison that is stopped early has seen all of them on the same seeds."""
    for i in range(args.seeds):
        for task in tasks:
            for entry in entries:
                seed = args.first_seed + i
                for kind in ("episode", "foresight")[:1 + (i < args.foresight)]:
                    yield (cell_file(args.out, entry, kind, task, seed), kind, entry.load, task,
                           seed, args.split, args.candidates, args.execute)


def cell_file(out: Path, entry: Entry, kind: str, task: str, seed: int) -> Path:
    """Where one episode's result is kept."""
    return out / "cells" / f"{entry.label}-{entry.mark}" / f"{kind}-{task}-{seed}.json"


def measured(entry: Entry, tasks: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """What was kept of one model: outcomes and foresight by task and seed."""
    kept: dict[str, Any] = {"family": entry.card["family"], "mark": entry.mark,
                            "training": costs.training(entry.card)}
    for kind, seeds in (("episode", args.seeds), ("foresight", min(args.foresight, args.seeds))):
        kept[kind] = [json.loads(cell_file(args.out, entry, kind, task,
                                           args.first_seed + i).read_text())
                      for task in tasks for i in range(seeds)]
    kept["precision"] = sorted({row["precision"] for row in kept["episode"]
                                if "precision" in row})
    return kept


def take_costs(entries: list[Entry], task: str) -> dict[str, dict[str, Any]]:
    """Memory of each model alone, then the time of all side by side, on otherwise idle workers."""
    answers: dict[str, dict[str, Any]] = {}
    for entry in entries:
        # seen in another process, whose renderer would leave room for the model
        look = _alone(_look, entry, task)
        answers[entry.label] = {"memory": _alone(_memory, entry, *look)}
    for label, times in _alone(_latency, entries, task).items():
        answers[label]["latency"] = times
    return answers


def _alone(work: Callable[..., Any], *args: Any) -> Any:
    with Workers(1) as workers:
        return next(workers.answers([(work, *args)]))


def _look(entry: Entry, task: str) -> tuple[Observation, str]:
    return costs.example(task, load_once(*entry.load).spec.image_size)


def _memory(entry: Entry, observation: Observation, words: str) -> dict[str, Any]:
    return costs.memory(lambda: load_once(*entry.load), observation, words)


def _latency(entries: list[Entry], task: str) -> dict[str, dict[str, Any]]:
    return costs.latency({e.label: load_once(*e.load) for e in entries}, task)


def _cell(version: str, path: Path, kind: str, load: Load, task: str, seed: int, split: str,
          candidates: int, execute: int) -> None:
    """Run one episode and keep its result."""
    model = load_once(*load)
    if kind == "foresight":
        result = foresight.score(model, task, seed, split)
    else:
        outcome = asdict(run_episode(model, task, seed, split, candidates, execute))
        result = {k: v for k, v in outcome.items() if k not in ("frames", "looks")}
    keeping.write(path, result, version, model)
