# SPDX-License-Identifier: Apache-2.0
"""What is asked of the planner and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from wm_ros.motion.errors import ErrorCode
from wm_ros.motion.trajectory import Trajectory


@dataclass(frozen=True)
class Plan:
    """What a planner answers; the trajectory is empty unless some of the path was found.

    `fraction` is how much of a Cartesian path was followed, 0 to 1.
    """

    trajectory: Trajectory
    error_code: ErrorCode
    fraction: float = 0.0
    message: str = ""
    planning_time: float = 0.0

    @property
    def success(self) -> bool:
        return self.error_code is ErrorCode.SUCCESS


@dataclass(frozen=True)
class Request:
    """How to plan: shares (0, 1] of the limits, time in s, speed of the tool in m/s (0: none)."""

    velocity_scale: float = 1.0
    acceleration_scale: float = 1.0
    allowed_time: float = 2.0
    max_tcp_speed: float = 0.0
