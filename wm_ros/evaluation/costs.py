# SPDX-License-Identifier: Apache-2.0
"""What models cost: memory, each in a process of its own; time, side by side in one process."""
from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wm_ros.errors import UserError
from wm_ros.evaluation.closed_loop import to_observation
from wm_ros.training.samples import samples
from wm_ros.world_model.interface import (
    ActionChunks,
    Imagination,
    Observation,
    State,
    WorldModel,
)

MIB = 1 / 1024**2


def example(task: str, image_size: int = 96) -> tuple[Observation, str]:
    """A first look at a task, and its words."""
    from wm_ros.sim.env import TaskEnv

    env = TaskEnv(task, 100, "held_out", image_size=image_size)
    try:
        return to_observation(env.observe()), env.instruction
    finally:
        env.close()


def resting(observation: Observation, n: int, horizon: int, dt: float) -> ActionChunks:
    """``n`` chunks that stay where the arm is, for families that cannot act."""
    o = observation
    return ActionChunks(np.tile(o.tcp_position, (n, horizon, 1)),
                        np.tile(o.tcp_quaternion, (n, horizon, 1)),
                        np.full((n, horizon), o.gripper), dt, np.full(n, np.nan),
                        np.full(n, np.nan), np.zeros(n))


def memory(load: Callable[[], WorldModel], observation: Observation,
           words: str) -> dict[str, Any]:
    """MiB that loading, one proposal and one imagined future add to this process at its peak."""
    import torch  # noqa: F401  what every family brings along is not the model's

    before, begin = _peak(), time.perf_counter()
    model = load()
    seconds = time.perf_counter() - begin
    for call in calls(model, observation, words).values():
        call()
    return {"peak_mib": round(_peak() - before, 1), "load_s": round(seconds, 2),
            "weights_mib": weights_mib(model)}


def weights_mib(model: WorldModel) -> float | None:
    """Size of a model's weights; None where the family does not tell."""
    size = getattr(model, "bytes", None)
    return None if size is None else round(size * MIB, 1)


def calls(model: WorldModel, observation: Observation, words: str,
          candidates: tuple[int, ...] = (1,)) -> dict[str, Callable[[], Any]]:
    """``act`` (look and propose) and ``imagine`` (the futures, not drawn), as far as the family
    can; with the number of candidates in the name where it is not 1."""
    found: dict[str, Callable[[], Any]] = {}
    for n in candidates:
        state, mark = model.observe(observation), "" if n == 1 else f"_{n}"

        def act(n: int = n) -> ActionChunks:
            return model.act(model.observe(observation), words, n)
        try:
            chunks = model.act(state, words, n)
            found[f"act{mark}"] = act
        except UserError:
            chunks = resting(observation, n, model.spec.horizon, model.spec.dt)

        def imagine(state: State = state, chunks: ActionChunks = chunks) -> Imagination:
            return model.imagine(state, chunks, words, render=False)
        try:
            imagine()
            found[f"imagine{mark}"] = imagine
        except UserError:
            pass
    return found


def latency(models: Mapping[str, WorldModel], task: str, rounds: int = 20,
            candidates: tuple[int, ...] = (1,)) -> dict[str, dict[str, Any]]:
    """Quantiles of the calls by model, in ms; models take turns, so that what else the machine
    does meets all of them alike."""
    looks = {size: example(task, size) for size in {m.spec.image_size for m in models.values()}}
    work = {name: calls(model, *looks[model.spec.image_size], candidates)
            for name, model in models.items()}
    durations: dict[str, dict[str, list[float]]] = {
        name: {call: [] for call in found} for name, found in work.items()}
    for _ in range(rounds):
        for name, found in work.items():
            for call, run in found.items():
                begin = time.perf_counter()
                run()
                durations[name][call].append(time.perf_counter() - begin)
    return {name: {call: {"p50_ms": round(1e3 * float(np.median(d)), 2),
                          "p95_ms": round(1e3 * float(np.quantile(d, 0.95)), 2),
                          "min_ms": round(1e3 * min(d), 2)}
                   for call, d in found.items()} for name, found in durations.items()}


def training(card: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint's config.yaml says of its training; empty where nothing was trained."""
    told, seen = card.get("training") or {}, samples(card)
    cost = {key: told[key] for key in ("step", "batch", "episodes", "frames", "hours")
            if key in told}
    return cost if seen is None else cost | {"samples": seen}


def _peak() -> float:
    """MiB of this process at its largest; getrusage would tell that of the one it came from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
