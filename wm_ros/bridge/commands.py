# SPDX-License-Identifier: Apache-2.0
"""What the arm was told in a recording, as poses of its tool over time."""
from __future__ import annotations

import bisect
from typing import Any

import numpy as np

from wm_ros.bridge import gripper, joints, observations, poses, times
from wm_ros.errors import UserError
from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Pose, interpolate

SOURCES = ("recorded actions", "commanded joints", "measured joints")
KEEP = 10.0  # s of history
GRIPPED = 60.0  # s likewise of what was measured: what a hand holds it may have held for long
SLACK = 0.12  # s that a track may end before a moment that is asked for
SILENT = 1.0  # s of images after which commands that lack are not waited for; no track is
# interpolated over a longer silence: somebody guides the arm by hand meanwhile


class _Track:
    """Values over time (s); interpolated by the caller."""

    def __init__(self, keep: float = KEEP) -> None:
        self.times: list[float] = []
        self.values: list[Any] = []
        self._keep = keep

    def add(self, time: float, value: Any) -> None:
        if self.times and time < self.times[-1] - 1.0:  # the clock was set back
            self.times.clear()
            self.values.clear()
        at = bisect.bisect_right(self.times, time)
        self.times.insert(at, time)
        self.values.insert(at, value)
        old = bisect.bisect_left(self.times, self.times[-1] - self._keep)
        del self.times[:old], self.values[:old]

    def around(self, time: float) -> tuple[Any, Any, float] | None:
        """Value before, value after and the share of the way between them."""
        if not self.times or not (self.times[0] - SLACK <= time <= self.times[-1] + SLACK):
            return None
        i = bisect.bisect_left(self.times, time)
        if i == 0:
            return self.values[0], self.values[0], 0.0
        if i == len(self.times):
            return self.values[-1], self.values[-1], 0.0
        before, after = self.times[i - 1], self.times[i]
        if after - before > SILENT:
            return self._beside_silence(i, time)
        return self.values[i - 1], self.values[i], (time - before) / max(after - before, 1e-9)

    def _beside_silence(self, i: int, time: float) -> tuple[Any, Any, float] | None:
        """The value at the near end of the silence before entry ``i``; None: it is too far."""
        for k in (i - 1, i):
            if abs(self.times[k] - time) <= SLACK:
                return self.values[k], self.values[k], 0.0
        return None


class Commands:
    """Collects what tells where the arm should go; the best source that there is counts.

    Recorded actions come before the controller's reference, and that before the measured joints.
    The gripper's commands are on no standard topic: without recorded actions :meth:`told` reads
    them off its measured opening, which alone does not stand for them.
    """

    def __init__(self, kinematics: Kinematics) -> None:
        self._kinematics, self._robot = kinematics, kinematics.robot
        self._actions, self._joints, self._measured = _Track(), _Track(), _Track(GRIPPED)

    @property
    def source(self) -> str:
        """The best of ``SOURCES`` that there was."""
        return SOURCES[0 if self._actions.times else 1 if self._joints.times else 2]

    @property
    def newest(self) -> float:
        """The last moment (s) that is covered; minus infinity when nothing is."""
        track = (self._actions, self._joints, self._measured)[SOURCES.index(self.source)]
        return track.times[-1] if track.times else -np.inf

    def add(self, role: str, message: Any) -> None:
        """Take in a message of the roles ``action``, ``commands`` or ``joint_states``."""
        robot = self._robot
        stamp = times.seconds(message.header.stamp)
        try:
            if role == "action":
                for k, (pose, width) in enumerate(zip(message.poses, message.gripper_width,
                                                      strict=True)):
                    self._actions.add(stamp + k * message.dt, (poses.from_pose(pose), width))
            elif role == "commands":
                index = {name: i for i, name in enumerate(message.joint_names)}
                at = np.asarray(message.reference.positions, float)
                at = at[[index[name] for name in robot.arm_joints]]
                if np.isfinite(at).all():
                    self._joints.add(stamp, at)
            elif role == "joint_states":
                state = joints.from_joint_state(message, robot.joints)
                self._measured.add(stamp, (state.position[:robot.dof],
                                           observations.gripper_width(state.position, robot)))
        except (UserError, KeyError, IndexError, ValueError):
            return  # a message without the arm's joints, or with numbers that are not finite

    def at(self, time: float) -> tuple[Pose, float] | None:
        """Tool pose commanded for a moment (s) and the gripper's opening (m), the measured one
        where no action was recorded; None: not covered."""
        found = self._actions.around(time)
        if found is not None:
            (a, wide), (b, narrow), share = found
            return interpolate(a, b, share), float(wide + share * (narrow - wide))
        joints_at, opening = self.joints_at(time), self._opening(time)
        if joints_at is None or opening is None:
            return None
        return self._kinematics.fk(joints_at), opening

    def _opening(self, time: float) -> float | None:
        """How far (m) the hand was open at a moment (s); None: not covered."""
        found = self._measured.around(time)
        if found is None:
            return None
        (_, wide), (_, narrow), share = found
        return float(wide + share * (narrow - wide))

    def told(self, stamp: float, steps: int, dt: float) -> np.ndarray:
        """(steps,) openings (m) that the hand was told from ``stamp`` (s) on, each for ``dt`` s,
        by how its fingers moved until then and after; see :func:`wm_ros.bridge.gripper.told`."""
        before = int((stamp - self._measured.times[0]) / dt)
        known: list[float] = []
        for moment in stamp + dt * np.arange(-before, steps + 1):
            opening = self._opening(moment)
            if opening is None:
                known.clear()  # what was before a silence says nothing of after it
            else:
                known.append(opening)
        return gripper.told(np.array(known), self._robot.gripper.closed_width)[-steps:]

    def source_at(self, time: float) -> str:
        """Which of ``SOURCES`` tells what was commanded for a moment (s), if any does."""
        tracks = (self._actions, self._joints)
        return next((source for source, track in zip(SOURCES, tracks, strict=False)
                     if track.around(time) is not None), SOURCES[-1])

    def joints_at(self, time: float) -> np.ndarray | None:
        """(n,) rad commanded for a moment, else measured then; None: not covered."""
        found = self._joints.around(time)
        if found is None:
            measured = self._measured.around(time)
            if measured is None:
                return None
            found = measured[0][0], measured[1][0], measured[2]
        before, after, share = found
        return np.asarray(before + share * (after - before))
