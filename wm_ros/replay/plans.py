# SPDX-License-Identifier: Apache-2.0
"""What a proposed chunk would have made the arm do, beside what it was told to do."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from moveit_msgs.msg import PlanningScene

from wm_ros.bridge import chunks
from wm_ros.bridge.commands import SOURCES, Commands
from wm_ros.errors import UserError
from wm_ros.motion.plan import Request
from wm_ros.motion.planner import Planner
from wm_ros.motion.pose import Pose, distance
from wm_ros.nodes.motion_scene import SceneKeeper
from wm_ros.nodes.parameters import PLANNING, SAFETY
from wm_ros.robot import RobotConfig

_DEFAULTS = {p.name: p.default for p in (*PLANNING, *SAFETY)}


@dataclass(frozen=True)
class Limits:
    """What the planning node asks of a chunk; see config/safety.yaml and config/nodes.yaml."""

    bounds: np.ndarray = field(default_factory=lambda: np.stack(
        [_DEFAULTS["safety.workspace_min"], _DEFAULTS["safety.workspace_max"]], axis=1))
    max_excess: float = _DEFAULTS["safety.max_excess"]
    max_pose_step: float = _DEFAULTS["safety.max_pose_step"]
    max_jump: float = _DEFAULTS["safety.max_jump"]
    max_step: float = _DEFAULTS["max_step"]
    horizon: int = _DEFAULTS["horizon"]
    velocity: float = _DEFAULTS["velocity_scaling"]
    acceleration: float = _DEFAULTS["acceleration_scaling"]


class WouldBe:
    """Plans chunks as the planning node and the motion node do, without moving anything."""

    def __init__(self, robot: RobotConfig) -> None:
        self.planner = Planner(robot)
        self.limits = Limits()
        self._scene = SceneKeeper(robot, self.planner, lambda _frame: Pose.identity(),
                                  lambda: np.asarray(robot.home))

    def furniture(self, message: PlanningScene) -> None:
        """Obstacles as they were recorded."""
        self._scene.apply(message)

    def plan(self, chunk: chunks.Chunk, q: np.ndarray, present: Pose) -> dict[str, Any]:
        """How far the chunk could be driven from joints ``q`` (rad), and why no further."""
        limits = self.limits
        try:
            kept = chunks.kept_in(chunk, limits.bounds, limits.max_excess)
            chunks.check_reach(kept, present, limits.bounds, limits.max_pose_step,
                               limits.max_jump)
        except UserError as error:
            return {"fraction": 0.0, "seconds": 0.0,
                    "refused": str(error).replace(f"Chunk {chunk.id}", "The chunk")}
        plan = self.planner.plan_cartesian(
            q, kept.poses[:limits.horizon], True, limits.max_step,
            Request(limits.velocity, limits.acceleration))
        moves = len(plan.trajectory.times) > 1
        return {"fraction": float(plan.fraction),
                "seconds": float(plan.trajectory.times[-1]) if moves else 0.0,
                "refused": plan.message}


def recorded_chunk(commands: Commands, stamp: float, steps: int, dt: float
                   ) -> tuple[list[Pose], np.ndarray] | None:
    """The recorded commands after ``stamp`` in the form of a chunk; None where they end before."""
    found = [commands.at(stamp + (k + 1) * dt) for k in range(steps)]
    known = [entry for entry in found if entry is not None]
    if len(known) < steps:
        return None
    widths = (np.array([width for _, width in known])
              if commands.source_at(stamp + dt) == SOURCES[0]
              else commands.told(stamp, steps, dt))  # as the model has learnt it
    return [pose for pose, _ in known], widths


def difference(chunk: chunks.Chunk, recorded: tuple[list[Pose], np.ndarray]) -> dict[str, float]:
    """How far a chunk is from what was commanded: mean over its poses, and at its end."""
    apart = np.array([distance(a, b) for a, b in zip(chunk.poses, recorded[0], strict=True)])
    return {"position_m": float(apart[:, 0].mean()), "end_position_m": float(apart[-1, 0]),
            "rotation_rad": float(apart[:, 1].mean()),
            "gripper_m": float(np.abs(chunk.gripper - recorded[1]).mean())}
