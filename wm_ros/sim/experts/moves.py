# SPDX-License-Identifier: Apache-2.0
"""One control step of a hand that points down: limited, smooth and a function of the state alone.

Every expert is written with these few moves, so that all tasks share one style of motion: what
is learned from one helps the next. Positions in metres in the base frame, yaw in radians about
the base's z axis; at yaw 0 the fingers open along y.
"""
from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np

from wm_ros.motion.pose import Pose
from wm_ros.sim.shapes import yaw_of

OPEN = 0.08
CLOSED = 0.0
CRUISE = 0.022  # m per control step of 0.1 s
GENTLE = 0.011
TURN = 0.10  # rad per control step
TIP = 0.009  # m that the fingertips reach beyond the tool centre point
CARRY = 0.22  # height of the tool centre point when something is carried


class Action(NamedTuple):
    """Where the tool centre point shall be 0.1 s from now, and the opening of the gripper (m)."""

    pose: Pose
    width: float


class Expert(Protocol):
    """Something that knows what to do next."""

    def act(self) -> Action:
        """Return the action for the next control step, from the present state only."""


def down(yaw: float) -> np.ndarray:
    """Return the quaternion (x y z w) of a hand that points down, turned by ``yaw``."""
    return np.array([math.cos(yaw / 2), math.sin(yaw / 2), 0.0, 0.0])


def wrap(angle: float) -> float:
    """Return the angle in (-pi, pi]."""
    return math.pi - (math.pi - angle) % (2 * math.pi)


def nearest_turn(angle: float, symmetry: float, reference: float = 0.0) -> float:
    """Return ``angle`` plus the multiple of ``symmetry`` that comes nearest to ``reference``."""
    return angle + symmetry * round((reference - angle) / symmetry)


def step(tcp: Pose, position: np.ndarray, yaw: float, speed: float = CRUISE) -> Pose:
    """Return the pose one control step further on the straight way to a goal, slowing down."""
    way = np.asarray(position, float) - tcp.position
    distance = float(np.linalg.norm(way))
    length = min(speed, distance, max(0.6 * distance, 0.003))
    here = yaw_of(tcp.quaternion)
    turn = wrap(yaw - here)
    turn = math.copysign(min(TURN, abs(turn), max(0.6 * abs(turn), 0.01)), turn)
    return Pose(tcp.position + way * (length / max(distance, 1e-9)), down(here + turn))


def funnel(tcp: Pose, goal: np.ndarray, yaw: float, lift: float, wait: bool = False,
           gentle: float = GENTLE) -> Pose:
    """Return the next pose on the way down to ``goal`` from above, through a funnel.

    Far from the goal the hand travels ``lift`` above it; it may come down only as the error
    across gets small, and inside the mouth it goes straight down. Below the funnel it rises
    before it moves across. With ``wait`` it stays at the top.
    """
    across = goal[:2] - tcp.position[:2]
    turn = abs(wrap(yaw - yaw_of(tcp.quaternion)))
    error = float(np.hypot(*across)) + 0.06 * turn
    above = lift if wait else float(np.clip((error - 0.006) * 6.0, 0.0, lift))
    floor = goal[2] + above
    free = float(np.clip(1.0 - (floor - tcp.position[2] - 0.01) / 0.03, 0.0, 1.0))
    target = np.array([*(tcp.position[:2] + free * across), floor])
    near = float(np.linalg.norm(goal - tcp.position))
    speed = float(np.interp(near, [0.03, 0.07], [gentle, CRUISE]))
    return step(tcp, target, yaw, speed)


def rise(tcp: Pose, height: float, speed: float = CRUISE) -> Pose:
    """Return the next pose of a straight rise (or descent) to ``height``, keeping the yaw."""
    target = np.array([tcp.position[0], tcp.position[1], height])
    return step(tcp, target, yaw_of(tcp.quaternion), speed)
