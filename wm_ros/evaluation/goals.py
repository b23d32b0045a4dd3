# SPDX-License-Identifier: Apache-2.0
"""Closed loop of a model that plans to goal images, which an expert's episode provides.

After the protocol of LeWorldModel (arXiv 2603.19312): goals lie a fixed number of steps ahead on
an expert's way through the same layout. Every block of a plan has the goal that the expert had
reached by then; the next one is taken when the present one is reached or passed, or its time is
over. The task's own predicate judges. Of the expert, only images are used.
"""
from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from wm_ros.evaluation.closed_loop import Outcome, follow, to_observation
from wm_ros.motion.pose import Pose
from wm_ros.sim.env import TaskEnv
from wm_ros.world_model.interface import Observation, State, new_room
from wm_ros.world_model.jepa.model import JepaWorldModel

EVERY = 5  # control steps from one goal to the next
PATIENCE = 3.0  # times that long a goal may take
REACHED = 0.3  # distance, in units of the surprise's limit


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


class Goals:
    """Latents of an expert's images, every so many control steps, and which of them is next."""

    def __init__(self, model: JepaWorldModel, seen: list[Observation], every: int):
        images = [*seen[every:-1:every], seen[-1]]
        self.model, self.every = model, every
        self.latents = model.encode(np.stack([o.scene_rgb for o in images]),
                                    np.stack([o.wrist_rgb for o in images]))
        self.at = self.since = 0

    @property
    def share(self) -> float:
        """How many of them are behind, 0..1."""
        return self.at / len(self.latents)

    def ahead(self, state: State, step: int) -> Tensor:
        """(K, D): one goal for the end of every block of a plan that starts at control ``step``.
        """
        while self.at + 1 < len(self.latents):
            here, following = self.model.distance(state, self.latents[self.at:self.at + 2])
            if (here > REACHED and here <= following
                    and step - self.since < PATIENCE * self.every):
                break
            self.at, self.since = self.at + 1, step
        ends = self.model.config.block * np.arange(1, self.model.config.blocks + 1)
        return self.latents[np.minimum(self.at + (ends - 1) // self.every,
                                       len(self.latents) - 1)]


def run_goals(model: JepaWorldModel, task: str, seed: int, split: str = "held_out",
              execute: int = 5, film: bool = False, every: int = EVERY) -> Outcome:
    """Let the model do one task from goal images; stops at success or when time is over.

    :param execute: control steps followed of each plan
    :param every: control steps of the expert from one goal image to the next
    """
    new_room(model)
    goals = Goals(model, demonstrate(task, seed, split, model.spec.image_size).seen, every)
    env = TaskEnv(task, seed, split, image_size=model.spec.image_size)
    outcome = Outcome(task, seed, env.instruction, False, 0.0, 0.0)
    state = None
    try:
        while env.steps < env.max_steps and not outcome.success:
            obs = to_observation(env.observe())
            begin = time.perf_counter()
            state = model.observe(obs, state)
            model.set_goal(state, goals.ahead(state, env.steps))
            chunks = model.act(state, env.instruction)
            outcome.act_ms.append(1e3 * (time.perf_counter() - begin))
            outcome.looks.append((env.steps, float(chunks.success[0]), goals.share))
            # hand and fingers move together, as they do in the demonstrations
            follow(env, outcome, [
                (Pose(position, quaternion), float(width)) for position, quaternion, width in zip(
                    chunks.position[0, :execute], chunks.quaternion[0, :execute],
                    chunks.gripper[0, :execute], strict=True)], film)
        outcome.seconds, outcome.progress = env.steps * 0.1, env.progress()
    finally:
        env.close()
    return outcome
