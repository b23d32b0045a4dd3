# SPDX-License-Identifier: Apache-2.0
"""Timed joint trajectories, and what may be wrong with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wm_ros.motion.cubic import Cubic, span
from wm_ros.motion.pose import Array
from wm_ros.robot import RobotConfig

LIMIT_TOLERANCE = 0.01  # of the limit
RANGE_SLACK = 0.02  # rad by which an arm may have been pushed out of its range and yet start
SPLICE = 0.02  # s of the hardest acceleration by which speeds may differ at once
BULGE = 1e-3  # rad by which the way between two points may leave the range


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


@dataclass(frozen=True)
class Path:
    """A timed way for all arm joints: times (N,) s, positions, velocities, (N, J) rad, rad/s."""

    times: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray

    def stretched(self, factor: float) -> Path:
        """The same way in ``factor`` times the time."""
        return Path(factor * self.times, self.positions, self.velocities / factor)


def mean_acceleration(times: Array, velocities: Array) -> Array:
    """(N - 2, n) between neighbouring points, over two steps so that rounding does not count."""
    return (velocities[2:] - velocities[:-2]) / (times[2:] - times[:-2])[:, None]


def make_path(times: np.ndarray, positions: np.ndarray, velocities: np.ndarray | None,
              start: np.ndarray) -> Path:
    """A path that begins at ``start`` (J,) now; without velocities it is driven piecewise."""
    if times[0] > 1e-6:
        times = np.concatenate([[0.0], times])
        positions = np.vstack([start, positions])
        if velocities is not None:
            velocities = np.vstack([np.zeros_like(start), velocities])
    if velocities is None:
        # rest at both ends, the mean of the neighbouring slopes between them
        velocities = np.zeros_like(positions)
        if len(times) > 2:
            slopes = np.diff(positions, axis=0) / np.diff(times)[:, None]
            velocities[1:-1] = 0.5 * (slopes[1:] + slopes[:-1])
    return Path(times, positions, velocities)


def refusal(path: Path, robot: RobotConfig, slack: float) -> str:
    """Why a path must not be driven, as one sentence; empty when it may.

    What lies between its points counts too: a controller drives the cubic there.

    :param slack: factor by which velocities may exceed the limits
    """
    low, high = robot.position_limits.T
    names = robot.arm_joints
    spans = Cubic.between(path.positions[:-1], path.positions[1:], path.velocities[:-1],
                          path.velocities[1:], np.diff(path.times)[:, None])
    reached = np.concatenate([path.positions, *(spans.position(s) for s in spans.turns())])
    # an arm that was pushed out of its range may come back, but no further out
    out = np.maximum(low - reached, reached - high)
    allowed = np.clip(out[0], 0.0, RANGE_SLACK) + 1e-4
    outside = (out[:len(path.times)] > allowed).any(axis=0) | (out > allowed + BULGE).any(axis=0)
    if outside.any():
        return f"The trajectory leaves the position limits of {_named(names, outside)}."
    limit = robot.velocity_limits * slack
    fast = (np.abs(path.velocities) > limit).any(axis=0)
    if len(path.times) > 1:
        mean = np.abs(np.diff(path.positions, axis=0)) / np.diff(path.times)[:, None]
        peak = np.abs(spans.velocity(spans.fastest()))
        fast |= (mean > limit).any(axis=0) | (peak > limit).any(axis=0)
    if fast.any():
        return f"The trajectory exceeds the velocity limits of {_named(names, fast)}."
    # the cubic between two lone points is hardest at one of them
    change = (np.stack([spans.acceleration(0.0), spans.acceleration(1.0)])
              if len(path.times) == 2 else mean_acceleration(path.times, path.velocities))
    limit = robot.acceleration_limits * slack * 1.1
    hard = np.any(np.abs(change) > limit, axis=tuple(range(change.ndim - 1)))
    step, jump = np.diff(path.times)[:, None], np.abs(np.diff(path.velocities, axis=0))
    hard |= (jump > limit * step + SPLICE * robot.acceleration_limits).any(axis=0)
    if hard.any():
        return f"The trajectory exceeds the acceleration limits of {_named(names, hard)}."
    return ""


def _named(names: tuple[str, ...], chosen: np.ndarray) -> str:
    return ", ".join(name for name, bad in zip(names, chosen, strict=True) if bad)


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
