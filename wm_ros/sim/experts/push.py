# SPDX-License-Identifier: Apache-2.0
"""Push a thing along a line with closed fingers: come down before it, then move along."""
from __future__ import annotations

import numpy as np

from wm_ros.motion.pose import Pose
from wm_ros.sim.experts.moves import CLOSED, GENTLE, Action, funnel, step, yaw_of

LANE = 0.022  # m, half the width of the lane in front of the contact
LIFT = 0.10


def push(tcp: Pose, contact: np.ndarray, direction: np.ndarray, yaw: float,
         before: float = 0.045, speed: float = GENTLE) -> Action:
    """Return the next action of a push.

    :param contact: (3,) the point to be pushed, at the height at which to push.
    :param direction: (2,) unit vector along which to push.
    :param before: how far before the contact the hand comes down, m.
    """
    behind = tcp.position[:2] - contact[:2]
    along = float(behind @ direction)
    across = behind - along * direction
    low = tcp.position[2] < contact[2] + 0.012
    if low and -before - 0.03 < along < 0.0 and float(np.hypot(*across)) < LANE:
        ahead = tcp.position[:2] + 0.03 * direction - 0.8 * across
        return Action(step(tcp, np.array([*ahead, contact[2]]), yaw, speed), CLOSED)
    entry = np.array([*(contact[:2] - before * direction), contact[2]])
    return Action(funnel(tcp, entry, yaw, LIFT), CLOSED)


def withdraw(tcp: Pose, height: float) -> Action:
    """Return the action that leaves upwards with closed fingers, then stays."""
    target = np.array([*tcp.position[:2], height])
    return Action(step(tcp, target, yaw_of(tcp.quaternion)), CLOSED)
