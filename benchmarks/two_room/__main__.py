# SPDX-License-Identifier: Apache-2.0
"""Train both models, let them do the same tasks in turns, write one JSON."""
from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.two_room import world

world.import_peer()

from benchmarks.two_room.ours import RATE as OUR_RATE  # noqa: E402
from benchmarks.two_room.ours import Ours  # noqa: E402
from benchmarks.two_room.peer import RATE as PEER_RATE  # noqa: E402
from benchmarks.two_room.peer import Peer  # noqa: E402
from wm_ros.evaluation.statistics import wilson  # noqa: E402
from wm_ros.progress import Progress  # noqa: E402
from wm_ros.world_model.jepa.planner import Search  # noqa: E402

RATES: dict[type, float] = {Ours: OUR_RATE, Peer: PEER_RATE}
SLICE = 10.0  # s of a model's turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/two_room"))
    parser.add_argument("--films", type=int, default=400, help="of 60 actions each")
    parser.add_argument("--minutes", type=float, default=8.0, help="of training, each model")
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--candidates", type=int, default=300)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--our-iterations", type=int, default=5,
                        help="of our search in a further row: fewer, for speed")
    parser.add_argument("--peer-iterations", type=int, default=30,
                        help="of the peer's search in a further row: what its authors use")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    films = collect(args.films)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    search = Search(candidates=args.candidates, iterations=args.iterations)
    models: dict[str, Any] = {"wm_ros jepa": Ours(search),
                              "stable-worldmodel LeWM": Peer(search, films.actions)}
    report: dict[str, Any] = {name: {"parameters": sum(p.numel() for p in m.model.parameters())}
                              for name, m in models.items()}
    for name, trained in train(models, films, args.minutes).items():
        report[name] |= trained
    del films
    for name, iterations in zip(list(models), (args.our_iterations, args.peer_iterations),
                                strict=True):
        other = models[f"{name}, {iterations} iterations"] = copy.copy(models[name])
        other.search_by(replace(search, iterations=iterations))  # the same network
    outcomes = compare(models, world.tasks(args.tasks, seed=10**6))
    first = next(iter(models))
    for name, (done, ms) in outcomes.items():
        low, high = wilson(sum(done), len(done))
        both = list(zip(outcomes[first][0], done, strict=True))
        report.setdefault(name, {}).update({
            "successes": sum(done), "tasks": len(done), "interval": [low, high],
            "only ours": both.count((True, False)), "only it": both.count((False, True)),
            "plan_ms_median": float(np.median(ms)), "plan_ms_p95": float(np.quantile(ms, 0.95))})
    args.out.mkdir(parents=True, exist_ok=True)
    report["settings"] = {k: v for k, v in vars(args).items() if k != "out"}
    (args.out / "two_room.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def collect(n: int) -> world.Films:
    """Films of the peer's expert, seeds from 0."""
    found = []
    with Progress("films", n) as bar:
        for one in world.film(n, 60, seed=0):
            found.append(one)
            bar.update(len(found))
    return world.Films(*(np.stack(x) for x in zip(*found, strict=True)))


class Trainer:
    """AdamW, warm-up and a cosine over a time of its own."""

    def __init__(self, model: Any, rate: float, seconds: float):
        self.model, self.rate, self.seconds = model, rate, seconds
        self.random = np.random.default_rng(0)
        self.optimizer = torch.optim.AdamW(model.model.parameters(), rate, weight_decay=0.02)
        self.spent, self.steps, self.loss = 0.0, 0, math.nan

    def go_on(self, films: world.Films, until: float) -> None:
        """Train until ``until`` seconds of its time are spent."""
        self.model.model.train()
        while self.spent < until:
            begin = time.monotonic()
            share = min(1.0, self.spent / self.seconds)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * min(1, (self.steps + 1) / 100) * (
                    0.05 + 0.475 * (1 + math.cos(math.pi * share)))
            loss = self.model.loss(films, self.random)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.model.parameters(), 1.0)
            self.optimizer.step()
            self.steps, self.loss = self.steps + 1, float(loss.detach())
            self.spent += time.monotonic() - begin
        self.model.model.eval()


def train(models: dict[str, Any], films: world.Films,
          minutes: float) -> dict[str, dict[str, float]]:
    """Both for the same time, in turns of some seconds: what else the machine does meets both."""
    trainers = {name: Trainer(model, RATES[type(model)], 60 * minutes)
                for name, model in models.items()}
    turns = max(1, round(60 * minutes / SLICE))
    with Progress("training", turns) as bar:
        for turn in range(1, turns + 1):
            for trainer in trainers.values():
                trainer.go_on(films, 60 * minutes * turn / turns)
            bar.update(turn, note=", ".join(f"loss {t.loss:.3f}" for t in trainers.values()))
    return {name: {"steps": t.steps, "minutes": minutes, "loss": t.loss}
            for name, t in trainers.items()}


def compare(models: dict[str, Any],
            tasks: list[world.Task]) -> dict[str, tuple[list[bool], list[float]]]:
    """Every task by every model in turns: whether it was done, and every plan's time in ms."""
    outcomes: dict[str, tuple[list[bool], list[float]]] = {name: ([], []) for name in models}
    env = world.make_env()
    with Progress("tasks", len(tasks)) as bar:
        for i, task in enumerate(tasks):
            for name, model in models.items():
                done, ms = outcomes[name]
                done.append(drive(env, model, task, ms))
            bar.update(i + 1, note=", ".join(f"{sum(d)}" for d, _ in outcomes.values()))
    return outcomes


def drive(env: Any, model: Any, task: world.Task, ms: list[float]) -> bool:
    """One task, planned anew after every block."""
    env.reset(seed=0, options={"state": task.start, "target_state": task.goal})
    last = None
    for _ in range(world.BUDGET // world.BLOCK):
        image = world.look(env)
        begin = time.perf_counter()
        actions, last = model.plan(image, task.image, last)
        ms.append(1e3 * (time.perf_counter() - begin))
        for action in actions:
            if env.step(action)[2]:
                return True
    return False


if __name__ == "__main__":
    main()
