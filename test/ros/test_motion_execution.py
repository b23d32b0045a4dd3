# SPDX-License-Identifier: Apache-2.0
"""The motion node's last check before a controller, and controllers that do not end a motion."""
from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from moveit_msgs.msg import RobotTrajectory
from rclpy.task import Future

from wm_ros.bridge import joints
from wm_ros.bridge.moveit import Refusal
from wm_ros.errors import UserError
from wm_ros.motion.errors import ErrorCode
from wm_ros.nodes import motion_execution
from wm_ros.nodes.clients import SUCCEEDED, Goal, StopFlag, Stopped
from wm_ros.nodes.motion_execution import Settings, TrajectoryExecution, check_path
from wm_ros.robot import load_robot

ROBOT = load_robot("panda")
LIMIT = float(ROBOT.velocity_limits[2])  # rad/s
HARD = float(ROBOT.acceleration_limits[2])  # rad/s^2


END = float(ROBOT.position_limits[2, 1] - ROBOT.home[2])  # rad
RAMP = np.array([0.0, 0.5, 1.0, 0.5, 0.0])  # of a speed, at points 0.2 s apart
SOFT = 0.2 * np.array([0.0, 0.25, 1.0, 1.75, 2.0])  # of the same speed: the way, rad


def path(way: Any, speeds: Any, step: float = 0.2) -> joints.JointPath:
    """The third joint moves so from where it is at home, the others rest."""
    positions = np.tile(ROBOT.home, (len(way), 1))
    positions[:, 2] += way
    velocities = None
    if speeds is not None:
        velocities = np.zeros_like(positions)
        velocities[:, 2] = speeds
    return joints.JointPath(ROBOT.arm_joints, step * np.arange(len(way)), positions, velocities,
                            None)


@pytest.mark.parametrize(("bad", "words"), [
    (path([END + 0.05] * 4, [0.0] * 4), "leaves the position limits of"),
    (path([-END - 0.05] * 4, None), "leaves the position limits of"),
    (path([END - 0.05] * 2, [2.0, -2.0], 2.0), "leaves the position limits of"),
    (path(1.6 * LIMIT * SOFT, None), "exceeds the velocity limits of"),
    (path(1.2 * LIMIT * SOFT, 1.2 * LIMIT * RAMP), "exceeds the velocity limits of"),
    (path([0.0, 0.2 * LIMIT], [0.0, 0.0]), "exceeds the velocity limits of"),
    (path([0.0] * 4, [0.0, 0.0, 0.25 * HARD, 0.0], 0.1), "exceeds the acceleration limits of"),
    (path([0.0, 0.05], None, 0.14), "exceeds the acceleration limits of"),
    (path(0.9 * LIMIT * np.arange(4) * 0.2, [0.9 * LIMIT] * 4), "begin and end at rest"),
    (path([0.0, 0.0], [0.0, -0.3], 1.0), "begin and end at rest")],
    ids=["above", "below", "between", "fast", "told fast", "fast between", "hard", "hard between",
         "from speed", "into speed"])
def test_a_path_beyond_one_limit_is_refused_by_its_name(bad: joints.JointPath,
                                                        words: str) -> None:
    with pytest.raises(Refusal, match=words) as refused:
        check_path(bad, np.array(ROBOT.home), ROBOT)
    assert refused.value.code is ErrorCode.INVALID_MOTION_PLAN
    assert "limits" not in words or f" {ROBOT.arm_joints[2]}." in str(refused.value)


@pytest.mark.parametrize("sound", [
    path([0.0] * 4, None), path([0.0] * 4, [0.0] * 4), path(0.9 * LIMIT * SOFT, None),
    path(0.9 * LIMIT * SOFT, 0.9 * LIMIT * RAMP), path([0.0, 0.05], None, 0.25),
    path([END] * 4, None)],
    ids=["rests", "told to rest", "fast", "told fast", "two points", "at the end"])
def test_a_path_within_all_limits_is_taken(sound: joints.JointPath) -> None:
    check_path(sound, np.array(ROBOT.home), ROBOT)


def test_the_way_to_a_first_point_counts_too() -> None:
    """A controller goes from where the arm is, at rest, to a first point to be reached later."""
    home, there = np.array(ROBOT.home), np.array(ROBOT.home)
    there[2] += 0.5 * LIMIT  # rad: half a second at full speed
    for velocities in (None, np.zeros((1, ROBOT.dof))):
        def lone(seconds: float, v: np.ndarray | None = velocities) -> joints.JointPath:
            return joints.JointPath(ROBOT.arm_joints, np.array([seconds]), there[None], v, None)

        with pytest.raises(Refusal, match="exceeds the velocity limits"):
            check_path(lone(0.6), home, ROBOT)
        check_path(lone(1.2), home, ROBOT)
    jumps = path([0.03, 0.2, 0.2], [1.5, 0.0, 0.0])
    with pytest.raises(Refusal, match="limits of"):
        check_path(jumps._replace(times=jumps.times + 0.02), home, ROBOT)


class Handle:
    """A goal at a controller; ``answer`` is its result."""

    def __init__(self) -> None:
        self.answer, self.cancelled = Future(), 0

    def cancel_goal_async(self) -> None:
        self.cancelled += 1
        self.answer.set_result(SimpleNamespace(status=GoalStatus.STATUS_CANCELED, result=None))


class Controllers(TrajectoryExecution):
    """Whose goals end when the test says so; the arm is at home."""

    def __init__(self) -> None:
        self.node = SimpleNamespace(now=time.monotonic)  # type: ignore[assignment]
        self.robot, self.ready = ROBOT, True
        self._settings = lambda: Settings(0.03, 1.0, 0.1)
        self._present = lambda: np.array(ROBOT.home)
        self._arm = self._gripper = SimpleNamespace(  # type: ignore[assignment]
            server_is_ready=lambda: self.ready)
        self._arm_name = self._gripper_name = "controller"
        self.handle, self.requests = Handle(), []

    def send(self, _client: Any, request: Any, *_: Any) -> Goal:
        self.requests.append(request)
        return Goal(self.handle, self.handle.answer)

    def drive(self, flag: StopFlag | None = None, speed: float = 0.0) -> tuple[ErrorCode, str]:
        """A motion of 0.3 s."""
        trajectory = joints.to_trajectory(path(speed * 2 * SOFT, None, 0.075))
        return self._run(RobotTrajectory(joint_trajectory=trajectory), flag or StopFlag())


@pytest.fixture()
def controllers(monkeypatch: pytest.MonkeyPatch) -> Controllers:
    made = Controllers()
    monkeypatch.setattr(motion_execution, "send", made.send)
    return made


def test_a_controller_that_takes_too_long_is_told_to_stop(controllers: Controllers) -> None:
    begin = time.monotonic()
    code, words = controllers.drive()
    assert code is ErrorCode.TIMED_OUT and "took longer than 0.4 s and was stopped" in words
    assert 0.4 <= time.monotonic() - begin < 3.0
    assert controllers.handle.cancelled == 1


def test_a_controller_that_is_gone_ends_the_motion_long_before_its_time(
        controllers: Controllers) -> None:
    controllers._settings = lambda: Settings(0.03, 1.0, 60.0)
    controllers.ready, begin = False, time.monotonic()
    with pytest.raises(UserError, match="The controller is gone"):
        controllers.drive()
    assert time.monotonic() - begin < 5.0
    assert controllers.handle.cancelled == 1


def test_a_motion_that_is_told_to_stop_is_cancelled_at_the_controller(
        controllers: Controllers) -> None:
    flag = StopFlag()
    flag.set("The test stops it.")
    with pytest.raises(Stopped, match="The test stops it"):
        controllers.drive(flag)
    assert controllers.handle.cancelled == 1


def test_a_motion_from_elsewhere_does_not_reach_the_controller(controllers: Controllers) -> None:
    controllers._present = lambda: ROBOT.home + 0.04
    with pytest.raises(Refusal, match="starts 0.040 rad away"):
        controllers.drive()
    assert not controllers.requests


def test_a_motion_beyond_a_limit_does_not_reach_the_controller(controllers: Controllers) -> None:
    with pytest.raises(Refusal, match="velocity limits"):
        controllers.drive(speed=1.2 * LIMIT)
    assert not controllers.requests


@pytest.mark.parametrize(("finger", "width"), [
    (9.0, ROBOT.gripper.open_width), (-9.0, ROBOT.gripper.closed_width), (float("nan"), None)])
def test_fingers_are_told_no_width_that_they_do_not_have(
        controllers: Controllers, finger: float, width: float | None) -> None:
    controllers.handle.answer.set_result(SimpleNamespace(
        status=SUCCEEDED, result=SimpleNamespace(stalled=False)))
    trajectory = joints.to_trajectory(joints.JointPath(
        ROBOT.finger_joints, np.array([0.0]), np.full((1, 2), finger), None, None))
    message = RobotTrajectory(joint_trajectory=trajectory)
    if width is None:
        with pytest.raises(Refusal, match="not a finite number"):
            controllers._run(message, StopFlag())
        assert not controllers.requests
        return
    assert controllers._run(message, StopFlag()) == (ErrorCode.SUCCESS, "")
    (request,) = controllers.requests
    assert request.command.position == pytest.approx(width * ROBOT.gripper.command_scale)
