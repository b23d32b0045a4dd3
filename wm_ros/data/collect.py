# SPDX-License-Identifier: Apache-2.0
"""``wm collect``: let experts, or a model, do tasks; keep what they saw and did as a data set."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from wm_ros.data import layout
from wm_ros.data.lerobot import DatasetWriter, disk_errors, read_episode_rows
from wm_ros.data.rollout import DRIVEN, SPOILED, kind_of, rollout
from wm_ros.environment import begin_worker
from wm_ros.errors import UserError
from wm_ros.files import write_json
from wm_ros.progress import Progress
from wm_ros.sim.schema import TALLEST

HELP = ("Collect demonstrations of simulated tasks, or a model's own tries, into a data set in "
        "LeRobot's layout.")
SUMMARY = layout.COLLECTED
MAX_ERRORS = 10  # episodes in a row that may go wrong before the collection stops


@dataclass(frozen=True)
class Settings:
    """What decides the content of an episode, given its task and seed; one set has one."""

    perturb: float = 0.5
    failures: float = 0.1
    image_size: int = 96
    robot: str = "panda"
    corrected: float = 0.0
    model: str = ""
    explore: float = 0.0
    practice: float = 0.0
    hindsight: float = 0.0

    def __post_init__(self) -> None:
        shares = (self.perturb, self.failures, self.corrected, self.explore, self.practice)
        if not (all(0 <= share <= 1 for share in shares) and sum(shares) <= 1 + 1e-9):
            raise UserError(f"--perturb {self.perturb:g}, --failures {self.failures:g}, "
                            f"--corrected {self.corrected:g}, --explore {self.explore:g} and "
                            f"--practice {self.practice:g} are shares: 0 to 1, and 1 at most "
                            "together.")
        if bool(self.model) != (self.corrected + self.practice > 0):
            raise UserError("--model belongs together with --corrected or --practice: the share "
                            "of episodes in which it drives in turns with the expert, or alone.")
        if not 0 <= self.hindsight <= (self.practice > 0):
            raise UserError(f"--hindsight {self.hindsight:g} is a share of what is practised: 0 "
                            "to 1, and only with --practice.")
        if not 16 <= self.image_size <= TALLEST or self.image_size % 2:
            raise UserError(f"--image-size must be an even number from 16 to {TALLEST}.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set; a set "
                        "that is there already is continued, never overwritten")
    parser.add_argument("--tasks", default="all", help="all, home, office or names with commas")
    parser.add_argument("--episodes", type=int, default=50, metavar="N",
                        help="episodes of each task (default 50)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--perturb", type=float, default=0.5, metavar="SHARE",
                        help="share of episodes in which the arm is pushed off its way and "
                        "recovers (default 0.5)")
    parser.add_argument("--failures", type=float, default=0.1, metavar="SHARE",
                        help="share of episodes spoiled on purpose (default 0.1)")
    parser.add_argument("--explore", type=float, default=0.0, metavar="SHARE",
                        help="share of episodes in which the hand strolls about in turns with "
                        "the expert, so that a model that plans by predicting knows more than "
                        "the experts' ways; never imitated (default 0; all shares are 1 at most "
                        "together)")
    parser.add_argument("--corrected", type=float, default=0.0, metavar="SHARE",
                        help="share of episodes in which a model drives in turns with the "
                        "expert, who corrects it (default 0)")
    parser.add_argument("--practice", type=float, default=0.0, metavar="SHARE",
                        help="share of episodes in which a model drives alone; those in which it "
                        "succeeds can be learnt from beside the demonstrations, and do not count "
                        "as such (default 0; --perturb 0 --failures 0 --practice 1 for nothing "
                        "else)")
    parser.add_argument("--hindsight", type=float, default=0.0, metavar="SHARE",
                        help="share of practised episodes in which doing it with another thing "
                        "than was named counts, under the words for what was done (default 0)")
    parser.add_argument("--model", default="", help="checkpoint that drives in those")
    parser.add_argument("--seed0", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--image-size", type=int, default=96, help="pixels (default 96)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    settings = Settings(args.perturb, args.failures, args.image_size, corrected=args.corrected,
                        model=args.model, explore=args.explore, practice=args.practice,
                        hindsight=args.hindsight)
    if args.episodes < 1 or args.workers < 1 or args.seed0 < 0:
        raise UserError("--episodes and --workers must be at least 1 and --seed0 at least 0.")
    from wm_ros.sim.tasks import task_names

    summary = collect(args.out, task_names(args.tasks), args.episodes, settings, args.workers,
                      args.seed0)
    return 130 if summary["stopped"] else 0


def collect(
    root: Path,
    tasks: list[str],
    episodes: int,
    settings: Settings,
    workers: int = 2,
    seed0: int = 0,
    env: str = "wm_ros.sim.env:TaskEnv",
    driver: str = "wm_ros.evaluation.driver:ModelDriver",
) -> dict[str, Any]:
    """Collect what is missing of seeds seed0 .. seed0 + episodes - 1 of every task.

    Only layouts of the training split are used. Ctrl-C ends it after the running episodes; the
    same call goes on where the last one ended, whatever ended it.

    :param env: module:class of the environment
    :param driver: module:class of what drives in corrected and practised episodes
    :return: the summary, which is also written to collect.json in the data set
    :raises UserError: the set was made with other settings, the disk is full
    """
    writer = DatasetWriter(root, settings.robot)
    with writer.lock():
        kept = writer.keys()
        _same_settings(root, settings, not kept)
        # seeds outside, tasks inside: a collection that is stopped early has all tasks
        todo = [(task, seed) for seed in range(seed0, seed0 + episodes) for task in tasks
                if (task, seed) not in kept]
        started = time.monotonic()
        there = len(tasks) * episodes - len(todo)
        with Progress("collect", len(todo), "episodes") as bar:
            if there:
                bar.say(f"{there} of the episodes are there already; {len(todo)} to go.")
            result = _work(root, todo, settings, workers, (env, driver), bar)
            bar.say("putting the episodes into files")
            total = writer.merge()
        summary = _summary(root, settings, result, time.monotonic() - started)
        last = summary["last_run"]
        bar.say(f"{root}: {total} episodes, {summary['frames']} frames; "
                f"{last['episodes_per_s']:.2f} episodes/s, {last['frames_per_s']:.0f} frames/s"
                + ("; stopped: the same command goes on from here" if summary["stopped"] else ""))
    return summary


def _same_settings(root: Path, settings: Settings, empty: bool) -> None:
    """Hold the settings against those of what is there; ``empty``: no episode is."""
    path = root / SUMMARY
    if (root / layout.CONVERTED).exists():
        raise UserError(f"{root} was made by `wm convert`: choose another --out.")
    if path.exists() and not empty:
        before = asdict(Settings()) | json.loads(path.read_text()).get("settings", {})
        now = asdict(settings)
        other = [f"{k.replace('_', ' ')} {before[k]}" for k in now if before.get(k) != now[k]]
        if other:
            raise UserError(
                f"{root} was collected with {', '.join(other)}: use the same setting to go on, "
                "or another folder."
            )
    with disk_errors(root):
        write_json(path, {"settings": asdict(settings)} if empty or not path.exists()
                          else json.loads(path.read_text()))


def _work(
    root: Path,
    todo: list[tuple[str, int]],
    settings: Settings,
    workers: int,
    classes: tuple[str, str],
    bar: Progress,
) -> dict[str, Any]:
    """Run the missing episodes; returns errors, frames, episodes and whether it was stopped."""
    result: dict[str, Any] = {"errors": [], "frames": 0, "episodes": 0, "stopped": False}
    if not todo:
        return result
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers are the parallelism
    pool = ProcessPoolExecutor(min(workers, len(todo)), get_context("spawn"),
                               begin_worker)
    jobs: Iterator[tuple[str, int]] = iter(todo)
    running: set[Future[dict[str, Any]]] = set()
    in_a_row = good = tries = 0
    try:
        while True:
            for task, seed in islice(jobs, 3 * workers - len(running)):
                running.add(pool.submit(_episode, root, task, seed, settings, *classes))
            if not running:
                break
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                done = future.result()
                if "error" in done:
                    result["errors"].append(done)
                    in_a_row += 1
                    if in_a_row >= MAX_ERRORS:
                        raise UserError(
                            f"{in_a_row} episodes in a row went wrong, the last ({done['task']}, "
                            f"seed {done['seed']}) with: {done['error']}"
                        )
                    bar.say(f"{done['task']} seed {done['seed']}: {done['error']}")
                else:
                    in_a_row = 0
                    result["episodes"] += 1
                    result["frames"] += done["frames"]
                    if done["kind"] not in SPOILED:
                        tries += 1
                        good += done["success"]
                bar.advance(f"succeeded {good}/{tries}")
    except KeyboardInterrupt:
        result["stopped"] = True
        bar.say("stopping after the running episodes")
    except BrokenProcessPool:
        raise UserError(
            "A worker process was ended from outside (often for want of memory): run the same "
            "command again to go on, perhaps with fewer --workers."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return result


def _class(name: str) -> Any:
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)


def _episode(root: Path, task: str, seed: int, settings: Settings, env: str,
             driver: str) -> dict[str, Any]:
    """One episode, in a worker."""
    about = {"task": task, "seed": seed}
    kind = kind_of(task, seed, settings.perturb, settings.failures, settings.corrected,
                   settings.explore, settings.practice)
    try:
        model = _class(driver)(settings.model) if kind in DRIVEN else None
        made = _class(env)(
            task, seed, split="train", robot=settings.robot, image_size=settings.image_size
        )
        try:
            episode = rollout(made, task, seed, kind, model,
                              settings.hindsight if kind == "practised" else 0.0)
        finally:
            made.close()
        episode.check()
    except UserError:
        raise
    except Exception as error:  # one bad layout must not end a night's collection
        return {**about, "error": f"{type(error).__name__}: {error}"}
    DatasetWriter(root, settings.robot).commit(episode)
    return {**about, "frames": len(episode), "success": episode.success, "kind": kind}


def _summary(
    root: Path, settings: Settings, result: dict[str, Any], seconds: float
) -> dict[str, Any]:
    columns = ["task_name", "seed", "length", "success", "perturbed", "deliberate_failure",
               "practised"]
    table: dict[str, dict[str, int]] = {}
    rows = read_episode_rows(root, columns)
    for row in rows:
        entry = table.setdefault(row["task_name"], dict.fromkeys(
            ("episodes", "frames", "demonstrations", "demonstrations_successful", "perturbed",
             "deliberate_failures", "practised", "practised_successful", "seed_min", "seed_max"),
            0))
        shown = not (row["deliberate_failure"] or row["practised"])
        entry["episodes"] += 1
        entry["frames"] += row["length"]
        entry["perturbed"] += row["perturbed"]
        entry["deliberate_failures"] += row["deliberate_failure"]
        entry["practised"] += row["practised"]
        entry["practised_successful"] += row["practised"] and row["success"]
        entry["demonstrations"] += shown
        entry["demonstrations_successful"] += shown and row["success"]
        first = entry["episodes"] == 1
        entry["seed_min"] = row["seed"] if first else min(entry["seed_min"], row["seed"])
        entry["seed_max"] = max(entry["seed_max"], row["seed"])
    summary = {
        "settings": asdict(settings),
        "split": "train",
        "episodes": len(rows),
        "frames": sum(row["length"] for row in rows),
        "tasks": table,
        "stopped": result["stopped"],
        "last_run": {
            "episodes": result["episodes"],
            "frames": result["frames"],
            "seconds": round(seconds, 1),
            "episodes_per_s": round(result["episodes"] / max(seconds, 1e-9), 3),
            "frames_per_s": round(result["frames"] / max(seconds, 1e-9), 1),
            "errors": result["errors"],
        },
    }
    write_json(root / SUMMARY, summary)
    return summary
