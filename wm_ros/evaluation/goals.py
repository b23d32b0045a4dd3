# SPDX-License-Identifier: Apache-2.0
"""Closed loop of a model that plans to goal images, which an expert's episode provides.

After the protocol of LeWorldModel (arXiv 2603.19312): goals lie a fixed number of steps ahead on
an expert's way through the same layout. Every block of a plan has the goal that the expert had
reached by then; the next one is taken when the present one is reached or passed, or its time is
over. The task's own predicate judges. Of the expert, only images are used.
"""
from __future__ import annotations

import time

import numpy as np
from torch import Tensor

from wm_ros.evaluation.closed_loop import Outcome, follow, to_observation
from wm_ros.evaluation.recorded import record
from wm_ros.motion.pose import Pose
from wm_ros.sim.env import TaskEnv
from wm_ros.world_model.interface import Observation, State, new_room
from wm_ros.world_model.jepa.model import JepaWorldModel

EVERY = 5  # control steps of the expert from one goal to the next
EXECUTE = 5  # control steps followed of each plan
TAIL = 8  # control steps after the expert's success that belong to its way
PATIENCE = 3.0  # times that long a goal may take
REACHED = 0.5  # distance, in units of the surprise's limit
NEAR = 1.0  # likewise: a goal further away than this has not been passed


def demonstrate(task: str, seed: int, split: str, image_size: int) -> list[Observation]:
    """What is seen at every control step while the expert does the task."""
    env = TaskEnv(task, seed, split, image_size=image_size)
    try:
        return record(env, tail=TAIL).seen
    finally:
        env.close()


class Goals:
    """Latents of an expert's images, every so many control steps, and which of them is next."""

    def __init__(self, model: JepaWorldModel, seen: list[Observation]):
        images = [*seen[EVERY:-1:EVERY], seen[-1]]
        self.model = model
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
            passed = following < min(here, NEAR)
            if here > REACHED and not passed and step - self.since < PATIENCE * EVERY:
                break
            self.at, self.since = self.at + 1, step
        ends = self.model.config.block * np.arange(1, self.model.config.blocks + 1)
        return self.latents[np.minimum(self.at + (ends - 1) // EVERY,
                                       len(self.latents) - 1)]


def run_goals(model: JepaWorldModel, task: str, seed: int, split: str = "held_out",
              film: bool = False) -> Outcome:
    """Let the model do one task from goal images; stops at success or when time is over."""
    new_room(model)
    goals = Goals(model, demonstrate(task, seed, split, model.spec.image_size))
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
                    chunks.position[0, :EXECUTE], chunks.quaternion[0, :EXECUTE],
                    chunks.gripper[0, :EXECUTE], strict=True)], film)
        outcome.seconds, outcome.progress = env.steps * 0.1, env.progress()
    finally:
        env.close()
    return outcome
