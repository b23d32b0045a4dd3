# SPDX-License-Identifier: Apache-2.0
"""Closed loop without ROS: model and simulator in one process, the planning node's execution.

A chunk is followed for its first poses, or up to and including the first change of the
gripper, which is waited for; then a newer observation decides.
"""
from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from wm_ros.errors import UserError
from wm_ros.motion.chunks import Grip, Patience, split_at_gripper
from wm_ros.motion.pose import Pose
from wm_ros.sim.env import Obs, TaskEnv
from wm_ros.sim.experts.moves import Action
from wm_ros.world_model.deciding import Decider
from wm_ros.world_model.interface import ActionChunks, Observation, WorldModel, new_room

GRIPPER_STEPS = 5  # control steps in which the fingers surely arrive


def check_acts(name: str, model: WorldModel) -> None:
    """:raises UserError: the model has no policy, which an episode would tell too late"""
    if model.spec.family == "scene3d":
        raise UserError(f"{name} has no policy: choose a model that acts, such as video or an "
                        "ensemble.")


@dataclass
class Outcome:
    """What one episode gave."""

    task: str
    seed: int
    instruction: str
    success: bool
    seconds: float
    progress: float
    furniture_contacts: int = 0
    refused: str = ""  # what the model said in place of acting
    act_ms: list[float] = field(default_factory=list)
    #: (control step, predicted success and progress at the chunk's end) of every look
    looks: list[tuple[int, float, float]] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list, repr=False)


def to_observation(obs: Obs) -> Observation:
    """The environment's observation as the model's."""
    return Observation(
        scene_rgb=obs.scene_rgb, scene_depth=obs.scene_depth, wrist_rgb=obs.wrist_rgb,
        scene_K=obs.scene_K, scene_position=obs.scene_pose.position,
        scene_quaternion=obs.scene_pose.quaternion, q=obs.q, tcp_position=obs.tcp.position,
        tcp_quaternion=obs.tcp.quaternion, gripper=obs.gripper, wrench=obs.wrench,
        stamp=obs.time)


def commanded(done: Sequence[Action], dt: float) -> ActionChunks:
    """The chunk of what was commanded step by step; its success is not known (NaN)."""
    return ActionChunks(np.stack([c.pose.position for c in done])[None],
                        np.stack([c.pose.quaternion for c in done])[None],
                        np.array([[c.width for c in done]]), dt, np.full(1, np.nan),
                        np.full(1, np.nan), np.zeros(1))


def actions(chunks: ActionChunks, which: int, width: float, execute: int = 3,
            patience: Patience | None = None) -> list[tuple[Pose, float]]:
    """The control steps of candidate ``which`` until the next look, from commanded ``width``."""
    poses = [Pose(p, q) for p, q in zip(chunks.position[which, :execute],
                                        chunks.quaternion[which, :execute], strict=True)]
    steps: list[tuple[Pose, float]] = []
    for piece in split_at_gripper(poses, chunks.gripper[which, :execute], width):
        if isinstance(piece, Grip):
            if patience is not None and patience.puts_off(len(steps)):
                return steps
            pose = steps[-1][0] if steps else poses[0]
            return [*steps, *[(pose, piece.width)] * GRIPPER_STEPS]
        steps += [(pose, width) for pose in piece.poses]
    return steps


def run_episode(model: WorldModel, task: str, seed: int, split: str = "held_out",
                candidates: int = 1, execute: int = 3, film: bool = False) -> Outcome:
    """Let the model do one task; stops at success or when the task's time is over.

    :param candidates: chunks proposed and imagined at a time; the best is followed, chosen as
        the imagination node chooses
    """
    new_room(model)
    env = TaskEnv(task, seed, split, image_size=model.spec.image_size)
    outcome = Outcome(task, seed, env.instruction, False, 0.0, 0.0)
    width = float(env.sim.gripper_width)
    decider, state, patience = Decider(model, candidates), None, Patience()
    try:
        while env.steps < env.max_steps and not outcome.success:
            obs = to_observation(env.observe())
            begin = time.perf_counter()
            try:
                decision = decider.decide(obs, env.instruction, before=state)
            except UserError as error:
                outcome.refused = str(error)
                break
            outcome.act_ms.append(1e3 * (time.perf_counter() - begin))
            state, chunks, best = decision.state, decision.chunks, decision.order[0]
            outcome.looks.append((env.steps, float(chunks.success[best]),
                                  float(chunks.progress[best])))
            steps = actions(chunks, best, width, execute, patience)
            width = follow(env, outcome, steps, film) if steps else width
        outcome.seconds, outcome.progress = env.steps * 0.1, env.progress()
    finally:
        env.close()
    return outcome


def follow(env: TaskEnv, outcome: Outcome, steps: list[tuple[Pose, float]], film: bool) -> float:
    """Drive some control steps, up to success or the end of the task's time; returns the width
    that was commanded last, m."""
    width = float("nan")
    for pose, width in steps[:env.max_steps - env.steps]:
        env.step((pose, width))
        outcome.furniture_contacts += env.sim.robot_furniture_contacts() > 0
        if film:
            shown = env.observe()
            outcome.frames.append(np.concatenate([shown.scene_rgb, shown.wrist_rgb], 1))
        if env.success():
            outcome.success = True
            break
    return width


def foretold(outcome: Outcome, horizon: int) -> tuple[list[float], list[bool]]:
    """Predicted success of each look, and whether the task was done within its chunk."""
    end = round(outcome.seconds / 0.1)
    return ([success for _, success, _ in outcome.looks],
            [outcome.success and end <= step + horizon for step, _, _ in outcome.looks])
