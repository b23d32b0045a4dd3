# SPDX-License-Identifier: Apache-2.0
"""From an action chunk to pieces of motion: pure helpers on poses and gripper widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wm_ros.motion.pose import Pose, distance

GRIPPER_CHANGE = 0.006  # m, smaller differences of the width are noise
METRES_PER_RADIAN = 0.1  # how a turn counts against a way when poses are compared


@dataclass(frozen=True)
class Waypoints:
    """Poses of the tool centre point in the base frame to pass one after the other."""

    poses: list[Pose]


@dataclass(frozen=True)
class Grip:
    """Open or close the gripper to this width (m) and wait for it."""

    width: float


class Patience:
    """Puts off what the fingers would do further on in a chunk until a newer look confirms it.

    Where the hand will be after some poses is known worse than where it is now, and a hand that
    closes beside a thing costs seconds.

    :param soon: poses before a grip that are driven without another look
    :param most: times in a row that a grip is put off
    """

    def __init__(self, soon: int = 2, most: int = 2) -> None:
        self.soon, self.most = soon, most
        self._times = 0

    def puts_off(self, poses: int) -> bool:
        """Whether a grip after so many poses waits for another look."""
        if poses <= self.soon or self._times >= self.most:
            self._times = 0
            return False
        self._times += 1
        return True


def split_at_gripper(
    poses: Sequence[Pose],
    gripper: Sequence[float] | np.ndarray,
    current_width: float,
    change: float = GRIPPER_CHANGE,
) -> list[Waypoints | Grip]:
    """Cuts a chunk where the gripper moves, so that nothing moves while it does.

    A width that keeps changing counts as one movement to its last value; the poses in between
    are passed after it.

    :param gripper: (H,) width in metres that is commanded together with each pose.
    :param change: metres by which a width must differ from the former one to be a movement.
    """
    pieces: list[Waypoints | Grip] = []
    waypoints: list[Pose] = []
    width, j = float(current_width), 0
    for i, pose in enumerate(poses):
        waypoints.append(pose)
        wanted = float(gripper[i])
        if i < j or abs(wanted - width) <= change:
            continue
        j = i + 1
        while j < len(poses) and (float(gripper[j]) - wanted) * (wanted - width) > 0:
            wanted = float(gripper[j])
            j += 1
        pieces += [Waypoints(waypoints), Grip(wanted)]
        waypoints, width = [], wanted
    if waypoints:
        pieces.append(Waypoints(waypoints))
    return pieces


def trim_passed(poses: Sequence[Pose], present: Pose) -> list[Pose]:
    """Drops the poses that the arm has passed; the last one always stays.

    The nearest pose is the anchor; it is dropped too when the way on leads away from it, that is
    when the present pose lies beyond it in the direction of the next one.
    """
    if len(poses) < 2:
        return list(poses)
    gaps = [_gap(pose, present) for pose in poses]
    nearest = int(np.argmin(gaps))
    if nearest == len(poses) - 1:
        return [poses[-1]]
    here, after = poses[nearest], poses[nearest + 1]
    way = after.position - here.position
    passed = float(way @ (present.position - here.position)) > 0.0
    arrived = gaps[nearest] < 1e-3
    return list(poses[nearest + 1 :] if passed or arrived else poses[nearest:])


def _gap(a: Pose, b: Pose) -> float:
    metres, radians = distance(a, b)
    return metres + METRES_PER_RADIAN * radians
