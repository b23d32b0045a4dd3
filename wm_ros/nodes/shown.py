# SPDX-License-Identifier: Apache-2.0
"""What RViz and the page both show: candidates, obstacles, words. No publishers, no drawing."""
from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from moveit_msgs.msg import CollisionObject, PlanningScene
from std_msgs.msg import Bool, String
from trajectory_msgs.msg import JointTrajectory

from wm_ros.bridge import chunks, joints, rollouts
from wm_ros.errors import UserError
from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Pose
from wm_ros.msg import ActionChunk, Surprise
from wm_ros.robot import RobotConfig

MOVE, REMOVE = CollisionObject.MOVE, CollisionObject.REMOVE
LEVELS = {DiagnosticStatus.WARN: "!", DiagnosticStatus.ERROR: "!!", DiagnosticStatus.STALE: "?"}
RECENT = 3.0  # s for which a complaint is shown after it was last told


class Candidates:
    """The chunks of the newest choice, best first, and the success that was imagined for each."""

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = robot
        self._sequence = -1
        self._proposed: dict[str, chunks.Chunk] = {}
        self._imagined: dict[str, float] = {}

    def hear_chunk(self, message: ActionChunk) -> None:
        """Chunks of one observation are the candidates of one choice.

        :raises UserError: when the chunk is for another robot or not finite
        """
        chunk = chunks.from_message(message, self._robot.base_link, self._robot.tcp_link)
        if int(message.observation_sequence) != self._sequence:
            self._sequence = int(message.observation_sequence)
            self._proposed, self._imagined = {}, {}
        self._proposed[chunk.id] = chunk

    def hear_rollout(self, rollout: rollouts.Rollout) -> None:
        """What was imagined for one of them."""
        self._imagined[rollout.chunk_id] = rollout.success

    def forget(self) -> None:
        """The instruction that they were for is past."""
        self._proposed = {}

    def paths(self, limit: int) -> list[tuple[list[Pose], float]]:
        """At most ``limit`` tool paths (base frame, m) with their success (0 to 1 or NaN)."""
        return [(chunk.poses, self._success(chunk))
                for chunk in list(self._proposed.values())[:limit]]

    @property
    def success(self) -> float:
        """Success of the best one, NaN where there is none."""
        return next((chunk.success for chunk in self._proposed.values()), math.nan)

    def _success(self, chunk: chunks.Chunk) -> float:
        judged = self._imagined.get(chunk.id, math.nan)
        return chunk.success if math.isnan(judged) else judged


def tool_way(message: JointTrajectory, kinematics: Kinematics, points: int) -> list[Pose]:
    """At most so many tool poses (base frame, m) along the joints that are driven.

    :raises UserError: when the trajectory is unsound or does not name the arm's joints
    """
    path = joints.from_trajectory(message)
    names = kinematics.robot.arm_joints
    if not set(names) <= set(path.names):
        raise UserError("A planned trajectory does not name the arm's joints.")
    order = [path.names.index(name) for name in names]
    few = np.linspace(0, len(path.positions) - 1, points).round().astype(int)
    return [kinematics.fk(q) for q in path.positions[np.unique(few)][:, order]]


class Obstacles:
    """The planning scene's objects, from whole scenes and from changes."""

    def __init__(self) -> None:
        self._free: dict[str, CollisionObject] = {}
        self._held: dict[str, CollisionObject] = {}

    def hear(self, message: PlanningScene) -> None:
        """A whole scene takes the place of what is known, a change is added to it."""
        if not message.is_diff:
            self._free, self._held = {}, {}
        for item in message.world.collision_objects:
            _apply(item, self._free)
        for attached in message.robot_state.attached_collision_objects:
            _apply(attached.object, self._held)
        for name in self._held:
            self._free.pop(name, None)

    @property
    def free(self) -> list[CollisionObject]:
        """Objects in the room."""
        return list(self._free.values())

    @property
    def held(self) -> list[CollisionObject]:
        """Objects that move with the hand, in the frame of their link."""
        return list(self._held.values())


def _apply(item: CollisionObject, known: dict[str, CollisionObject]) -> None:
    if item.operation == REMOVE:
        if item.id:
            known.pop(item.id, None)
        else:
            known.clear()
    elif item.operation == MOVE and item.id in known:
        known[item.id].header, known[item.id].pose = item.header, item.pose
    elif item.primitives or item.meshes:
        known[item.id] = item


class Words:
    """Instruction, state of the arm, and what /diagnostics complains of."""

    def __init__(self) -> None:
        self.instruction = ""
        self.surprise = math.nan
        self.stopped = False
        self._troubles: dict[str, tuple[str, float]] = {}

    def hear_instruction(self, message: String) -> None:
        """Another one, or its end: what surprised in it is past."""
        self.instruction = message.data
        if not message.data:
            self.surprise = math.nan

    def hear_surprise(self, message: Surprise) -> None:
        """How far reality left what was imagined."""
        self.surprise = float(message.value)

    def hear_stopped(self, message: Bool) -> None:
        """Whether the monitor holds the arm."""
        self.stopped = bool(message.data)

    def hear_diagnostics(self, message: DiagnosticArray, now: float) -> None:
        """Note down what is wrong, and what no longer is."""
        for status in message.status:
            if status.level == DiagnosticStatus.OK:
                self._troubles.pop(status.name, None)
            else:
                mark = LEVELS.get(status.level, "!")
                self._troubles[status.name] = (f"{mark} {status.message}", now)

    def lines(self, success: float, now: float, complaints: int) -> Iterator[str]:
        """One thing a line, the instruction first."""
        yield self.instruction or "no instruction"
        if self.stopped:
            yield "STOPPED"
        for name, value in (("success", success), ("surprise", self.surprise)):
            if math.isfinite(value):
                yield f"{name} {value:.2f}"
        recent = [words for words, told in self._troubles.values() if now - told < RECENT]
        yield from recent[:complaints]
