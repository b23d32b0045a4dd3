# SPDX-License-Identifier: Apache-2.0
"""Closed loop of a model that plans to goal images, which an expert's episode provides.

As LeWorldModel (arXiv 2603.19312) is scored: the goals lie a fixed number of steps ahead on an
expert's way through the same layout; the next one is taken when the present one is reached or
its time is over. The task's own predicate judges. Of the expert, only images are used.
"""
from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from wm_ros.evaluation.closed_loop import Outcome, actions, to_observation
from wm_ros.sim.env import TaskEnv
from wm_ros.world_model.interface import Observation
from wm_ros.world_model.jepa.model import JepaWorldModel

EVERY = 10  # control steps from one goal to the next
PATIENCE = 1.5  # times that long a goal may take
REACHED = 1.0  # distance, in units of the surprise's limit


@dataclass
class Demonstration:
    """One expert's episode: what was seen at every control step, and what was done."""

    seen: list[Observation] = field(repr=False)
    done: list[tuple[np.ndarray, np.ndarray, float]] = field(repr=False)
    success: bool = False


def demonstrate(task: str, seed: int, split: str, image_size: int = 96,
                tail: int = 8) -> Demonstration:
    """Let the expert do the task; ``tail`` steps after success belong to it."""
    env = TaskEnv(task, seed, split, image_size=image_size)
    seen, done, left = [], [], tail
    try:
        expert = env.expert()
        while env.steps < env.max_steps and left:
            seen.append(to_observation(env.observe()))
            pose, width = expert.act()
            done.append((pose.position, pose.quaternion, width))
            env.step((pose, width))
            left -= env.success()
        seen.append(to_observation(env.observe()))
        return Demonstration(seen, done, env.success())
    finally:
        env.close()


def run_goals(model: JepaWorldModel, task: str, seed: int, split: str = "held_out",
              execute: int = 5, film: bool = False, every: int = EVERY) -> Outcome:
    """Let the model do one task from goal images; stops at success or when time is over.

    :param execute: control steps followed of each plan
    :param every: control steps of the expert from one goal image to the next
    """
    shown = demonstrate(task, seed, split, model.spec.image_size).seen
    goals = [*shown[every:-1:every], shown[-1]]
    env = TaskEnv(task, seed, split, image_size=model.spec.image_size)
    outcome = Outcome(task, seed, env.instruction, False, 0.0, 0.0)
    width, state, at, since = float(env.sim.gripper_width), None, 0, 0
    try:
        while env.steps < env.max_steps and not outcome.success:
            obs = to_observation(env.observe())
            begin = time.perf_counter()
            state = model.observe(obs, state)
            model.set_goal(state, goals[at])
            while at + 1 < len(goals) and (model.distance(state) < REACHED
                                           or env.steps - since >= PATIENCE * every):
                at, since = at + 1, env.steps
                model.set_goal(state, goals[at])
            chunks = model.act(state, env.instruction)
            outcome.act_ms.append(1e3 * (time.perf_counter() - begin))
            outcome.looks.append((env.steps, float(chunks.success[0]), at / len(goals)))
            for action in actions(chunks, 0, width, execute):
                width = action[1]
                env.step(action)
                outcome.furniture_contacts += env.sim.robot_furniture_contacts() > 0
                if film:
                    now = env.observe()
                    outcome.frames.append(np.concatenate([now.scene_rgb, now.wrist_rgb], 1))
                if env.success():
                    outcome.success = True
                    break
        outcome.seconds, outcome.progress = env.steps * 0.1, env.progress()
    finally:
        env.close()
    return outcome
