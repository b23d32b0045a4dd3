# SPDX-License-Identifier: Apache-2.0
"""``wm sim``: let the expert do a task in the simulator, and look at it."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wm_ros.errors import UserError

if TYPE_CHECKING:
    from wm_ros.sim.tasks.base import Task

HELP = "Run a task's scripted expert in the simulator, film it, or measure all experts."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("task", nargs="?", help="name of the task; without one they are listed")
    parser.add_argument("--seed", type=int, default=0, help="layout and variant (default 0)")
    parser.add_argument("--robot", default="panda",
                        help="robot by name (config/robots/) or path of its YAML file")
    parser.add_argument("--held-out", action="store_true", help="a layout kept for evaluation")
    parser.add_argument("--video", type=Path, metavar="FILE", help="write a film (.gif)")
    parser.add_argument("--steps", type=Path, metavar="FILE", help="write a strip of pictures")
    parser.add_argument("--size", type=int, default=160, help="height of the pictures, pixels")
    parser.add_argument("--disturb", action="store_true", help="push the arm off its way")
    parser.add_argument("--all", action="store_true", help="measure the experts of all tasks")
    parser.add_argument("--seeds", type=int, default=0, metavar="N",
                        help="measure the expert over the seeds from 0 to N - 1 (with --all: of "
                        "each task); --seed does not count then")
    parser.add_argument("--workers", type=int, default=1, help="processes for measuring")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from wm_ros.sim.tasks import TASKS, task_class

    if min(args.seed, args.seeds) < 0 or args.workers < 1:
        raise UserError("--seed and --seeds must be at least 0, --workers at least 1.")
    if args.all or args.seeds:
        if args.task is None and not args.all:
            raise UserError("Name a task for --seeds, or add --all to measure every task.")
        return _measure(list(TASKS) if args.all else [task_class(args.task).name], args)
    if args.task is None:
        for name, task in TASKS.items():
            print(f"{task.room:7s} {name:18s} {task().instruction()}{_choices(task)}")
        return 0
    return _show(args)


def _choices(task: type[Task]) -> str:
    """What else may stand in an instruction of the task, slot by slot."""
    from wm_ros.sim.judging import VARIANTS

    found: dict[str, set[str]] = {}
    for seed in range(VARIANTS):
        for split in ("train", "held_out"):
            for slot, word in task(seed, split).slots().items():
                found.setdefault(slot, set()).add(word)
    return "".join(f"   ({slot}: {', '.join(sorted(words))})" for slot, words in found.items())


def _measure(tasks: list[str], args: argparse.Namespace) -> int:
    from wm_ros.evaluation.expert_rate import row, run_expert
    from wm_ros.evaluation.jobs import Workers

    split, seeds = ("held_out" if args.held_out else "train"), range(args.seeds or 20)
    worst = 1.0
    with Workers(args.workers) as workers:
        for task in tasks:
            episodes = list(workers.answers(
                (run_expert, task, seed, split, float(args.disturb), args.robot)
                for seed in seeds))
            print(row(task, episodes), flush=True)
            worst = min(worst, sum(e.success for e in episodes) / len(episodes))
    return 0 if worst >= 0.95 else 1


def _show(args: argparse.Namespace) -> int:
    from wm_ros.sim.env import Disturbance, TaskEnv
    from wm_ros.sim.schema import TALLEST

    if args.video and args.video.suffix.lower() != ".gif":
        raise UserError("The film is written as an animated GIF: give --video a name like a.gif.")
    if args.steps and args.steps.suffix.lower() not in (".png", ".jpg", ".webp"):
        raise UserError("The strip is a picture: give --steps a name like a.png.")
    if not 16 <= args.size <= TALLEST:
        raise UserError(f"--size must be from 16 to {TALLEST}.")
    split = "held_out" if args.held_out else "train"
    filmed = bool(args.video or args.steps)
    env = TaskEnv(args.task, args.seed, split, args.robot, image_size=args.size, render=filmed)
    print(f"{env.task.room}: \"{env.instruction}\"")
    expert = env.expert()
    disturb = Disturbance(np.random.default_rng(args.seed), float(args.disturb))
    frames: list[np.ndarray] = []
    rest = 10
    while env.steps < env.max_steps and rest:
        if filmed:
            obs = env.observe()
            frames.append(np.concatenate([obs.scene_rgb, obs.wrist_rgb], axis=1))
        env.step(disturb(expert.act(), env.sim.tcp_pose()))
        rest -= env.success()
    success = env.success()
    print(f"{'success' if success else 'failure'} after {0.1 * env.steps:.1f} s "
          f"({env.steps} steps), progress {env.progress():.2f}")
    if args.video:
        _write_film(args.video, frames)
        print(f"film: {args.video}")
    if args.steps:
        _write_strip(args.steps, frames)
        print(f"pictures: {args.steps}")
    env.close()
    return 0 if success else 1


def _write_film(path: Path, frames: list[np.ndarray]) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, loop=0)


def _write_strip(path: Path, frames: list[np.ndarray], columns: int = 4, count: int = 16) -> None:
    from PIL import Image

    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, count).round().astype(int)]
    rows = [np.concatenate(chosen[i:i + columns], axis=1) for i in range(0, count, columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)
