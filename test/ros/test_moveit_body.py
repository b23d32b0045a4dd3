# SPDX-License-Identifier: Apache-2.0
"""The planning node's hands on a move_group that answers late, not at all, or with an error."""
from __future__ import annotations

import math
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from moveit_msgs.msg import MoveItErrorCodes, RobotTrajectory
from moveit_msgs.srv import GetCartesianPath, GetPositionFK
from rclpy.task import Future
from trajectory_msgs.msg import JointTrajectoryPoint

from wm_ros.bridge import joints, times
from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Pose
from wm_ros.nodes import moveit_body
from wm_ros.nodes.clients import SUCCEEDED, Goal, StopFlag, Stopped, send
from wm_ros.nodes.moveit_body import MoveItBody
from wm_ros.robot import load_robot

ROBOT = load_robot()


class DeafGoal:
    """A goal of a move_group that has accepted it and not yet begun: stops are lost at first."""

    def __init__(self, deaf: float = 0.15) -> None:
        self.hears_from = time.monotonic() + deaf
        self.accepted, self.ended, self.cancelled = True, Future(), 0

    def cancel_goal_async(self) -> None:
        """To cancel the goal itself does nothing: the motion is driven in the same thread."""
        self.cancelled += 1

    def get_result_async(self) -> Future:
        return self.ended

    def event(self, _message: Any) -> None:
        if time.monotonic() > self.hears_from and not self.ended.done():
            self.ended.set_result(SimpleNamespace(status=6, result=None))


class Controller:
    """The controller's cancel service: nothing has reached it yet."""

    def service_is_ready(self) -> bool:
        return True

    def call_async(self, _request: Any) -> None:
        """No goal is there."""


def resting(event: Any) -> MoveItBody:
    """A body without ROS that tells ``event`` of each stop."""
    body = object.__new__(MoveItBody)
    body._cancel, body._event_out = Controller(), SimpleNamespace(publish=event)
    body._goal = body._grip_goal = None
    body._orphans = []
    body.node = SimpleNamespace(worker=lambda work: work())  # type: ignore[assignment]
    return body


def test_a_stop_that_comes_before_the_motion_begins_is_not_lost() -> None:
    deaf = DeafGoal()
    body = resting(deaf.event)
    body._goal = Goal(deaf, deaf.ended)
    body.cancel_motion()
    assert not body._goal.done
    started = time.monotonic()
    body.rest()
    assert body._goal.done and time.monotonic() - started < 0.5


def test_a_goal_that_never_ends_does_not_hold_the_next_instruction_up() -> None:
    deaf = DeafGoal(deaf=1000.0)
    body = resting(deaf.event)
    body._goal = Goal(deaf, deaf.ended)
    started = time.monotonic()
    body.rest(seconds=0.2)
    assert 0.2 <= time.monotonic() - started < 1.0


class SlowServer:
    """An action server that accepts a goal when the test says so."""

    def __init__(self) -> None:
        self._node = SimpleNamespace(executor=SimpleNamespace(create_task=lambda task: task()))
        self.answer, self.asked, self.stop = Future(), 0, StopFlag()

    def server_is_ready(self) -> bool:
        return True

    def send_goal_async(self, _goal: Any) -> Future:
        self.asked += 1
        self.stop.set("Stopped.")
        return self.answer


def test_a_run_that_was_stopped_sends_nothing_any_more() -> None:
    server, stop = SlowServer(), StopFlag()
    stop.set("Stopped.")
    with pytest.raises(Stopped, match="Stopped"):
        send(server, None, "/execute_trajectory", stop, 3.0)  # type: ignore[arg-type]
    assert server.asked == 0


@pytest.mark.parametrize("late", [False, True], ids=["while it rests", "after it has rested"])
def test_a_goal_that_is_accepted_after_the_stop_is_ended_too(late: bool) -> None:
    deaf, server, stop = DeafGoal(), SlowServer(), StopFlag()
    body, server.stop = resting(deaf.event), stop
    with pytest.raises(Stopped):
        send(server, None, "/execute_trajectory", stop, 3.0,  # type: ignore[arg-type]
             body._orphaned)
    assert body._moving(), "it may still be accepted"
    if late:
        body.rest(seconds=0.1)
        server.answer.set_result(deaf)
    else:
        body.node.worker = lambda _: None  # type: ignore[method-assign]
        server.answer.set_result(deaf)
        body.rest()
    assert deaf.ended.done() and deaf.cancelled
    assert not body._moving()


class CartesianPaths:
    """/compute_cartesian_path, answering with an error code, or not at all (0)."""

    srv_name = "/compute_cartesian_path"

    def __init__(self, code: int) -> None:
        self.code, self.ready, self.asked = code, True, 0
        self.solution, self.fraction = RobotTrajectory(), 0.0

    def service_is_ready(self) -> bool:
        return self.ready

    def call_async(self, _request: Any) -> Future:
        self.asked += 1
        future = Future()
        if self.code:
            answer = GetCartesianPath.Response(solution=self.solution, fraction=self.fraction)
            answer.error_code.val = self.code
            future.set_result(answer)
        return future

    def remove_pending_request(self, _future: Future) -> None:
        """Nothing to do."""


class ForwardKinematics(CartesianPaths):
    """/compute_fk of a MoveIt that knows these links."""

    srv_name = "/compute_fk"

    def __init__(self, *links: str) -> None:
        super().__init__(MoveItErrorCodes.SUCCESS)
        self.links = links or (ROBOT.tcp_link,)

    def call_async(self, request: Any) -> Future:
        self.asked += 1
        answer = GetPositionFK.Response()
        known = set(request.fk_link_names) <= set(self.links)
        answer.error_code.val = (MoveItErrorCodes.SUCCESS if known else
                                 MoveItErrorCodes.INVALID_LINK_NAME)
        future = Future()
        future.set_result(answer)
        return future


def planning(service: CartesianPaths) -> MoveItBody:
    """A body without ROS whose MoveIt is ``service``."""
    body = object.__new__(MoveItBody)
    body.robot, body._planner, body._seen, body._state = ROBOT, service, None, None
    body._answered, body._applied, body._forward = False, None, ForwardKinematics()
    body.node = SimpleNamespace(number=lambda _: 0.02, now=lambda: 1.0)  # type: ignore[assignment]
    return body


def plan(body: MoveItBody) -> Any:
    return body.plan(np.array(ROBOT.home), [Pose.of([0.4, 0.0, 0.3])], StopFlag())


@pytest.mark.parametrize(("code", "named"), [
    (MoveItErrorCodes.FRAME_TRANSFORM_FAILURE, ROBOT.base_link),
    (MoveItErrorCodes.INVALID_GROUP_NAME, ROBOT.planning_group),
    (MoveItErrorCodes.INVALID_LINK_NAME, ROBOT.tcp_link)])
def test_what_is_set_up_wrongly_is_said_and_not_taken_for_an_obstacle(code: int,
                                                                     named: str) -> None:
    with pytest.raises(Stopped, match=named):
        plan(planning(CartesianPaths(code)))
    path, fraction, reason = plan(planning(CartesianPaths(MoveItErrorCodes.GOAL_IN_COLLISION)))
    assert path is None and fraction == 0.0 and "in the way" in reason


def test_a_move_group_that_would_end_at_the_tools_name_is_not_asked_for_a_path() -> None:
    service = CartesianPaths(MoveItErrorCodes.GOAL_IN_COLLISION)
    body = planning(service)
    body._forward = ForwardKinematics("hand")
    with pytest.raises(Stopped, match=f"no link {ROBOT.tcp_link}"):
        plan(body)
    assert not service.asked


def test_the_start_of_a_path_names_the_arm_alone() -> None:
    state = planning(CartesianPaths(0))._robot_state(np.array(ROBOT.home))
    assert state.is_diff and tuple(state.joint_state.name) == ROBOT.arm_joints


def test_a_path_that_moveit_could_not_time_is_said() -> None:
    service = CartesianPaths(MoveItErrorCodes.SUCCESS)
    service.fraction = 1.0
    trajectory = service.solution.joint_trajectory
    trajectory.joint_names = list(ROBOT.arm_joints)
    trajectory.points = [JointTrajectoryPoint(positions=list(ROBOT.home)) for _ in range(3)]
    with pytest.raises(Stopped, match="max_acceleration"):
        plan(planning(service))


def test_a_motion_is_told_to_end_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    goals: list[Any] = []
    body = planning(CartesianPaths(0))
    body.node = SimpleNamespace(tick=lambda: None)  # type: ignore[assignment]
    body._plan_out = SimpleNamespace(publish=lambda _: None)  # type: ignore[assignment]
    monkeypatch.setattr(body, "_send", lambda goal, _: goals.append(goal))
    q = np.tile(ROBOT.home, (2, 1))
    body.execute(joints.JointPath(ROBOT.arm_joints, np.array([0.0, 1.0]), q,
                                  np.full(q.shape, 1e-6), None), StopFlag())
    [first, last] = goals[0].trajectory.joint_trajectory.points
    assert set(last.velocities) == {0.0} and set(first.velocities) == {1e-6}


@pytest.mark.parametrize("gone", ["while it plans", "between two plans"])
def test_a_move_group_that_was_away_ends_the_instruction_and_gets_its_obstacles_anew(
        gone: str) -> None:
    service = CartesianPaths(MoveItErrorCodes.GOAL_IN_COLLISION)
    body = planning(service)
    body._applied = there = SimpleNamespace()  # type: ignore[assignment]
    plan(body)
    assert body._applied is there
    service.code, service.ready = 0, gone == "while it plans"
    started = time.monotonic()
    with pytest.raises(Stopped, match="obstacles may be lost; give the instruction again"):
        plan(body)
    assert body._applied is None and time.monotonic() - started < 5.0
    assert service.asked == (2 if service.ready else 1), "another one would answer"


def gripping(monkeypatch: pytest.MonkeyPatch, status: int,
             stalled: bool = False) -> tuple[MoveItBody, list[Any]]:
    """A body whose gripper ends every goal at once, and the goals that it was sent."""
    goals: list[Any] = []
    answer = Future()
    answer.set_result(SimpleNamespace(status=status, result=SimpleNamespace(
        stalled=stalled, reached_goal=False)))

    def send(_client: Any, goal: Any, *_: Any) -> Goal:
        goals.append(goal)
        return Goal(None, answer)
    monkeypatch.setattr(moveit_body, "send", send)
    body = resting(lambda _: None)
    body.robot, body._gripper, body._seen = ROBOT, None, None
    body.node = SimpleNamespace(number=lambda _: 3.0, now=time.monotonic)  # type: ignore
    return body, goals


def test_a_gripper_that_somebody_stopped_ends_the_instruction(
        monkeypatch: pytest.MonkeyPatch) -> None:
    body, _ = gripping(monkeypatch, GoalStatus.STATUS_CANCELED, stalled=True)
    with pytest.raises(Stopped, match="Somebody stopped the gripper"):
        body.grip(0.0, StopFlag())


def test_who_ended_the_grippers_motion_may_say_why_a_moment_later(
        monkeypatch: pytest.MonkeyPatch) -> None:
    body, _ = gripping(monkeypatch, GoalStatus.STATUS_ABORTED)
    stop = StopFlag()
    threading.Timer(0.1, stop.set, args=("The room was laid out anew.",)).start()
    with pytest.raises(Stopped, match="laid out anew"):
        body.grip(0.0, stop)


@pytest.mark.parametrize(("width", "told"), [
    (0.5, ROBOT.gripper.open_width), (-0.1, ROBOT.gripper.closed_width), (0.03, 0.03)])
def test_a_grip_beyond_the_grippers_range_is_told_as_its_end(
        monkeypatch: pytest.MonkeyPatch, width: float, told: float) -> None:
    body, goals = gripping(monkeypatch, SUCCEEDED)
    body.grip(width, StopFlag())
    (goal,) = goals
    assert goal.command.position == pytest.approx(told * ROBOT.gripper.command_scale)


@pytest.mark.parametrize(("limit", "fastest"), [(0.05, 0.05), (3.0, None)])
def test_whatever_moveit_plans_the_tool_keeps_to_the_speed_limit(
        limit: float, fastest: float | None) -> None:
    service = CartesianPaths(MoveItErrorCodes.SUCCESS)
    turned = np.array(ROBOT.home) + np.array([1.0, *[0.0] * (len(ROBOT.arm_joints) - 1)])
    quick = joints.JointPath(ROBOT.arm_joints, np.array([0.0, 0.5, 1.0]),
                             np.linspace(ROBOT.home, turned, 3), None, None)
    service.solution.joint_trajectory, service.fraction = joints.to_trajectory(quick), 1.0
    body = planning(service)
    body._kinematics = Kinematics(ROBOT)
    values = {"safety.max_tool_speed": limit}
    body.node.number = lambda name: values.get(name, 0.02)  # type: ignore[method-assign]
    path, fraction, _ = plan(body)
    assert fraction == 1.0
    np.testing.assert_allclose(path.positions, quick.positions)
    speed = body._kinematics.tool_speed(path.times, path.positions, path.velocities)
    assert body._kinematics.tool_speed(quick.times, quick.positions, quick.velocities) > 0.3
    if fastest is None:
        np.testing.assert_allclose(path.times, quick.times)
    else:
        assert 0.9 * fastest < speed <= fastest * (1 + 1e-6)


def test_joint_states_that_have_stopped_or_repeat_themselves_are_not_the_present_ones() -> None:
    body = object.__new__(MoveItBody)
    body.robot, body._state, body._heard = ROBOT, None, -math.inf
    body._states = joints.JointStates(ROBOT.joints)
    body.node = SimpleNamespace(text=lambda _: "/joint_states")  # type: ignore[assignment]

    def hear(stamp: float) -> None:
        body._hear_joints(joints.to_joint_state(times.stamp(stamp), ROBOT.joints,
                                                np.zeros(len(ROBOT.joints))))
    hear(1.0)
    body.wait_for_joints(StopFlag())
    body._heard = time.monotonic() - 0.6
    hear(1.0)
    stop = StopFlag()
    threading.Timer(0.2, lambda: stop.set("waits")).start()
    with pytest.raises(Stopped, match="waits"):
        body.wait_for_joints(stop)
    hear(1.1)
    body.wait_for_joints(StopFlag())
