# SPDX-License-Identifier: Apache-2.0
"""Train both models, let them do the same tasks in turns, write one JSON."""
from __future__ import annotations

import argparse
import json
import math
import time
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
from wm_ros.training.progress import Progress  # noqa: E402
from wm_ros.world_model.jepa.planner import Search  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/two_room"))
    parser.add_argument("--films", type=int, default=400, help="of 60 actions each")
    parser.add_argument("--minutes", type=float, default=8.0, help="of training, each model")
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--candidates", type=int, default=300)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    films = collect(args.films)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    search = Search(candidates=args.candidates, iterations=args.iterations)
    models: dict[str, Any] = {"wm_ros jepa": Ours(search), "stable-worldmodel LeWM": Peer(search)}
    report: dict[str, Any] = {name: {"parameters": sum(p.numel() for p in m.model.parameters())}
                              for name, m in models.items()}
    for (name, model), rate in zip(models.items(), (OUR_RATE, PEER_RATE), strict=True):
        report[name] |= train(name, model, films, args.minutes, rate)
    del films
    outcomes = compare(models, world.tasks(args.tasks, seed=10**6))
    for name, (done, ms) in outcomes.items():
        low, high = wilson(sum(done), len(done))
        report[name] |= {"successes": sum(done), "tasks": len(done), "interval": [low, high],
                         "plan_ms_median": float(np.median(ms)),
                         "plan_ms_p95": float(np.quantile(ms, 0.95))}
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


def train(name: str, model: Any, films: world.Films, minutes: float,
          rate: float) -> dict[str, float]:
    """AdamW, warm-up and cosine over a time that is the same for both."""
    random = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.model.parameters(), rate, weight_decay=0.02)
    model.model.train()
    begin, steps, loss = time.monotonic(), 0, math.nan
    with Progress(name, 100) as bar:
        while (share := (time.monotonic() - begin) / (60 * minutes)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1, (steps + 1) / 100) * (
                    0.05 + 0.475 * (1 + math.cos(math.pi * share)))
            found = model.loss(films, random)
            optimizer.zero_grad()
            found.backward()
            torch.nn.utils.clip_grad_norm_(model.model.parameters(), 1.0)
            optimizer.step()
            steps, loss = steps + 1, float(found.detach())
            bar.update(int(100 * share), note=f"loss {loss:.3f}")
    model.model.eval()
    return {"steps": steps, "minutes": minutes, "loss": loss}


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
