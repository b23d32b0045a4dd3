# SPDX-License-Identifier: Apache-2.0
"""The planning node on moveit_py: same paths, same stops, and one sentence where it is missing."""
from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import fake_moveit
import numpy as np
import pytest
from moveit_msgs.msg import (
    CollisionObject,
    MoveItErrorCodes,
    PlanningScene,
    PlanningSceneWorld,
)
from rclpy.parameter import Parameter as ParameterValue
from rclpy.task import Future

from wm_ros.bridge import furniture
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose
from wm_ros.motion.seen import Box
from wm_ros.nodes.base import WmNode
from wm_ros.nodes.clients import SUCCEEDED, StopFlag, Stopped, call, send
from wm_ros.nodes.moveit_body import MoveItBody, make_body
from wm_ros.nodes.parameters import PLANNING, SAFETY, TOPICS, Parameter
from wm_ros.nodes.seen_objects import SeenObjects


class Node(WmNode):
    """Only the parameters of the planning node, with some set."""

    def __init__(self, **values: Any) -> None:
        super().__init__("planning", tuple(
            Parameter(p.name, values.get(p.name, p.default), p.description)
            for p in (*TOPICS, *PLANNING, *SAFETY)))


@pytest.fixture
def node(ros: None) -> Iterator[Any]:
    made: list[Node] = []

    def make(**values: Any) -> Node:
        made.append(Node(**values))
        return made[-1]
    yield make
    for one in made:
        one.destroy_node()


@pytest.fixture
def body(node: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    fake_moveit.install(monkeypatch)
    return make_body(node(planner="moveit_py", detours=True))


HOME = np.array(fake_moveit.ROBOT.home)


def forward(body: Any, *steps: tuple[float, float, float]) -> list[Pose]:
    """Poses at these displacements (m) from the tool's home."""
    start = body.tool(HOME)
    return [Pose(start.position + np.array(step), start.quaternion) for step in steps]


def wall(name: str = "wall") -> PlanningScene:
    """A wall in front of the tool's home."""
    scene = PlanningScene(is_diff=True)
    scene.world.collision_objects = [furniture.collision_object(
        name, fake_moveit.ROBOT.base_link,
        [("box", (0.02, 0.4, 0.4), Pose.of([0.55, 0.0, 0.35]))])]
    return scene


def test_missing_moveit_py_is_one_sentence(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moveit", None)
    monkeypatch.delitem(sys.modules, "wm_ros.nodes.moveit_py_body", raising=False)
    with pytest.raises(UserError, match="moveit-py"):
        make_body(node(planner="moveit_py"))


def test_moveit_py_is_imported_only_when_chosen(node: Any,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wm_ros.nodes.moveit_py_body", raising=False)
    assert type(make_body(node())) is MoveItBody
    assert "wm_ros.nodes.moveit_py_body" not in sys.modules


def test_unknown_planner_is_one_sentence(node: Any) -> None:
    with pytest.raises(UserError, match="move_group or moveit_py"):
        make_body(node(planner="stomp"))


def test_moveit_py_gets_the_robots_own_configuration(body: Any) -> None:
    config = body._moveit.config
    assert body._moveit.remappings is None
    assert config["robot_description_kinematics"][fake_moveit.ROBOT.planning_group]


def test_moveit_py_hears_the_robots_own_joint_states(node: Any,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    fake_moveit.install(monkeypatch)
    made = make_body(node(**{"planner": "moveit_py", "topics.joint_states": "/arm/states"}))
    assert made._moveit.remappings == {"joint_states": "/arm/states"}  # type: ignore[attr-defined]


def test_a_node_that_is_set_up_anew_keeps_the_one_moveit_and_no_obstacle(
        body: Any, node: Any) -> None:
    assert body._change_scene(wall(), StopFlag())
    again: Any = make_body(body.node)
    assert again._moveit is body._moveit and not again._moveit.planner.scene.objects
    other = node(**{"planner": "moveit_py", "topics.joint_states": "/arm/states"})
    with pytest.raises(UserError, match="start it again"):
        make_body(other)


def test_moveit_that_cannot_be_set_up_is_one_sentence(node: Any,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    fake_moveit.install(monkeypatch)

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("Unable to configure planning scene monitor")

    monkeypatch.setattr(fake_moveit.MoveItPy, "__init__", refuse)
    with pytest.raises(UserError, match="planning scene monitor.*log"):
        make_body(node(planner="moveit_py"))


def test_free_lines_are_followed_to_their_end(body: Any) -> None:
    waypoints = forward(body, (0.05, 0.0, 0.0), (0.05, 0.05, -0.02))
    path, fraction, _ = body.plan(HOME, waypoints, StopFlag())
    assert fraction == 1.0
    assert np.allclose(path.positions[0], HOME, atol=1e-6)
    assert np.linalg.norm(body.tool(path.positions[-1]).position
                          - waypoints[-1].position) < 1e-3
    limits = fake_moveit.ROBOT.velocity_limits
    assert (np.abs(path.velocities) <= limits * 0.9 + 1e-6).all()


def test_a_path_ends_before_what_is_in_the_way(body: Any) -> None:
    assert body._change_scene(wall(), StopFlag())
    waypoints = forward(body, (0.03, 0.0, 0.0), (0.25, 0.0, 0.0))
    path, fraction, reason = body.plan(HOME, waypoints, StopFlag())
    assert 0.3 < fraction < 0.95 and "in the way" in reason
    assert body.tool(path.positions[-1]).position[0] < 0.55
    unchecked, fraction, _ = body.plan(HOME, waypoints, StopFlag(), check=False)
    assert fraction == 1.0 and unchecked is not None


def post(body: Any) -> None:
    """Something close before the tool's home: the line forward is blocked at once."""
    near = PlanningScene(is_diff=True)
    near.world.collision_objects = [furniture.collision_object(
        "post", fake_moveit.ROBOT.base_link,
        [("box", (0.02, 0.30, 0.04), Pose.of([0.425, 0.0, 0.33]))])]
    body._change_scene(near, StopFlag())
    if body._moveit.planner.in_collision(HOME):
        pytest.fail("the obstacle must not touch the arm at home")


def test_a_way_around_is_found_where_the_line_is_blocked_at_once(body: Any) -> None:
    post(body)
    goal = forward(body, (0.10, 0.0, 0.0))
    path, fraction, _ = body.plan(HOME, goal, StopFlag())
    assert path is not None and fraction == 1.0
    assert np.linalg.norm(body.tool(path.positions[-1]).position - goal[0].position) < 5e-3
    planner = body._moveit.planner
    assert not any(planner.in_collision(q) for q in path.positions)


def test_a_way_around_keeps_to_the_shares_of_the_joints_limits(body: Any) -> None:
    body.node.set_parameters([ParameterValue("velocity_scaling", value=0.1)])
    post(body)
    path, _, _ = body.plan(HOME, forward(body, (0.10, 0.0, 0.0)), StopFlag())
    assert (np.abs(path.velocities) <= 0.1 * fake_moveit.ROBOT.velocity_limits + 1e-6).all()


def test_a_way_around_that_leaves_the_work_space_is_refused(body: Any) -> None:
    post(body)
    home = body.tool(HOME).position
    high = [float(v) for v in home + np.array([0.3, 0.02, 0.005])]
    low = [float(v) for v in home - np.array([0.3, 0.02, 0.001])]
    body.node.set_parameters([ParameterValue("safety.workspace_max", value=high),
                              ParameterValue("safety.workspace_min", value=low)])
    path, fraction, reason = body.plan(HOME, forward(body, (0.10, 0.0, 0.0)), StopFlag())
    assert path is None and fraction == 0.0 and "work space" in reason


def test_the_tool_keeps_to_the_speed_limit(body: Any) -> None:
    waypoints = forward(body, (0.15, 0.10, 0.0))
    body.node.set_parameters([ParameterValue("safety.max_tool_speed", value=0.05)])
    path, fraction, _ = body.plan(HOME, waypoints, StopFlag())
    points = np.array([body.tool(q).position for q in path.positions])
    speeds = np.linalg.norm(np.diff(points, axis=0), axis=1) / np.diff(path.times)
    assert fraction == 1.0
    assert 0.045 < speeds.max() <= 0.05 + 1e-6


def test_arrival_is_told(body: Any) -> None:
    path, _, _ = body.plan(HOME, forward(body, (0.03, 0.0, 0.0)), StopFlag())
    goal = body.execute(path, StopFlag())
    status, result = goal.result(StopFlag(), 5.0, "late")
    assert status == SUCCEEDED and result.error_code.val == 1
    message, controller = body._manager.pushed[-1]
    assert controller == fake_moveit.ROBOT.controllers.arm
    assert tuple(message.joint_trajectory.joint_names) == fake_moveit.ROBOT.arm_joints


def test_a_stop_reaches_moveit(body: Any) -> None:
    body._manager.arrives = False
    path, _, _ = body.plan(HOME, forward(body, (0.03, 0.0, 0.0)), StopFlag())
    goal = body.execute(path, StopFlag())
    started = time.monotonic()
    body.cancel_motion()
    status, result = goal.result(StopFlag(), 5.0, "late")
    assert time.monotonic() - started < 5.0
    assert status != SUCCEEDED and result.error_code.val == MoveItErrorCodes.PREEMPTED


@pytest.mark.parametrize(("status", "code"), [
    ("ABORTED", MoveItErrorCodes.CONTROL_FAILED), ("TIMED_OUT", MoveItErrorCodes.TIMED_OUT)])
def test_a_motion_that_fails_is_told_from_one_that_was_stopped(
        body: Any, status: str, code: int) -> None:
    body._manager.fails = status
    path, _, _ = body.plan(HOME, forward(body, (0.03, 0.0, 0.0)), StopFlag())
    ended, result = body.execute(path, StopFlag()).result(StopFlag(), 5.0, "late")
    assert ended != SUCCEEDED and result.error_code.val == code


def test_furniture_comes_and_goes(body: Any) -> None:
    body._furniture = wall()
    body.apply_furniture(StopFlag())
    assert set(body._moveit.planner.scene.objects) == {"wall"}
    body._furniture = wall("shelf")
    body.apply_furniture(StopFlag())
    assert set(body._moveit.planner.scene.objects) == {"shelf"}


def test_what_was_seen_before_an_instruction_is_taken_away_before_the_next(body: Any) -> None:
    objects = body._seen = SeenObjects(body.node, body._kinematics, body._change_scene)
    objects._boxes = {"seen_0": Box(Pose.of([0.5, 0.4, 0.05]), np.full(3, 0.1))}
    objects.make_way([Pose.of([0.4, 0.0, 0.5])], StopFlag())
    assert set(body._moveit.planner.scene.objects) == {"seen_0"}
    objects.tidy(body._known(StopFlag()), 0.08, np.array(body.robot.home), StopFlag())
    assert not body._moveit.planner.scene.objects


def test_furniture_of_another_room_is_taken_away_once() -> None:
    body = object.__new__(MoveItBody)
    body.robot, body._scene_lock = fake_moveit.ROBOT, threading.Lock()
    body._applied, body._applied_ids = None, set()
    there: set[str] = set()
    sent: list[PlanningScene] = []

    def change(scene: PlanningScene, _stop: StopFlag) -> bool:
        sent.append(scene)
        items = scene.world.collision_objects
        gone = {item.id for item in items if item.operation == CollisionObject.REMOVE}
        known = gone <= there  # MoveIt refuses to remove what it does not know
        there.difference_update(gone)
        there.update(item.id for item in items if item.id not in gone)
        return known

    body._change_scene = change
    body._known = lambda _stop: PlanningScene(  # type: ignore[method-assign]
        world=PlanningSceneWorld(collision_objects=[CollisionObject(id=name) for name in there]))
    for name in ("wall", "shelf"):
        body._furniture = wall(name)
        for _ in range(3):
            body.apply_furniture(StopFlag())
    assert there == {"shelf"} and len(sent) == 2


class LateClient:
    """An action client whose goal is accepted when the test says so."""

    def __init__(self) -> None:
        self._node = SimpleNamespace(executor=SimpleNamespace(create_task=lambda task: task()))
        self._future, self.cancelled = Future(), 0

    def server_is_ready(self) -> bool:
        return True

    def send_goal_async(self, _goal: Any) -> Future:
        return self._future

    def accept(self) -> None:
        if not self._future.done():
            self._future.set_result(SimpleNamespace(
                accepted=True, cancel_goal_async=self._cancel, get_result_async=Future))
            self._future._schedule_or_invoke_done_callbacks()

    def _cancel(self) -> None:
        self.cancelled += 1


def test_a_goal_that_is_accepted_too_late_is_cancelled() -> None:
    client = LateClient()
    with pytest.raises(UserError, match="did not answer"):
        send(client, None, "the arm", StopFlag(), 0.05)  # type: ignore[arg-type]
    client.accept()
    assert client.cancelled == 1


def test_an_answer_to_an_earlier_question_counts() -> None:
    """A server that answers more slowly than it is asked again."""
    asked: list[Future] = []

    class Client:
        srv_name = "/slow"

        def service_is_ready(self) -> bool:
            return True

        def call_async(self, _request: Any) -> Future:
            future = Future()
            threading.Timer(0.3, lambda: (future.set_result(len(asked)),
                                          future._schedule_or_invoke_done_callbacks())).start()
            asked.append(future)
            return future

        def remove_pending_request(self, _future: Future) -> None:
            pass

    assert call(Client(), None, StopFlag(), 1.0, repeat=0.2) is not None
    assert len(asked) == 2


def test_a_stop_beside_the_answer_leaves_no_goal_running() -> None:
    stop, client = StopFlag(), LateClient()
    real = stop.check

    def check() -> None:  # the answer and the stop come between two looks
        client.accept()
        stop.set("Stopped.")
        real()

    stop.check = check  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        send(client, None, "the arm", stop, 5.0)  # type: ignore[arg-type]
    assert client.cancelled >= 1
