# SPDX-License-Identifier: Apache-2.0
"""Timed joint trajectories, and what may be wrong with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wm_ros.motion.cubic import span
from wm_ros.motion.pose import Array
from wm_ros.robot import RobotConfig

LIMIT_TOLERANCE = 0.01  # of the limit
RANGE_SLACK = 0.02  # rad by which an arm may have been pushed out of its range and yet start
LIMIT_SLACK = 1.05  # velocities of a client's trajectory may exceed the limits by this


@dataclass(frozen=True)
class Trajectory:
    """Points at `times` (N,) s; positions, velocities, accelerations (N, n) in SI units."""

    joint_names: tuple[str, ...]
    times: Array
    positions: Array
    velocities: Array
    accelerations: Array

    @staticmethod
    def empty(joint_names: tuple[str, ...]) -> Trajectory:
        none = np.zeros((0, len(joint_names)))
        return Trajectory(joint_names, np.zeros(0), none, none, none)

    @staticmethod
    def still(joint_names: tuple[str, ...], q: Array, duration: float = 0.02) -> Trajectory:
        """Resting at q for a moment."""
        rest = np.zeros((2, len(joint_names)))
        return Trajectory(
            joint_names, np.array([0.0, duration]), np.stack([q, q]), rest, rest.copy()
        )

    def __len__(self) -> int:
        return len(self.times)

    @property
    def duration(self) -> float:
        return float(self.times[-1]) if len(self.times) else 0.0

    @property
    def end(self) -> Array:
        return self.positions[-1]

    def stretched(self, factor: float) -> Trajectory:
        """The same path in `factor` times the time."""
        return Trajectory(
            self.joint_names,
            self.times * factor,
            self.positions,
            self.velocities / factor,
            self.accelerations / factor**2,
        )

    def sample(self, time: float) -> tuple[Array, Array]:
        """Position and velocity (n,) at a time, held at both ends (cubic Hermite between)."""
        t = float(np.clip(time, self.times[0], self.times[-1]))
        cubic, s = span(self.times, self.positions, self.velocities, t)
        return cubic.position(s), cubic.velocity(s)


def mean_acceleration(times: Array, velocities: Array) -> Array:
    """(N - 2, n) between neighbouring points, over two steps so that rounding does not count."""
    return (velocities[2:] - velocities[:-2]) / (times[2:] - times[:-2])[:, None]


def limit_violation(times: Array, positions: Array, velocities: Array | None,
                    robot: RobotConfig) -> str:
    """How a client's trajectory leaves the ranges or speeds of the joints, as one sentence.

    :param times: (N,) s; positions and velocities (N, n) of the arm's joints
    :returns: empty if it keeps within them
    """
    low, high = robot.position_limits.T
    outside = ((positions < low - RANGE_SLACK) | (positions > high + RANGE_SLACK)).any(axis=0)
    speed = np.zeros(robot.dof)
    if len(times) > 1:
        speed = (np.abs(np.diff(positions, axis=0)) / np.diff(times)[:, None]).max(axis=0)
    hard = np.zeros(robot.dof, bool)
    if velocities is not None:
        speed = np.maximum(speed, np.abs(velocities).max(axis=0))
        change = np.abs(mean_acceleration(times, velocities))
        hard = np.any(change > 1.1 * LIMIT_SLACK * robot.acceleration_limits, axis=0)
    fast = speed > LIMIT_SLACK * robot.velocity_limits
    for bad, what in ((outside, "leaves the range of"), (fast, "is faster than allowed for"),
                      (hard, "changes speed harder than allowed for")):
        if bad.any():
            named = ", ".join(n for n, b in zip(robot.arm_joints, bad, strict=True) if b)
            return f"The trajectory {what} {named}."
    return ""


def limit_ratios(trajectory: Trajectory, robot: RobotConfig) -> tuple[float, float]:
    """Largest share of the velocity and of the acceleration limits that is used.

    Taken from the points and from the differences between them.
    """
    if len(trajectory) < 2:
        return 0.0, 0.0
    dt = np.diff(trajectory.times)[:, None]
    velocity = np.vstack([trajectory.velocities, np.diff(trajectory.positions, axis=0) / dt])
    acceleration = np.vstack(
        [trajectory.accelerations, np.diff(trajectory.velocities, axis=0) / dt]
    )
    return (
        float(np.abs(velocity / robot.velocity_limits).max()),
        float(np.abs(acceleration / robot.acceleration_limits).max()),
    )


def check_limits(trajectory: Trajectory, robot: RobotConfig) -> list[str]:
    """What a trajectory violates, one sentence each; empty if it is within the limits."""
    problems: list[str] = []
    arrays = (trajectory.times, trajectory.positions, trajectory.velocities)
    if not all(np.isfinite(a).all() for a in (*arrays, trajectory.accelerations)):
        return ["the trajectory holds numbers that are not finite"]
    if tuple(trajectory.joint_names) != tuple(robot.arm_joints):
        return [f"the trajectory names the joints {', '.join(trajectory.joint_names)}"]
    if len(trajectory) == 0:
        return problems
    if (np.diff(trajectory.times) <= 0).any():
        problems.append("the times of the trajectory do not increase")
        return problems
    for i, joint in enumerate(robot.arm_joints):
        low, high = robot.position_limits[i]
        p = trajectory.positions[:, i]
        if p.min() < low - 1e-3 or p.max() > high + 1e-3:
            problems.append(f"{joint} leaves its range [{low:.4f}, {high:.4f}] rad")
    velocity, acceleration = limit_ratios(trajectory, robot)
    if velocity > 1 + LIMIT_TOLERANCE:
        problems.append(f"the velocity reaches {100 * velocity:.0f} % of the limit")
    if acceleration > 1 + LIMIT_TOLERANCE:
        problems.append(f"the acceleration reaches {100 * acceleration:.0f} % of the limit")
    return problems
