# SPDX-License-Identifier: Apache-2.0
"""Joint states and joint trajectories between messages and numpy (radians, metres, seconds)."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from wm_ros.bridge import times
from wm_ros.errors import UserError

MISSED = 2.0  # s without the arm after which joints of other names are taken for it
PARTNER = 0.5  # s by which the hand's joints may be older than the arm's


class Joints(NamedTuple):
    """Positions, velocities and efforts of named joints, all (N,)."""

    position: np.ndarray
    velocity: np.ndarray
    effort: np.ndarray


def from_joint_state(message: JointState, names: Sequence[str]) -> Joints:
    """The named joints of a joint state, in the order asked for.

    :raises UserError: when a joint is missing, the lengths disagree or a position is not finite
    """
    index = {name: i for i, name in enumerate(message.name)}
    missing = [name for name in names if name not in index]
    if missing:
        got = ", ".join(message.name) or "none"
        raise UserError(f"The joint states lack {', '.join(missing)} (they name: {got}); set "
                        "arm_joints and finger_joints in the robot's YAML file to the names "
                        "that the driver publishes.")
    if len(message.position) != len(message.name):
        raise UserError(f"A joint state names {len(message.name)} joints but gives "
                        f"{len(message.position)} positions.")
    order = [index[name] for name in names]
    position = np.asarray(message.position, dtype=float)[order]
    bad = [name for name, value in zip(names, position, strict=True) if not np.isfinite(value)]
    if bad:
        raise UserError(f"The joint states give no number (NaN) for {', '.join(bad)}.")
    return Joints(position, _column(message.velocity, order, len(message.name)),
                  _column(message.effort, order, len(message.name)))


class JointStates:
    """The newest state of joints that belong together, whichever drivers publish them.

    :param names: the arm's joints first, then those of its hand
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names, self._all = tuple(names), frozenset(names)
        self._heard: dict[str, tuple[float, float, float, float]] = {}
        self._latest = -math.inf  # s, stamp of the newest state of all of them

    def add(self, message: JointState) -> JointState | None:
        """A state of all joints at the time of ``message``; None if it is not about the arm.

        What names them all is returned as it is, and so is the arm's message while others are
        missing or older than ``PARTNER``: whoever reads it says what lacks.
        """
        stamp = times.seconds(message.header.stamp)
        if self._all.issubset(message.name):
            self._latest = stamp
            return message
        count = len(message.name)
        columns = [values if len(values) == count else [math.nan] * count
                   for values in (message.position, message.velocity, message.effort)]
        for name, *values in zip(message.name, *columns, strict=True):
            self._heard[name] = (stamp, *values)
        if self._names[0] not in message.name:
            # of the hand, or of something else; or is it the arm under other names?
            strange = self._all.isdisjoint(message.name)
            return message if strange and stamp - self._latest > MISSED else None
        if any(abs(stamp - self._heard.get(n, (-math.inf,))[0]) > PARTNER for n in self._names):
            return message
        self._latest = stamp
        state = np.array([self._heard[name][1:] for name in self._names]).T
        return to_joint_state(message.header.stamp, self._names, state[0],
                              *(np.nan_to_num(values) for values in state[1:]))


def _column(values: Sequence[float], order: list[int], count: int) -> np.ndarray:
    """Velocities and efforts are optional in a joint state; what is missing counts as zero."""
    if len(values) != count:
        return np.zeros(len(order))
    return np.nan_to_num(np.asarray(values, dtype=float)[order])


def to_joint_state(stamp: Time, names: Sequence[str], position: np.ndarray,
                   velocity: np.ndarray | None = None,
                   effort: np.ndarray | None = None) -> JointState:
    """Numpy -> sensor_msgs/JointState."""
    message = JointState(name=list(names), position=_floats(position))
    message.header.stamp = stamp
    if velocity is not None:
        message.velocity = _floats(velocity)
    if effort is not None:
        message.effort = _floats(effort)
    return message


def _floats(values: np.ndarray) -> list[float]:
    return [float(v) for v in values]


class JointPath(NamedTuple):
    """A timed joint trajectory: J names, times (N,) s, the rest (N, J) rad, rad/s, rad/s^2.

    Velocities and accelerations are None when the message does not give them.
    """

    names: tuple[str, ...]
    times: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray | None
    accelerations: np.ndarray | None

    @property
    def duration(self) -> float:
        """Seconds from the start to the last point."""
        return float(self.times[-1])


def from_trajectory(message: JointTrajectory) -> JointPath:
    """trajectory_msgs/JointTrajectory -> JointPath.

    :raises UserError: when it is empty, ragged, not finite or its times do not increase
    """
    points = message.points
    if not points or not message.joint_names:
        raise UserError("The trajectory is empty.")
    count = len(message.joint_names)
    if any(len(p.positions) != count for p in points):
        raise UserError(f"Each trajectory point must give {count} positions, one a joint.")
    moments = np.array([times.seconds(p.time_from_start) for p in points])
    if (np.diff(moments) <= 0).any() or moments[0] < 0:
        raise UserError("The times of a trajectory must increase from point to point.")
    path = JointPath(tuple(message.joint_names), moments,
                     np.array([p.positions for p in points], dtype=float),
                     _rows([p.velocities for p in points], count),
                     _rows([p.accelerations for p in points], count))
    if not all(np.isfinite(a).all() for a in path[2:] if a is not None):
        raise UserError("The trajectory holds numbers that are not finite (NaN or infinity).")
    return path


def _rows(rows: Sequence[Sequence[float]], count: int) -> np.ndarray | None:
    if any(len(row) != count for row in rows):
        return None
    return np.array(rows, dtype=float)


def to_trajectory(path: JointPath) -> JointTrajectory:
    """JointPath -> trajectory_msgs/JointTrajectory that starts as soon as it is received."""
    message = JointTrajectory(joint_names=list(path.names))
    for i, moment in enumerate(path.times):
        point = JointTrajectoryPoint(positions=_floats(path.positions[i]),
                                     time_from_start=times.duration(float(moment)))
        if path.velocities is not None:
            point.velocities = _floats(path.velocities[i])
        if path.accelerations is not None:
            point.accelerations = _floats(path.accelerations[i])
        message.points.append(point)
    return message


def to_point(position: np.ndarray, velocity: np.ndarray,
             acceleration: np.ndarray | None = None) -> JointTrajectoryPoint:
    """One moment (J,) as a trajectory point."""
    point = JointTrajectoryPoint(positions=_floats(position), velocities=_floats(velocity))
    if acceleration is not None:
        point.accelerations = _floats(acceleration)
    return point


def stretched(path: JointPath, seconds: float) -> JointPath:
    """The same path driven uniformly slower so that it takes at least ``seconds``."""
    factor = seconds / max(path.duration, 1e-6)
    if factor <= 1.0:
        return path
    return path._replace(
        times=path.times * factor,
        velocities=None if path.velocities is None else path.velocities / factor,
        accelerations=None if path.accelerations is None else path.accelerations / factor**2)
