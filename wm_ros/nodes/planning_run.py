# SPDX-License-Identifier: Apache-2.0
"""One instruction from words to its end: look, imagine, choose, plan, move, look again."""
from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import numpy as np
from action_msgs.msg import GoalStatus

from wm_ros.bridge import chunks, joints
from wm_ros.errors import UserError
from wm_ros.motion.chunks import Patience, Waypoints, split_at_gripper, trim_passed
from wm_ros.motion.errors import ErrorCode, named
from wm_ros.motion.pose import Pose
from wm_ros.nodes.clients import Goal, StopFlag, Stopped


class Body(Protocol):
    """What a run asks of the planning node (all calls may block; they raise UserError)."""

    def now(self) -> float:
        """Seconds on the ROS clock."""

    def propose(self, instruction: str, count: int, newer_than: float,
                stop: StopFlag) -> list[chunks.Chunk]:
        """Chunks, best first, from an observation at least as new as ``newer_than`` (s)."""

    def plan(self, start: np.ndarray, waypoints: list[Pose], stop: StopFlag,
             check: bool = True) -> tuple[joints.JointPath | None, float, str]:
        """Timed path from joints ``start``, its fraction and why it is not complete.

        :param check: for collisions
        """

    def execute(self, path: joints.JointPath, stop: StopFlag) -> Goal:
        """Start a path."""

    def grip(self, width: float, stop: StopFlag) -> None:
        """Open or close the gripper and wait."""

    def joints_now(self) -> np.ndarray:
        """(J,) present joint positions (rad)."""

    def heard(self) -> float:
        """When the newest joint state came (s); another number for each new one."""

    def tool(self, q: np.ndarray) -> Pose:
        """Pose of the tool at joints ``q``."""

    def width_now(self) -> float:
        """Present opening of the gripper (m)."""

    def trace(self, entry: dict[str, Any]) -> None:
        """Publish what happened to one segment."""


COMPLETE = 0.999  # share of a way from which on it counts as whole
AHEAD = 0.1  # s that the stamp of images may lie in the future; clocks differ by a little
MARGIN = 3.0  # s that a motion may take longer yet; 1 s more than MoveIt allows, which says why
STILL = 2e-3  # rad in 0.05 s: an arm that moves less stands still
WHY = 0.3  # s in which whoever stopped a motion may say why
BEGINNING = 1e-3  # m of a way; where not even this much is free, the arm touches something now


class Blocked(UserError):
    """No part of a chunk can be driven."""


def stopped_elsewhere(stop: StopFlag, what: str) -> NoReturn:
    """End a run whose motion ``what`` was stopped by somebody else.

    :raises Stopped: always; with the reason of whoever says it a moment after the motion's end
    """
    stop.sleep(WHY)
    raise Stopped(f"Somebody stopped {what}; give the instruction again to go on.")


@dataclass(frozen=True)
class Settings:
    """How a run behaves; see the node's parameters."""

    time_limit: float
    candidates: int
    dry_run: bool
    horizon: int
    lead: float
    retries: int
    margin_fraction: float
    back_off: float
    gripper_change: float
    success_threshold: float
    progress_threshold: float
    still_path: float
    still_count: int
    follow_timing: bool
    bounds: np.ndarray
    max_excess: float
    max_pose_step: float
    max_jump: float
    max_age: float


@dataclass
class Segment:
    """One planned piece of motion and what follows it.

    :param free: share of the chunk's way that MoveIt found free of collisions
    """

    chunk: chunks.Chunk
    path: joints.JointPath | None
    grip: float | None
    free: float = 1.0
    stamps: dict[str, float] = field(default_factory=dict)


@dataclass
class Report:
    """How the instruction stands; turned into feedback and result."""

    stage: str = "observing"
    chunk_id: str = ""
    predicted: float = math.nan
    chunks: int = 0
    progress: float = 0.0


class Run:
    """Works off one instruction; ``execute`` returns the sentence of success or raises."""

    def __init__(self, body: Body, settings: Settings, instruction: str, stop: StopFlag,
                 tell: Callable[[Report], None]) -> None:
        self.body, self.settings, self.instruction = body, settings, instruction
        self.stop, self.tell = stop, tell
        self.report = Report()
        self._still = 0
        self._done = False
        self._held_up = self._stuck = 0
        self._unchecked = False  # went back unchecked, and nothing that was checked since
        self._patience = Patience()
        self._width = body.width_now()
        #: the last times from an observation's stamp to its plan (s)
        self._took = deque([settings.lead], maxlen=9)
        #: the last times from a motion's planned end to going on after it (s)
        self._arrived_late = deque([0.0], maxlen=9)
        self._deadline = body.now() + settings.time_limit

    def execute(self) -> str:
        """Do it.

        :returns: a sentence about how it went well
        :raises UserError: when it went wrong
        :raises Stopped: when it was told to stop
        """
        segment = self._next(self._at_rest(), self.body.now())
        while segment is not None:
            if self.settings.dry_run:
                return (f"Planned but not moved (dry run); the model expects success with "
                        f"{self._percent()}.")
            segment = self._drive(segment)
        return f"Done; the model is {self._percent()} sure of it."

    def _at_rest(self) -> np.ndarray:
        """Joints once the arm stands still; the instruction before may have left it braking.

        :raises UserError: no joint states come any more; the last one does not tell
        """
        heard, q = self.body.heard(), self.body.joints_now()
        first = heard
        for _ in range(20):
            self.stop.sleep(0.05)
            if self.body.heard() == heard:  # the same state again, not an arm at rest
                continue
            heard, before, q = self.body.heard(), q, self.body.joints_now()
            if np.abs(q - before).max() < STILL:
                break
        if heard == first:
            raise UserError("No joint states come any more; is the robot's driver (or the "
                            "simulation node) running?")
        return q

    def _percent(self) -> str:
        value = self.report.predicted
        return "not known how" if math.isnan(value) else f"{100.0 * value:.0f} %"

    # --- one segment
    def _drive(self, segment: Segment) -> Segment | None:
        """Execute a segment; meanwhile get the next one ready. None: the task is done."""
        after: Segment | None = None
        if self._too_old(segment):  # the motion before it took longer than was planned
            return self._next(self._at_rest(), self.body.now())
        if segment.path is not None:
            self._stage("executing", segment)
            segment.stamps["sent"] = self.body.now()
            goal = self.body.execute(segment.path, self.stop)
            started = segment.stamps["started"] = self.body.now()
            ends = started + segment.path.duration
            self.report.chunks += 1
            planned_from = segment.path.positions[-1]
            if segment.grip is None:
                after = self._prepare(ends, planned_from)
            arrived = self._finish(goal, ends, segment.path.duration)
            self._unchecked = self._unchecked and not arrived
            segment.stamps["ended"] = self.body.now()
            if arrived:
                self._arrived_late.append(segment.stamps["ended"] - ends)
            late = segment.grip is not None and self._too_old(segment, segment.path.duration)
            if not arrived or late:  # look again from where the arm is now
                self._trace(segment)
                return self._next(self._at_rest(), self.body.now())
        if segment.grip is not None:
            self._stage("gripping", segment)
            self.body.grip(segment.grip, self.stop)
            self._width = segment.grip
            segment.stamps["gripped"] = self.body.now()
        self._trace(segment)
        if after is not None:
            return after
        if self._done:
            return None
        return self._next(self.body.joints_now(), self.body.now())

    def _too_old(self, segment: Segment, planned: float = 0.0) -> bool:
        """Whether the images behind a segment are too old to act on.

        :param planned: what part of their age was planned (s)
        """
        age = self.body.now() - segment.chunk.observation_stamp
        return age - planned > self.settings.max_age

    def _prepare(self, ends: float, start: np.ndarray) -> Segment | None:
        """The next segment while the arm still moves; None leaves it to the end of the motion.

        The observation is chosen so that the plan is ready when the arm is told to have arrived:
        not later, or the arm would wait; not earlier, or the plan would rest on old images. What
        went on soonest after a motion did not wait for its plan, but for that word alone.
        """
        told = ends + min(self._arrived_late)
        look = told - statistics.median(self._took)
        self._sleep_until(look - 0.02)
        try:
            return self._next(start, look, ends)
        except UserError:
            return None

    def _finish(self, goal: Goal, ends: float, duration: float) -> bool:
        """Whether the arm arrived; something that it touched may have held it up.

        :param ends: when it should arrive (s)
        :param duration: of the motion (s); it may take twice as long, as MoveIt allows it, where
            the robot's own speed is turned down
        :raises UserError: when that happened too often in a row
        :raises Stopped: when this run, or anybody else, stopped the motion
        """
        timeout = max(ends - self.body.now(), 0.0) + duration + MARGIN
        status, result = goal.result(self.stop, timeout, "The motion did not end in time.",
                                     self.body.now)
        if result.error_code.val == ErrorCode.SUCCESS:
            self._held_up = 0
            return True
        self.stop.check()
        if (status == GoalStatus.STATUS_CANCELED
                or result.error_code.val == ErrorCode.PREEMPTED):
            stopped_elsewhere(self.stop, "the motion at MoveIt or at the controller")
        self._held_up += 1
        if self._held_up > self.settings.retries:
            raise UserError(f"The arm could not follow its trajectory ({_reason(result)}); "
                            "something may block it.")
        return False

    def _sleep_until(self, moment: float) -> None:
        before = math.inf  # a clock that is set back leaves more than that; then nobody waits
        while 0 < (left := moment - self.body.now()) <= before:
            before = left
            self.stop.sleep(min(left, 0.05))

    # --- the next segment
    def _next(self, start: np.ndarray, newer_than: float,
              begins: float = 0.0) -> Segment | None:
        """A planned segment from joints ``start``; None when the task is done.

        :param begins: when the arm will be there (s), if it still moves
        :raises UserError: when no chunk could be planned
        """
        why, blocked = "", 0
        for attempt in range(self.settings.retries + 1):
            self._check_time()
            self._stage("imagining" if attempt == 0 else "planning")
            asked = self.body.now()
            candidates = self.body.propose(self.instruction, self.settings.candidates, newer_than,
                                           self.stop)
            proposed = self.body.now()
            try:
                segment = self._choose(candidates, start, begins)
            except UserError as error:  # another noise may give a sound chunk
                why = str(error)
                blocked += isinstance(error, Blocked)
                newer_than = self.body.now() - 0.15
                continue
            chunk = segment.chunk
            segment.stamps.update(observed=chunk.observation_stamp, asked=asked,
                                  proposed=proposed, planned=self.body.now())
            self._stuck = 0
            self._took.append(segment.stamps["planned"] - chunk.observation_stamp)
            return None if self._finished(chunk) else segment
        tries = self.settings.retries + 1
        if (blocked == tries and not begins and not self.settings.dry_run
                and self.settings.back_off > 0):
            self._back_off()
            return self._next(self._at_rest(), self.body.now())
        raise UserError(f"No executable motion was found in {tries} tries: {why}")

    def _choose(self, candidates: list[chunks.Chunk], start: np.ndarray,
                begins: float) -> Segment:
        """The segment of the best candidate whose whole way MoveIt finds free; where none is
        free, the one that can be driven furthest before the obstacle.

        :raises UserError: the best candidate's, when nothing of any can be driven
        """
        before = self._patience
        partial: list[tuple[Segment, Patience]] = []
        errors: list[UserError] = []
        for chunk in candidates:
            self._patience = copy(before)  # a look counts once, whichever candidate is taken
            try:
                segment = self._segment(chunk, start, begins)
            except UserError as error:
                errors.append(error)
                continue
            if segment.free >= COMPLETE:
                return segment
            partial.append((segment, self._patience))
        if not partial:
            raise errors[0]
        best, self._patience = max(partial, key=lambda pair: pair[0].free)
        self.report.chunk_id, self.report.predicted = best.chunk.id, best.chunk.success
        return best

    def _segment(self, chunk: chunks.Chunk, start: np.ndarray, begins: float) -> Segment:
        s = self.settings
        present = self.body.tool(start)
        chunks.check_fresh(chunk, self.body.now())
        age = self.body.now() - chunk.observation_stamp
        if age < -AHEAD:  # their true age is not known
            raise UserError(f"Chunk {chunk.id} answers images that are stamped {-age:.2f} s in "
                            "the future; synchronise the camera's clock.")
        if age > s.max_age:
            raise UserError(f"Chunk {chunk.id} answers images that are {age:.2f} s old and was "
                            "dropped.")
        chunk = chunks.kept_in(chunk, s.bounds, s.max_excess)
        chunks.check_reach(chunk, present, s.bounds, s.max_pose_step, s.max_jump)
        self._stage("planning")
        self.report.chunk_id, self.report.predicted = chunk.id, chunk.success
        poses = self._ahead(chunk, present, max(begins, self.body.now()))
        if poses:  # what is left must begin near the arm, too
            chunks.check_reach(chunk._replace(poses=poses[:1]), present, s.bounds,
                               s.max_pose_step, s.max_jump)
        gripper = chunk.gripper[len(chunk.gripper) - len(poses):] if len(chunk.gripper) else None
        count = min(s.horizon, len(poses))
        waypoints, grip = list(poses[:count]), None
        if gripper is not None:
            waypoints, grip = self._first_piece(poses, gripper, count)
        if not waypoints or self._distance(present, waypoints) < 5e-4:
            return Segment(chunk, None, grip)
        path, fraction, reason = self.body.plan(start, waypoints, self.stop)
        free = fraction
        if fraction < COMPLETE:
            # up to the last pose that is free: the end of a partial path lies at the obstacle
            waypoints = waypoints[:_whole(fraction - s.margin_fraction, len(waypoints))]
            grip = None  # not at the place where the gripper was meant to act
            path = None
            if waypoints:
                path, fraction, _ = self.body.plan(start, waypoints, self.stop)
        if path is None:
            raise Blocked(reason)
        if s.follow_timing:
            path = joints.stretched(path, fraction * len(waypoints) * chunk.dt)
        return Segment(chunk, path, grip, free)

    def _back_off(self) -> None:
        """Where no planned motion leads on: a little back along the tool's axis, to look again.

        :raises UserError: when that happens again and again, leads out of the work space, or is
            blocked itself
        """
        self._stuck += 1
        if self._stuck > self.settings.retries:
            raise UserError("The arm is stuck between obstacles; free it by hand.")
        start = self._at_rest()
        present = self.body.tool(start)
        low, high = self.settings.bounds.T
        back = self._behind(present, self.settings.back_off)
        if (back.position < low).any() or (back.position > high).any():
            raise UserError("No motion leads on, and the way back leaves the work space that "
                            "safety.yaml allows; free the arm by hand.")
        path, fraction, reason = self.body.plan(start, [back], self.stop)
        checked = path is not None and fraction >= COMPLETE
        if path is None or not checked:
            path = self._out_of_touch(start, present, back, reason)
        goal = self.body.execute(path, self.stop)
        if self._finish(goal, self.body.now() + path.duration, path.duration) and checked:
            self._unchecked = False

    def _out_of_touch(self, start: np.ndarray, present: Pose, back: Pose,
                      reason: str) -> joints.JointPath:
        """The way back for an arm that touches something where it is.

        The only motion that is not checked for collisions, since it starts in one; once, until a
        checked one has been driven.

        :param reason: why the checked way back is not free
        :raises UserError: when the arm touches nothing now, or has gone back so already
        """
        little = self._behind(present, min(BEGINNING, self.settings.back_off))
        path, _, _ = self.body.plan(start, [little], self.stop)
        if path is not None:
            raise UserError(f"No motion leads on, and the way back is not free: {reason}")
        if self._unchecked:
            raise UserError("The arm is stuck between obstacles; free it by hand.")
        path, _, reason = self.body.plan(start, [back], self.stop, check=False)
        if path is None:
            raise UserError(reason)
        self._unchecked = True
        return path

    @staticmethod
    def _behind(pose: Pose, way: float) -> Pose:
        """The pose ``way`` (m) back along the tool's axis."""
        return Pose(pose.position - way * pose.rotation()[:, 2], pose.quaternion)

    def _ahead(self, chunk: chunks.Chunk, present: Pose, begins: float) -> list[Pose]:
        """What is left of a chunk when the arm is at ``present`` and starts at ``begins`` (s).

        What the arm has passed while the model was thinking is not driven again. It can only have
        passed what was due by then (a path that comes back must not be cut short), and nothing
        from the gripper's next movement on.
        """
        due = 1 + math.ceil((begins - chunk.observation_stamp) / chunk.dt)
        if len(chunk.gripper):
            changes = np.abs(chunk.gripper - self._width) > self.settings.gripper_change
            due = min(due, 1 + int(np.argmax(changes))) if changes.any() else due
        due = max(0, min(due, len(chunk.poses)))
        return [*trim_passed(chunk.poses[:due], present), *chunk.poses[due:]]

    def _first_piece(self, poses: list[Pose], gripper: np.ndarray,
                     count: int) -> tuple[list[Pose], float | None]:
        """At most ``count`` poses, up to and including the first change of the gripper unless that
        is put off."""
        waypoints: list[Pose] = []
        for piece in split_at_gripper(poses, gripper, self._width, self.settings.gripper_change):
            if isinstance(piece, Waypoints):
                waypoints.extend(piece.poses)
            elif len(waypoints) <= count and not self._patience.puts_off(len(waypoints)):
                return waypoints, float(piece.width)
            else:
                break
        return waypoints[:count], None

    @staticmethod
    def _distance(present: Pose, waypoints: list[Pose]) -> float:
        away = [float(np.linalg.norm(p.position - present.position)) for p in waypoints]
        turns = [1.0 - abs(float(p.quaternion @ present.quaternion)) for p in waypoints]
        return max(away) + max(turns)

    def _finished(self, chunk: chunks.Chunk) -> bool:
        """The model expects success and wants to rest, several looks in a row."""
        sure = not (chunk.success < self.settings.success_threshold
                    or chunk.progress < self.settings.progress_threshold)  # NaN: not known
        grips = len(chunk.gripper) and (np.abs(chunk.gripper - self._width)
                                        > self.settings.gripper_change).any()
        still = chunk.extent < self.settings.still_path and not grips
        self._still = self._still + 1 if sure and still else 0
        # who has not moved yet looks longer before saying that nothing is to be done
        needed = self.settings.still_count * (1 if self.report.chunks else 2)
        self.report.progress = (self._still / needed if math.isnan(chunk.progress)
                                else chunk.progress)
        if self._still:
            self._stage("verifying")
        self._done = self._still >= needed
        return self._done

    def _check_time(self) -> None:
        self.stop.check()
        if self.body.now() > self._deadline:
            raise UserError(f"Not done within {self.settings.time_limit:.0f} s; the arm was "
                            "stopped.")

    # --- telling
    def _stage(self, stage: str, segment: Segment | None = None) -> None:
        self.report.stage = stage
        if segment is not None:
            self.report.chunk_id = segment.chunk.id
        self.tell(self.report)

    def _trace(self, segment: Segment) -> None:
        self.body.trace({"chunk": segment.chunk.id, "success": segment.chunk.success,
                         "grip": segment.grip, "stamps": segment.stamps,
                         "wall": time.time()})


def _reason(result: Any) -> str:
    """Why a motion ended early; move_group gives the code alone."""
    code = result.error_code
    return code.message or f"{named(code.val)}; see MoveIt's log"


def _whole(fraction: float, lines: int) -> int:
    """How many of so many lines lie within a fraction; MoveIt counts each line the same."""
    return max(0, math.floor(fraction * lines + 1e-9))
