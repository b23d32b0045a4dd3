# SPDX-License-Identifier: Apache-2.0
"""pymoveit2, unmodified, against the motion node: what runs with MoveIt must run without it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
import rclpy.action
import ros_domain
from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from moveit_msgs.action import ExecuteTrajectory, MoveGroup
from moveit_msgs.msg import (
    AttachedCollisionObject,
    Constraints,
    JointConstraint,
    MoveItErrorCodes,
    PlanningScene,
    RobotTrajectory,
)
from moveit_msgs.srv import (
    ApplyPlanningScene,
    GetMotionPlan,
    GetPositionIK,
    GetStateValidity,
    QueryPlannerInterfaces,
)
from rclpy.exceptions import InvalidHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from wm_ros.bridge import times
from wm_ros.nodes import qos
from wm_ros.nodes.action_client import ActionClient
from wm_ros.robot import load_robot

# rclpy's own client loses answers on a busy machine; pymoveit2 itself stays as it is.
rclpy.action.ActionClient = ActionClient
from pymoveit2 import GripperInterface, MoveIt2, RobotDescription  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
ROBOT = load_robot("panda")
HOME = [float(v) for v in ROBOT.home]
DOWN = (1.0, 0.0, 0.0, 0.0)
CODES = MoveItErrorCodes
SOON = 3.0  # s, on a busy machine; the slow motions would take another four or more


class Session:
    """A client of the motion node in this process; the node and the controller have their own."""

    def __init__(self, node: Node, moveit: MoveIt2,
                 start_controller: Callable[[], subprocess.Popen]) -> None:
        self.node, self.moveit, self.start_controller = node, moveit, start_controller
        self.controller = start_controller()
        self._clients: dict[str, Any] = {}

    def call(self, kind: Any, name: str, request: Any) -> Any:
        # Kept: destroying one while another thread spins is a race in rclpy.
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        assert client.wait_for_service(5.0)
        return wait(client.call_async(request), 10.0)

    def send(self, kind: Any, name: str, goal: Any) -> Any:
        """Goal handle of an action."""
        if name not in self._clients:
            self._clients[name] = ActionClient(self.node, kind, name)
        client = self._clients[name]
        assert client.wait_for_server(5.0)
        handle = wait(client.send_goal_async(goal), 5.0)
        assert handle.accepted
        return handle

    def joints(self) -> np.ndarray:
        state = self.moveit.joint_state
        return np.array([state.position[list(state.name).index(j)] for j in ROBOT.arm_joints])

    def go_home(self) -> None:
        self.moveit.move_to_configuration(HOME)
        assert self.moveit.wait_until_executed(timeout_sec=15.0)

    def code(self) -> int:
        return int(self.moveit.get_last_execution_error_code().val)

    def scene_ids(self) -> tuple[set[str], set[str]]:
        """Ids of the world's and of the attached objects; a busy machine may need a second try."""
        eventually(lambda: self.moveit.update_planning_scene(3.0), 10.0)
        scene = self.moveit.planning_scene
        return ({o.id for o in scene.world.collision_objects},
                {a.object.id for a in scene.robot_state.attached_collision_objects})


def wait(future: Any, seconds: float) -> Any:
    eventually(future.done, seconds)
    return future.result()


def eventually(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


def start(domain: int, folder: Path, *command: str) -> subprocess.Popen:
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "PYTHONPATH": str(ROOT)}
    log = (folder / f"{len(list(folder.iterdir()))}.log").open("wb")
    return subprocess.Popen([sys.executable, *command], env=environment, cwd=ROOT, stdout=log,
                            stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    domain = ros_domain.take()
    folder = tmp_path_factory.mktemp("motion")
    processes = [start(domain, folder, "-m", "wm_ros.nodes.motion_node", "--ros-args", "-p",
                       "joint_state_timeout:=2.0")]

    def controller() -> subprocess.Popen:
        processes.append(start(domain, folder, str(ROOT / "test/ros/fake_controller.py")))
        return processes[-1]

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = Node("client", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    ending = threading.Event()

    def spin() -> None:
        while not ending.is_set():
            # pymoveit2 destroys clients of its own while this thread waits on them.
            try:
                with contextlib.suppress(InvalidHandle):
                    executor.spin_once(timeout_sec=0.1)
            except RuntimeError as error:  # rclpy's RCLError
                if "pointer is invalid" not in str(error):
                    raise

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    moveit = MoveIt2(node, list(ROBOT.arm_joints), ROBOT.base_link, ROBOT.tcp_link,
                     group_name=ROBOT.planning_group)
    running = Session(node, moveit, controller)
    try:
        client = ActionClient(node, ExecuteTrajectory, "execute_trajectory")
        assert client.wait_for_server(60.0), "the motion node did not start"
        eventually(lambda: moveit.joint_state is not None, 10.0)
        eventually(lambda: _ready(running), 15.0)
        yield running
    finally:
        moveit.destroy()
        ending.set()
        thread.join(2.0)
        executor.shutdown()
        rclpy.shutdown(context=context)
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(10.0)
        for log in folder.glob("*.log"):
            text = log.read_text(errors="replace")
            print(f"--- {log.name}\n{text[-4000:]}")
            assert "Traceback" not in text


def _ready(session: Session) -> bool:
    """Whether the motion node hears the joint states."""
    request = GetStateValidity.Request(group_name=ROBOT.planning_group)
    return bool(session.call(GetStateValidity, "check_state_validity", request).valid)


@pytest.fixture(autouse=True)
def _fresh(session: Session) -> None:
    wait(session.moveit.clear_all_collision_objects(5.0), 5.0)
    eventually(lambda: session.scene_ids() == (set(), set()))
    session.go_home()


def test_a_joint_goal_is_planned_and_executed(session: Session) -> None:
    goal = np.array(HOME) + [0.4, 0.1, -0.2, 0.2, 0.1, 0.1, 0.3]
    session.moveit.move_to_configuration(goal.tolist())
    assert session.moveit.wait_until_executed(timeout_sec=15.0)
    eventually(lambda: np.abs(session.joints() - goal).max() < 0.01)


def test_a_pose_goal_is_planned_and_executed(session: Session) -> None:
    session.moveit.move_to_pose(position=(0.45, 0.2, 0.3), quat_xyzw=DOWN)
    assert session.moveit.wait_until_executed(timeout_sec=15.0)
    eventually(lambda: _at(session, (0.45, 0.2, 0.3)))


def _at(session: Session, place: tuple[float, float, float]) -> bool:
    p = session.moveit.compute_fk().pose.position
    return float(np.linalg.norm(np.array([p.x, p.y, p.z]) - place)) < 2e-3


def test_a_pose_goal_in_another_frame_and_for_another_link_is_understood(session: Session) -> None:
    session.moveit.move_to_pose(position=(0.0, 0.1, 0.05), quat_xyzw=(0.0, 0.0, 0.0, 1.0),
                                frame_id=ROBOT.tcp_link, target_link=ROBOT.hand_link)
    assert session.moveit.wait_until_executed(timeout_sec=15.0)
    # from the tool 5 cm down and 10 cm aside, measured at the hand, 10.34 cm behind the tool
    eventually(lambda: _at(session, (0.4, -0.1, 0.35 - 0.05 - 0.1034)))


def test_a_cartesian_path_is_planned_and_executed(session: Session) -> None:
    trajectory = session.moveit.plan(position=(0.5, 0.15, 0.25), quat_xyzw=DOWN, cartesian=True,
                                     cartesian_fraction_threshold=0.999)
    assert trajectory is not None and len(trajectory.points) > 10
    session.moveit.execute(trajectory)
    assert session.moveit.wait_until_executed(timeout_sec=15.0)
    eventually(lambda: _at(session, (0.5, 0.15, 0.25)))


def test_the_move_group_action_plans_and_executes_too(session: Session) -> None:
    with MoveIt2(session.node, list(ROBOT.arm_joints), ROBOT.base_link, ROBOT.tcp_link,
                 group_name="arm", use_move_group_action=True) as moveit:
        eventually(lambda: moveit.joint_state is not None)
        moveit.move_to_pose(position=(0.4, -0.2, 0.3), quat_xyzw=DOWN)
        assert moveit.wait_until_executed(timeout_sec=15.0)
    eventually(lambda: _at(session, (0.4, -0.2, 0.3)))


def test_velocity_scaling_is_obeyed(session: Session) -> None:
    goal = (np.array(HOME) + [1.0, 0, 0, 0, 0, 0, 0]).tolist()
    durations = []
    for scale in (1.0, 0.1):
        session.moveit.max_velocity = session.moveit.max_acceleration = scale
        points = session.moveit.plan(joint_positions=goal).points
        durations.append(times.seconds(points[-1].time_from_start))
        assert max(max(map(abs, p.velocities)) for p in points) <= scale * 2.61 * 1.01
    session.moveit.max_velocity = session.moveit.max_acceleration = 0.0
    assert durations[1] > 3 * durations[0]


def test_unreachable_and_unknown_goals_are_answered_with_moveits_codes(session: Session) -> None:
    def plan(group: str, link: str, x: float) -> int:
        position, orientation = (
            session.moveit.create_position_constraint((0.4, 0.0, 0.3), target_link=link),
            session.moveit.create_orientation_constraint(DOWN, target_link=link),
        )
        position.constraint_region.primitive_poses[0].position.x = x
        request = GetMotionPlan.Request()
        request.motion_plan_request.group_name = group
        request.motion_plan_request.goal_constraints = [Constraints(
            position_constraints=[position], orientation_constraints=[orientation])]
        response = session.call(GetMotionPlan, "plan_kinematic_path", request)
        code = response.motion_plan_response.error_code
        assert code.val == CODES.SUCCESS or code.message
        return int(code.val)

    arm, tool = ROBOT.planning_group, ROBOT.tcp_link
    assert plan(arm, tool, 0.4) == CODES.SUCCESS
    assert plan(arm, tool, 1.6) == CODES.NO_IK_SOLUTION
    assert plan("legs", tool, 0.4) == CODES.INVALID_GROUP_NAME
    assert plan(arm, "left_foot", 0.4) == CODES.INVALID_LINK_NAME
    assert plan(arm, "panda_link3", 0.4) == CODES.INVALID_LINK_NAME
    assert plan(arm, tool, float("nan")) == CODES.INVALID_GOAL_CONSTRAINTS


def test_collision_objects_are_added_moved_and_removed(session: Session) -> None:
    m = session.moveit
    m.add_collision_box("box", (0.1, 0.1, 0.3), position=(0.45, 0.2, 0.15), quat_xyzw=(0, 0, 0, 1))
    m.add_collision_sphere("ball", 0.05, position=(0.6, -0.4, 0.1))
    m.add_collision_cylinder("can", 0.1, 0.04, position=(0.6, 0.4, 0.1), quat_xyzw=(0, 0, 0, 1))
    eventually(lambda: session.scene_ids()[0] == {"box", "ball", "can"})
    assert m.plan(position=(0.45, 0.2, 0.2), quat_xyzw=DOWN) is None  # inside the box
    m.move_collision("box", position=(0.45, -0.4, 0.15), quat_xyzw=(0, 0, 0, 1))
    eventually(lambda: _place(session, "box")[1] == pytest.approx(-0.4))
    assert m.plan(position=(0.45, 0.2, 0.2), quat_xyzw=DOWN) is not None
    m.remove_collision_object("ball")
    eventually(lambda: session.scene_ids()[0] == {"box", "can"})


def _place(session: Session, name: str) -> list[float]:
    session.scene_ids()
    for o in session.moveit.planning_scene.world.collision_objects:
        if o.id == name:
            return [o.pose.position.x, o.pose.position.y, o.pose.position.z]
    return [np.nan] * 3


def test_the_arm_drives_around_an_obstacle(session: Session) -> None:
    m = session.moveit
    m.move_to_pose(position=(0.45, 0.3, 0.15), quat_xyzw=DOWN)
    assert m.wait_until_executed(timeout_sec=15.0)
    m.add_collision_box("wall", (0.3, 0.03, 0.4), position=(0.5, 0, 0.2), quat_xyzw=(0, 0, 0, 1))
    eventually(lambda: "wall" in session.scene_ids()[0])
    cartesian = m.plan(position=(0.45, -0.3, 0.15), quat_xyzw=DOWN, cartesian=True,
                       cartesian_fraction_threshold=0.9)
    assert cartesian is None
    m.move_to_pose(position=(0.45, -0.3, 0.15), quat_xyzw=DOWN)
    assert m.wait_until_executed(timeout_sec=15.0)
    eventually(lambda: _at(session, (0.45, -0.3, 0.15)))


def test_meshes_are_obstacles_too(session: Session) -> None:
    trimesh = pytest.importorskip("trimesh")
    session.moveit.add_collision_mesh(None, "mesh", position=(0.45, 0.2, 0.2),
                                      quat_xyzw=(0, 0, 0, 1),
                                      mesh=trimesh.creation.box((0.1, 0.1, 0.1)))
    eventually(lambda: "mesh" in session.scene_ids()[0])
    assert session.moveit.plan(position=(0.45, 0.2, 0.2), quat_xyzw=DOWN) is None


def test_an_attached_object_moves_with_the_hand_until_it_is_detached(session: Session) -> None:
    m = session.moveit
    m.add_collision_box("mug", (0.04, 0.04, 0.08), position=(0.4, 0, 0.35), quat_xyzw=(0, 0, 0, 1))
    eventually(lambda: "mug" in session.scene_ids()[0])
    m.attach_collision_object("mug", ROBOT.hand_link, touch_links=["panda_leftfinger"])
    eventually(lambda: session.scene_ids() == (set(), {"mug"}))
    m.move_to_pose(position=(0.5, 0.2, 0.3), quat_xyzw=DOWN)
    assert m.wait_until_executed(timeout_sec=15.0)
    m.detach_collision_object("mug")
    eventually(lambda: session.scene_ids() == ({"mug"}, set()))
    assert np.allclose(_place(session, "mug"), [0.5, 0.2, 0.3], atol=5e-3)


def test_allowed_collisions_are_obeyed(session: Session) -> None:
    m = session.moveit
    m.add_collision_box("soft", (0.1, 0.1, 0.1), position=(0.4, 0, 0.35), quat_xyzw=(0, 0, 0, 1))
    eventually(lambda: "soft" in session.scene_ids()[0])
    assert not _valid(session)
    for allow in (True, False):
        future = m.allow_collisions("soft", allow)
        assert wait(future, 5.0).success
        assert _valid(session) is allow


def _valid(session: Session) -> bool:
    request = GetStateValidity.Request(group_name=ROBOT.planning_group)
    response = session.call(GetStateValidity, "check_state_validity", request)
    if not response.valid:
        assert "soft" in {c.contact_body_2 for c in response.contacts}
    return bool(response.valid)


def test_what_does_not_move_with_the_hand_is_not_attached(session: Session) -> None:
    m = session.moveit
    m.add_collision_box("camera", (0.05, 0.05, 0.05), position=(0.5, 0.4, 0.5),
                        quat_xyzw=(0, 0, 0, 1))
    eventually(lambda: "camera" in session.scene_ids()[0])
    scene = PlanningScene(is_diff=True)
    held = AttachedCollisionObject(link_name="panda_link3")
    held.object.id = "camera"
    scene.robot_state.attached_collision_objects = [held]
    scene.robot_state.is_diff = True
    request = ApplyPlanningScene.Request(scene=scene)
    assert not session.call(ApplyPlanningScene, "apply_planning_scene", request).success
    assert session.scene_ids() == ({"camera"}, set())


def test_constraints_that_are_not_looked_at_are_refused(session: Session) -> None:
    limit = JointConstraint(joint_name="panda_joint1", position=2.0, tolerance_above=0.1,
                            tolerance_below=0.1, weight=1.0)
    ask = GetPositionIK.Request()
    ask.ik_request.group_name = ROBOT.planning_group
    ask.ik_request.pose_stamped.header.frame_id = ROBOT.base_link
    p = ask.ik_request.pose_stamped.pose
    p.position.x, p.position.z = 0.45, 0.3
    p.orientation.x, p.orientation.w = 1.0, 0.0
    assert session.call(GetPositionIK, "compute_ik", ask).error_code.val == 1
    ask.ik_request.constraints.joint_constraints = [limit]
    assert session.call(GetPositionIK, "compute_ik", ask).error_code.val < 0
    state = GetStateValidity.Request(group_name=ROBOT.planning_group)
    state.constraints.joint_constraints = [limit]
    assert not session.call(GetStateValidity, "check_state_validity", state).valid


def test_inverse_kinematics_agrees_with_forward(session: Session) -> None:
    state = session.moveit.compute_ik((0.5, 0.1, 0.3), DOWN)
    assert state is not None
    pose = session.moveit.compute_fk(joint_state=list(state.position[:7])).pose
    assert (pose.position.x, pose.position.y) == pytest.approx((0.5, 0.1), abs=1e-3)
    assert session.moveit.compute_ik((1.5, 0.0, 0.3), DOWN) is None


def test_a_running_motion_can_be_cancelled_and_the_arm_rests(session: Session) -> None:
    m = session.moveit
    m.max_velocity = 0.1
    m.move_to_configuration((np.array(HOME) + [1.5, 0, 0, 0, 0, 0, 0]).tolist())
    m.max_velocity = 0.0
    eventually(lambda: session.joints()[0] > 0.05)
    begin = time.monotonic()
    m.cancel_execution()
    assert not m.wait_until_executed(timeout_sec=15.0)
    assert time.monotonic() - begin < SOON
    assert session.code() == CODES.PREEMPTED
    eventually(lambda: rests(session), SOON)  # the last joint states may come after the answer
    assert session.joints()[0] < 1.0


def rests(session: Session) -> bool:
    """Whether no joint moves for a fifth of a second."""
    before = session.joints()
    time.sleep(0.2)
    return bool(np.abs(session.joints() - before).max() < 1e-3)


def slow(session: Session, joint: int = 0) -> RobotTrajectory:
    """A slow trajectory from home."""
    session.moveit.max_velocity = 0.1
    goal = np.array(HOME)
    goal[joint] += 1.0
    trajectory = session.moveit.plan(joint_positions=goal.tolist())
    session.moveit.max_velocity = 0.0
    return RobotTrajectory(joint_trajectory=trajectory)


def test_a_newer_trajectory_preempts_the_running_one(session: Session) -> None:
    goal = ExecuteTrajectory.Goal(trajectory=slow(session))
    first = session.send(ExecuteTrajectory, "execute_trajectory", goal)
    eventually(lambda: session.joints()[0] > 0.03)
    here = session.joints()
    still = JointTrajectory(joint_names=list(ROBOT.arm_joints))
    for seconds in (0.0, 0.1):
        still.points.append(JointTrajectoryPoint(
            positions=here.tolist(), velocities=[0.0] * 7,
            time_from_start=times.duration(seconds)))
    again = ExecuteTrajectory.Goal(trajectory=RobotTrajectory(joint_trajectory=still))
    session.send(ExecuteTrajectory, "execute_trajectory", again)
    result = wait(first.get_result_async(), 3.0)
    assert result.result.error_code.val == CODES.PREEMPTED
    assert result.status == GoalStatus.STATUS_ABORTED


def test_a_stop_event_ends_the_motion_at_once(session: Session) -> None:
    goal = ExecuteTrajectory.Goal(trajectory=slow(session))
    handle = session.send(ExecuteTrajectory, "execute_trajectory", goal)
    eventually(lambda: session.joints()[0] > 0.03)
    session.moveit.stop_all_trajectory_execution()
    assert wait(handle.get_result_async(), SOON).result.error_code.val == CODES.PREEMPTED


def test_a_cancel_at_the_controller_counts_as_a_stop_and_not_as_a_failure(
        session: Session) -> None:
    goal = ExecuteTrajectory.Goal(trajectory=slow(session))
    handle = session.send(ExecuteTrajectory, "execute_trajectory", goal)
    eventually(lambda: session.joints()[0] > 0.03)
    session.call(CancelGoal, f"/{ROBOT.controllers.arm}/follow_joint_trajectory/_action/"
                 "cancel_goal", CancelGoal.Request())
    code = wait(handle.get_result_async(), 3.0).result.error_code
    assert code.val == CODES.PREEMPTED and "cancelled" in code.message


def test_nobody_moves_an_arm_that_the_monitor_has_stopped(session: Session) -> None:
    stopped = session.node.create_publisher(Bool, "/wm/stopped", qos.LATCHED)
    trajectory = slow(session)
    goal = ExecuteTrajectory.Goal(trajectory=trajectory)
    running = session.send(ExecuteTrajectory, "execute_trajectory", goal)
    eventually(lambda: session.joints()[0] > 0.03)
    stopped.publish(Bool(data=True))
    code = wait(running.get_result_async(), 3.0).result.error_code
    assert code.val == CODES.PREEMPTED and "stopped by the monitor" in code.message
    time.sleep(0.5)  # the last of its joint states may still be on the way
    before = session.joints()
    again = session.send(ExecuteTrajectory, "execute_trajectory", goal)
    code = wait(again.get_result_async(), 3.0).result.error_code
    assert code.val == CODES.CONTROL_FAILED and "/wm/resume" in code.message
    session.moveit.move_to_configuration(HOME)
    assert not session.moveit.wait_until_executed(timeout_sec=15.0)
    assert np.abs(session.joints() - before).max() < 1e-6
    assert session.moveit.plan(joint_positions=HOME) is not None, "to plan moves nothing"
    stopped.publish(Bool(data=False))
    eventually(lambda: _obeys(session), 10.0)


def _obeys(session: Session) -> bool:
    session.moveit.move_to_configuration(HOME)
    return bool(session.moveit.wait_until_executed(timeout_sec=15.0))


@pytest.mark.parametrize("damage", ["nan", "joint names", "start", "empty", "speed"])
def test_a_bad_trajectory_does_not_move_the_arm(session: Session, damage: str) -> None:
    trajectory = slow(session)
    points = trajectory.joint_trajectory.points
    if damage == "nan":
        points[5].positions[2] = float("nan")
    elif damage == "joint names":
        trajectory.joint_trajectory.joint_names[0] = "elbow"
    elif damage == "start":
        for point in points:
            point.positions[0] += 0.2
    elif damage == "empty":
        trajectory.joint_trajectory.points = []
    else:
        for point in points:
            point.time_from_start = times.duration(0.02 * times.seconds(point.time_from_start))
    before = session.joints()
    handle = session.send(ExecuteTrajectory, "execute_trajectory",
                          ExecuteTrajectory.Goal(trajectory=trajectory))
    result = wait(handle.get_result_async(), 5.0).result
    expected = CODES.CONTROL_FAILED if damage == "start" else CODES.INVALID_MOTION_PLAN
    assert result.error_code.val == expected and result.error_code.message
    assert np.abs(session.joints() - before).max() < 1e-6


def test_plan_only_does_not_move_the_arm(session: Session) -> None:
    goal = MoveGroup.Goal()
    goal.request.group_name = ROBOT.planning_group
    constraint = JointConstraint(joint_name=ROBOT.arm_joints[0], position=0.5)
    goal.request.goal_constraints = [Constraints(joint_constraints=[constraint])]
    goal.planning_options.plan_only = True
    before = session.joints()
    handle = session.send(MoveGroup, "move_action", goal)
    result = wait(handle.get_result_async(), 5.0).result
    assert result.error_code.val == CODES.SUCCESS
    assert result.planned_trajectory.joint_trajectory.points
    assert np.abs(session.joints() - before).max() < 1e-6


def test_the_robots_description_is_served(session: Session) -> None:
    description = RobotDescription.from_node(session.node)
    assert {ROBOT.planning_group, "arm"} <= set(description.group_names)
    assert list(description.group("arm").joint_names)[:7] == list(ROBOT.arm_joints)
    request = QueryPlannerInterfaces.Request()
    answer = session.call(QueryPlannerInterfaces, "query_planner_interface", request)
    assert answer.planner_interfaces[0].planner_ids


def test_the_gripper_opens_and_closes(session: Session) -> None:
    gripper = GripperInterface(session.node, list(ROBOT.finger_joints), [0.04, 0.04], [0.0, 0.0],
                               gripper_group_name=ROBOT.gripper_group)
    for move, finger in ((gripper.close, 0.0), (gripper.open, 0.04)):
        move()
        assert gripper.wait_until_executed(timeout_sec=15.0)
        eventually(lambda finger=finger: _finger(session) == pytest.approx(finger, abs=1e-3))


def _finger(session: Session) -> float:
    state = session.moveit.joint_state
    if ROBOT.finger_joints[0] not in state.name:
        return float("nan")
    return float(state.position[list(state.name).index(ROBOT.finger_joints[0])])


def test_stale_joint_states_are_refused(session: Session) -> None:
    session.controller.send_signal(signal.SIGSTOP)
    try:
        time.sleep(2.5)
        goal = MoveGroup.Goal()
        goal.request.group_name = ROBOT.planning_group
        constraint = JointConstraint(joint_name=ROBOT.arm_joints[0], position=0.5)
        goal.request.goal_constraints = [Constraints(joint_constraints=[constraint])]
        handle = session.send(MoveGroup, "move_action", goal)
        result = wait(handle.get_result_async(), 5.0).result
    finally:
        session.controller.send_signal(signal.SIGCONT)
    assert result.error_code.val == CODES.ROBOT_STATE_STALE
    assert "joint states" in result.error_code.message


@pytest.mark.parametrize(("number", "seconds"), [
    (signal.SIGTERM, 4.0),
    (signal.SIGKILL, 9.0)])  # the middleware takes it for alive for the 5 s of config/fastdds.xml
def test_a_controller_that_ends_ends_the_motion_with_a_sentence(
        session: Session, number: int, seconds: float) -> None:
    goal = ExecuteTrajectory.Goal(trajectory=slow(session))
    handle = session.send(ExecuteTrajectory, "execute_trajectory", goal)
    eventually(lambda: session.joints()[0] > 0.03)
    session.controller.send_signal(number)
    session.controller.wait(5.0)
    ended = time.monotonic()
    code = wait(handle.get_result_async(), 30.0).result.error_code
    print(f"noticed after {time.monotonic() - ended:.2f} s")
    assert code.val == CODES.CONTROL_FAILED and "controller is gone" in code.message
    assert time.monotonic() - ended < seconds, "the motion would have taken longer"
    session.controller = session.start_controller()
    eventually(lambda: np.allclose(session.joints(), HOME) and _ready(session), 15.0)
