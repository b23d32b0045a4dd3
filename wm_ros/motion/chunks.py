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


def check_chunk(
    poses: Sequence[Pose],
    gripper: Sequence[float] | np.ndarray,
    dt: float,
    present: Pose,
    *,
    max_step: float = 0.06,
    max_turn: float = 0.4,
    max_jump: float = 0.10,
    widths: tuple[float, float] = (0.0, 0.08),
) -> str | None:
    """Why a chunk must not be executed, in one sentence; None if it may.

    :param dt: seconds between poses.
    :param max_step: metres, and `max_turn` radians, between neighbouring poses.
    :param max_jump: metres from the present pose to the nearest of the chunk.
    :param widths: smallest and largest opening of the gripper in metres.
    """
    if not poses:
        return "the chunk holds no poses"
    if len(gripper) != len(poses):
        return f"the chunk holds {len(poses)} poses but {len(gripper)} gripper widths"
    if not np.isfinite(dt) or dt <= 0.0:
        return f"the chunk's time step of {dt} s is not positive"
    numbers = np.concatenate([np.concatenate([*pose]) for pose in poses])
    if not np.isfinite(numbers).all() or not np.isfinite(np.asarray(gripper, float)).all():
        return "the chunk holds numbers that are not finite"
    if any(abs(float(np.linalg.norm(pose.quaternion)) - 1.0) > 1e-2 for pose in poses):
        return "the chunk holds quaternions that are not of unit length"
    low, high = widths
    if min(gripper) < low - 0.005 or max(gripper) > high + 0.005:
        return f"the chunk opens the gripper beyond {low:.3f} to {high:.3f} m"
    return _check_steps(poses, present, max_step, max_turn, max_jump)


def _check_steps(
    poses: Sequence[Pose], present: Pose, max_step: float, max_turn: float, max_jump: float
) -> str | None:
    for i, (a, b) in enumerate(zip(poses, poses[1:], strict=False)):
        metres, radians = distance(a, b)
        if metres > max_step:
            return (
                f"pose {i + 1} of the chunk jumps {100 * metres:.1f} cm, more than "
                f"{100 * max_step:.1f} cm"
            )
        if radians > max_turn:
            return (
                f"pose {i + 1} of the chunk turns {radians:.2f} rad at once, more than "
                f"{max_turn:.2f} rad"
            )
    nearest = min(distance(pose, present)[0] for pose in poses)
    if nearest > max_jump:
        return f"the chunk starts {100 * nearest:.1f} cm away from the tool"
    return None


def check_timing(
    start: float, validity: float, observed: float, now: float, max_age: float = 1.0
) -> str | None:
    """Why a chunk is too late or too old, in one sentence; None if it is neither.

    :param start: when it starts, `observed` when what it answers was seen, `now`: all in seconds
        on the same clock.
    :param validity: seconds after the start until which it may be executed.
    """
    if not all(np.isfinite(v) for v in (start, validity, observed, now)):
        return "the chunk's times are not finite"
    if now > start + validity:
        return f"the chunk is {now - start - validity:.2f} s too late"
    if now - observed > max_age:
        return f"the chunk answers an observation that is {now - observed:.2f} s old"
    return None
