# SPDX-License-Identifier: Apache-2.0
"""``wm eval``: success of a checkpoint on held-out layouts, with intervals, in parallel."""
from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wm_ros.errors import UserError
from wm_ros.evaluation import keeping, open_loop
from wm_ros.evaluation.arguments import AtLeast, Device
from wm_ros.evaluation.calibration import calibration
from wm_ros.evaluation.closed_loop import Outcome, check_acts, foretold, run_episode
from wm_ros.evaluation.folders import for_report
from wm_ros.evaluation.goals import run_goals
from wm_ros.evaluation.jobs import Workers
from wm_ros.evaluation.page import write_page
from wm_ros.evaluation.statistics import wilson
from wm_ros.evaluation.unfinished import Unfinished
from wm_ros.files import write_json
from wm_ros.progress import Progress
from wm_ros.sim.tasks import TASKS, task_names
from wm_ros.world_model.ensemble import parts
from wm_ros.world_model.loading import find
from wm_ros.world_model.precision import CHOICES

HELP = "Measure a checkpoint on held-out layouts, closed loop in the simulator, no ROS needed."


class Load(NamedTuple):
    """A checkpoint and how to run it."""

    model: str
    precision: str = "auto"
    backend: str = "torch"
    device: str = "cpu"


_MODEL: dict[Load, Any] = {}


REPORT = ("eval.json", "index.html", "plots", "*-success.gif", "*-failure.gif")
CANDIDATES, EXECUTE = 1, 3  # chunks proposed at a time, and poses followed of one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", default="video", help="checkpoint name or folder")
    parser.add_argument("--tasks", default="all", help="all, home, office, or names with commas")
    parser.add_argument("--seeds", action=AtLeast, least=1, default=20,
                        help="layouts a task (default 20)")
    parser.add_argument("--first-seed", action=AtLeast, least=0, default=100,
                        help="first seed (default 100)")
    parser.add_argument("--split", default="held_out", choices=["held_out", "novel", "train"],
                        help="held_out: new layouts; novel: new colours and words too")
    parser.add_argument("--candidates", action=AtLeast, least=1, default=CANDIDATES,
                        help="chunks proposed at a time, the best is followed (default 1)")
    parser.add_argument("--precision", default="auto", choices=CHOICES,
                        help="number format of the network (default auto: bf16 on a GPU, "
                        "else fp32)")
    parser.add_argument("--backend", default="torch", choices=("torch", "onnx"),
                        help="who runs the network (default torch)")
    parser.add_argument("--device", action=Device)
    parser.add_argument("--execute", action=AtLeast, least=1, default=EXECUTE,
                        help="poses followed a chunk (default 3)")
    parser.add_argument("--workers", action=AtLeast, least=1, default=2,
                        help="processes at work")
    parser.add_argument("--films", action=AtLeast, least=0, default=1,
                        help="films kept a task (default 1)")
    parser.add_argument("--open-loop", action=AtLeast, least=0, default=2, metavar="N",
                        help="expert episodes a task on which foresight is scored (default 2)")
    parser.add_argument("--out", type=Path, default=Path("out/eval"),
                        help="folder for the report")
    parser.add_argument("--record", action="store_true", help="keep the scores of all tasks "
                        "beside the checkpoint, as scores.json, from which `make docs` fills the "
                        "pages")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    tasks = task_names(args.tasks)
    if args.record and set(tasks) != set(TASKS):
        raise UserError("--record replaces all scores of the split: it needs --tasks all.")
    load = Load(args.model, args.precision, args.backend, args.device)
    model = load_once(*load)  # a broken checkpoint is told once, before any process starts
    if hasattr(model, "set_goal") and (args.candidates, args.execute) != (CANDIDATES, EXECUTE):
        raise UserError(f"{args.model} plans to goal images: --candidates and --execute are not "
                        "for it.")
    check_acts(args.model, model)
    kept = unfinished(args)
    with for_report(args.out, REPORT, lambda old: (
            old.get("mark") == kept.folder.name and kept.folder.is_dir())):
        evaluate(args, tasks, load, model, kept)
    return 0


def evaluate(args: argparse.Namespace, tasks: list[str], load: Load, model: Any,
             kept: Unfinished) -> None:
    """Run the episodes that are not kept yet, and write the report."""
    episodes = [(task, args.first_seed + i, i < args.films)
                for task in tasks for i in range(args.seeds)]
    if line := kept.told([episode[:2] for episode in episodes]):
        print(line)
    found = {episode: kept.find(*episode) for episode in episodes}
    outcomes = [outcome for outcome in found.values() if outcome is not None]
    calls = [(_episode, load, task, seed, args.split, args.candidates, args.execute, film)
             for (task, seed, film), outcome in found.items() if outcome is None]
    with keeping.going_on(), Workers(args.workers) as workers, \
            Progress("evaluate", len(episodes), "episodes", start=len(outcomes)) as bar:
        for outcome in workers.answers(calls):
            kept.keep(outcome, model)
            outcomes.append(outcome)
            done = sum(o.success for o in outcomes)
            bar.update(len(outcomes), note=f"{done}/{len(outcomes)} succeeded")
        scored = [(_score, load, task, args.first_seed + i, args.split)
                  for task in tasks for i in range(args.open_loop)
                  if hasattr(model, "infer_actions") and model.spec.family != "twin"]
        moments = [moment for answer in workers.answers(scored, in_order=True)
                   for moment in answer]
    if all(o.refused for o in outcomes):
        raise UserError(f"{args.model} did not act in any episode: {outcomes[0].refused}")
    summary = summarise(outcomes, tasks) | {
        "model": str(args.model), "precision": keeping.precision_of(model),
        "backend": args.backend, "device": args.device, "split": args.split,
        "first_seed": args.first_seed, "candidates": args.candidates,
        "mark": kept.folder.name,
        # nearness to a goal is no probability
        "calibration": ({} if hasattr(model, "set_goal")
                        else calibrate(outcomes, model.spec.horizon)),
        "open_loop": open_loop.summarise(moments)}
    write_json(args.out / "eval.json", summary)
    if args.record:
        from wm_ros.evaluation.bench import commit, machine
        from wm_ros.evaluation.scores import record
        record(summary, find(args.model), commit(), machine())
    print(table(summary))
    print(f"\nPage with plots and films: {write_page(summary, args.out, kept.films)}")
    kept.clear()


def unfinished(args: argparse.Namespace) -> Unfinished:
    """What an earlier run of the same command came to before it was stopped."""
    from wm_ros.world_model.checkpoint import read_config

    folder = find(args.model)
    asked = (f"{args.split} {args.candidates} {args.execute} {args.precision} {args.backend} "
             f"{args.device}")
    return Unfinished(args.out, keeping.fingerprint(parts(folder, read_config(folder)), asked),
                      keeping.code_version())


def calibrate(outcomes: list[Outcome], horizon: int) -> dict[str, Any]:
    """How far the predicted success of each look is to be trusted."""
    pairs = [foretold(o, horizon) for o in outcomes]
    return calibration(np.array([p for ps, _ in pairs for p in ps]),
                       np.array([h for _, hs in pairs for h in hs]))


def summarise(outcomes: list[Outcome], tasks: list[str]) -> dict[str, Any]:
    """Rates by task with 95 % Wilson intervals, times and contacts."""
    rows: dict[str, dict[str, Any]] = {}
    for task in tasks:
        mine = sorted((o for o in outcomes if o.task == task), key=lambda o: o.seed)
        won = [o for o in mine if o.success]
        rows[task] = {
            "successes": len(won), "trials": len(mine),
            "interval": [round(x, 3) for x in wilson(len(won), len(mine))],
            "seconds": round(float(np.mean([o.seconds for o in won])), 2) if won else None,
            "furniture_contacts": sum(o.furniture_contacts for o in mine),
            "refused": sum(bool(o.refused) for o in mine),
            "failed_seeds": [o.seed for o in mine if not o.success],
            "progress_of_failures": [round(o.progress, 2) for o in mine if not o.success]}
    every = [ms for o in outcomes for ms in o.act_ms]
    return {"tasks": rows,
            "mean": float(np.mean([r["successes"] / r["trials"] for r in rows.values()])),
            "act_ms_p50": float(np.median(every)), "act_ms_p95": float(np.quantile(every, 0.95)),
            "episodes": [{k: v for k, v in asdict(o).items()
                          if k not in ("frames", "act_ms", "looks")} for o in outcomes]}


def table(summary: dict[str, Any]) -> str:
    """The rates as Markdown; touches: control steps with the arm at the furniture."""
    lines = ["| task | success | 95 % interval | time | touches |", "|---|---|---|---|---|"]
    for task, row in summary["tasks"].items():
        low, high = row["interval"]
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f} s"
        lines.append(f"| {task} | {row['successes']}/{row['trials']} | "
                     f"{100 * low:.0f}-{100 * high:.0f} % | {seconds} | "
                     f"{row['furniture_contacts']} |")
    return "\n".join([*lines, f"\nmean {100 * summary['mean']:.1f} %, "
                              f"act p50 {summary['act_ms_p50']:.0f} ms"])


def load_once(model: str, precision: str = "auto", backend: str = "torch",
              device: str = "cpu") -> Any:
    """A checkpoint with one thread, kept for the process's next episodes."""
    load = Load(model, precision, backend, device)
    if load not in _MODEL:
        import torch

        from wm_ros.world_model import load_model
        torch.set_num_threads(1)
        options = {} if backend == "torch" else {"backend": backend}
        _MODEL[load] = load_model(model, device, precision, **options)
    return _MODEL[load]


def _episode(load: Load, task: str, seed: int, split: str, candidates: int, execute: int,
             film: bool) -> Outcome:
    model = load_once(*load)
    if hasattr(model, "set_goal"):  # it has no words, but an expert's pictures
        return run_goals(model, task, seed, split, film=film)
    return run_episode(model, task, seed, split, candidates, execute, film)


def _score(load: Load, task: str, seed: int, split: str) -> list[dict[str, Any]]:
    return open_loop.score(load_once(*load), task, seed, split)
