# SPDX-License-Identifier: Apache-2.0
"""``wm probe``: what surprises a model, and what its latents know (linear probes)."""
from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from wm_ros.evaluation import probes, surprise
from wm_ros.evaluation.arguments import AtLeast, Device
from wm_ros.evaluation.evaluate import Load, load_once
from wm_ros.evaluation.folders import for_report
from wm_ros.evaluation.jobs import Workers
from wm_ros.files import write_json
from wm_ros.progress import Progress
from wm_ros.report.plots import BLUE, GREEN, GREY, ORANGE, svg_of
from wm_ros.sim.tasks import task_names
from wm_ros.world_model.interface import Observation

HELP = "Measure what surprises a model, and what its latents know (linear probes; jepa)."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", default="jepa", help="checkpoint name or folder")
    parser.add_argument("--tasks", default="all", help="all, home, office, or names with commas")
    parser.add_argument("--fit", action=AtLeast, least=0, default=10, metavar="N",
                        help="training layouts a task that probes are fitted on; 0: the surprise "
                        "test alone (default 10)")
    parser.add_argument("--seeds", action=AtLeast, least=1, default=5,
                        help="held-out layouts a task, for probes and surprise (default 5)")
    parser.add_argument("--first-seed", action=AtLeast, least=0, default=100,
                        help="first held-out seed")
    parser.add_argument("--workers", action=AtLeast, least=1, default=2,
                        help="processes at work")
    parser.add_argument("--device", action=Device)
    parser.add_argument("--out", type=Path, default=Path("out/probe"),
                        help="folder for the report")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    tasks, load = task_names(args.tasks), Load(args.model, device=args.device)
    model = load_once(*load)
    with for_report(args.out, ("probe.json", "surprise.png")):
        probe(args, tasks, load, model)
    return 0


def probe(args: argparse.Namespace, tasks: list[str], load: Load, model: Any) -> None:
    """Do the work and write the report."""
    held = [(load, t, args.first_seed + i, "held_out") for t in tasks
            for i in range(args.seeds)]
    latents = hasattr(model, "encode")  # without them there is nothing to probe
    fit = [(load, t, i, "train") for t in tasks for i in range(args.fit) if latents]
    calls: list[tuple[Any, ...]] = [(_watch, *job) for job in held]
    if fit:
        calls += [(_sample, *job) for job in fit + held]
    answers: list[Any] = []
    with Workers(args.workers) as workers, Progress("probe", len(calls), "episodes") as bar:
        for answer in workers.answers(calls, in_order=True):
            answers.append(answer)
            bar.update(len(answers))
    watched, sampled = answers[:len(held)], answers[len(held):]
    rows = [row for one in watched for row in one]
    summary: dict[str, Any] = {"model": str(args.model), "tasks": tasks, "seeds": args.seeds,
                               "surprise": surprise.summarise(rows)}
    if hasattr(model, "plan"):
        summary["plan_ms"] = plan_times(model)
    if sampled:
        summary["probes"] = probes.probe(sampled[:len(fit)], sampled[len(fit):])
    write_json(args.out / "probe.json", summary | {"looks": rows})
    svg_of("surprise", lambda axes: picture(axes, rows), args.out)
    print(table(summary))
    print(f"\nPicture: {args.out / 'surprise.png'}; numbers: {args.out / 'probe.json'}")


def plan_times(model: Any, times: int = 10) -> list[float]:
    """Median and extremes of the time of one plan on all cores, ms."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    rng = np.random.default_rng(0)
    size = model.spec.image_size
    images = rng.integers(0, 255, (2, size, size, 3), dtype=np.uint8)
    unit = np.array([1.0, 0.0, 0.0, 0.0])
    seen = Observation(images[0], np.ones((size, size)), images[1], np.eye(3), np.zeros(3), unit,
                       np.zeros(7), np.array([0.4, 0.0, 0.3]), unit, 0.08, np.zeros(6))
    took = []
    for _ in range(times + 1):
        state = model.observe(seen)
        model.set_goal(state, model.encode(images[1], images[0]))
        begin = time.perf_counter()
        model.act(state)
        took.append(1e3 * (time.perf_counter() - begin))
    torch.set_num_threads(threads)
    took = took[1:]  # the first call of a network takes longer
    return [round(float(x), 1) for x in (np.median(took), min(took), max(took))]


def table(summary: dict[str, Any]) -> str:
    """The scores as Markdown."""
    lines = ["| event | AUROC against normal looks | median surprise | looks |",
             "|---|---|---|---|"]
    lines += [f"| {kind} | {row.get('auroc', '')} | {row.get('median', '')} | "
              f"{row.get('looks', '')} |" for kind, row in summary["surprise"].items()]
    if "probes" in summary:
        lines += ["", "| linear probe | R2 | RMSE | samples |", "|---|---|---|---|"]
        lines += [f"| {name} | {row['r2']:.3f} | {row['rmse']:.4f} | {row['samples']} |"
                  for name, row in summary["probes"].items()]
    if "plan_ms" in summary:
        median, least, most = summary["plan_ms"]
        lines.append(f"\none plan: {median:.0f} ms ({least:.0f}-{most:.0f})")
    return "\n".join(lines)


def picture(axes: Axes, rows: list[tuple[str, float]]) -> bool:
    """Surprise by kind of event, every look a dot."""
    kinds = [("normal", GREY), *((k, ORANGE) for k in surprise.VIOLATIONS),
             *((k, BLUE) for k in surprise.HARMLESS)]
    rng = np.random.default_rng(0)
    for at, (kind, color) in enumerate(kinds):
        values = np.array([max(v, 1e-2) for k, v in rows if k == kind])
        if not len(values):
            continue
        axes.scatter(at + rng.uniform(-0.25, 0.25, len(values)), values, s=5, alpha=0.5,
                     color=color)
        axes.plot([at - 0.3, at + 0.3], [np.median(values)] * 2, color=color, lw=2)
    axes.axhline(1.0, color=GREEN, lw=1, ls="--")
    axes.set(yscale="log", ylabel="surprise (1: limit)", xticks=range(len(kinds)),
             xticklabels=[kind for kind, _ in kinds])
    axes.tick_params(axis="x", labelrotation=20)
    return bool(rows)


def _watch(load: Load, task: str, seed: int, split: str) -> list[tuple[str, float]]:
    return surprise.watch(load_once(*load), task, seed, split)


def _sample(load: Load, task: str, seed: int, split: str) -> dict[str, np.ndarray]:
    return probes.sample(load_once(*load), task, seed, split)
