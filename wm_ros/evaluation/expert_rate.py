# SPDX-License-Identifier: Apache-2.0
"""How often the experts succeed: episodes without cameras, counted with an interval."""
from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wm_ros.evaluation.statistics import wilson
from wm_ros.sim.env import Disturbance, TaskEnv
from wm_ros.sim.experts.moves import Action


@dataclass(frozen=True)
class Episode:
    """Outcome of one episode; ``steps`` until success or the limit, of 0.1 s each."""

    task: str
    seed: int
    success: bool
    steps: int
    collisions: int
    step_ms: float


def run_expert(task: str, seed: int, split: str = "train", disturbed: float = 0.0,
               robot: str = "panda") -> Episode:
    """Run the expert of a task once.

    :param disturbed: probability that the episode is disturbed (see :class:`Disturbance`).
    """
    env = TaskEnv(task, seed, split, robot, render=False)
    expert = env.expert()
    disturb = Disturbance(np.random.default_rng((seed, 11)), disturbed)
    collisions = 0
    start = time.perf_counter()
    while not env.success() and env.steps < env.max_steps:
        action: Action = disturb(expert.act(), env.sim.tcp_pose())
        env.step(action)
        collisions += env.sim.robot_furniture_contacts() > 0
    step_ms = 1e3 * (time.perf_counter() - start) / max(env.steps, 1)
    env.close()
    return Episode(task, seed, env.success(), env.steps, collisions, step_ms)


def row(task: str, episodes: Iterable[Episode]) -> str:
    """Return one line of the table."""
    done = list(episodes)
    good = [episode for episode in done if episode.success]
    low, high = wilson(len(good), len(done))
    steps = [episode.steps for episode in good] or [0]
    failed = " ".join(str(episode.seed) for episode in done if not episode.success)
    touched = sum(episode.collisions > 0 for episode in done)
    return (f"{task:18s} {len(good):3d}/{len(done):<3d} [{100 * low:5.1f}, {100 * high:5.1f}] %  "
            f"steps {np.mean(steps):5.1f} (max {max(steps)})  furniture {touched:2d}  "
            f"{np.mean([episode.step_ms for episode in done]):4.1f} ms/step"
            + (f"  failed: {failed}" if failed else ""))
