# SPDX-License-Identifier: Apache-2.0
"""The planning node's hands: MoveIt's interfaces, the gripper, and the imagination's chunks."""
from __future__ import annotations

import copy
import json
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import yaml
from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from control_msgs.action import GripperCommand
from moveit_msgs.action import ExecuteTrajectory
from moveit_msgs.msg import (
    CollisionObject,
    MoveItErrorCodes,
    PlanningScene,
    PlanningSceneComponents,
    RobotState,
)
from moveit_msgs.srv import (
    ApplyPlanningScene,
    GetCartesianPath,
    GetPlanningScene,
    GetPositionFK,
)
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from wm_ros.bridge import chunks, furniture, joints, moveit, observations, poses, times
from wm_ros.errors import UserError
from wm_ros.motion.errors import named
from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Pose
from wm_ros.nodes import qos
from wm_ros.nodes.action_client import ActionClient
from wm_ros.nodes.base import WmNode
from wm_ros.nodes.clients import SUCCEEDED, Goal, StopFlag, Stopped, call, cancel_all, send
from wm_ros.nodes.planning_run import WHY, stopped_elsewhere
from wm_ros.nodes.seen_objects import SeenObjects
from wm_ros.srv import Propose

FRESH = 0.5  # s; a joint state that came before is not the present one
REST = 2.0  # s within which cancelled goals must have ended


UNTIMED = ("MoveIt could not time the path; set has_acceleration_limits and max_acceleration for "
           "each joint in its joint_limits.yaml.")
SETUPS = {  # errors that no other chunk makes good
    MoveItErrorCodes.FRAME_TRANSFORM_FAILURE:
        "MoveIt knows no transform from {base_link} to the root of its URDF; let "
        "robot_state_publisher or a static transform publish it.",
    MoveItErrorCodes.INVALID_GROUP_NAME:
        "MoveIt has no planning group {planning_group}; set planning_group in the robot's YAML "
        "file to one of MoveIt's SRDF.",
    MoveItErrorCodes.INVALID_LINK_NAME:
        "MoveIt's robot has no link {tcp_link}; set tcp_link in the robot's YAML file to one of "
        "MoveIt's URDF."}


class Hopeless(Stopped):
    """Asking again does not help; the instruction ends with this sentence."""


class MoveItBody:
    """What a run asks for (see planning_run.Body), over ROS. Calls block: for worker threads.

    It speaks only MoveIt's own names and types, so the real move_group and the embedded motion
    node are the same to it.
    """

    def __init__(self, node: WmNode) -> None:
        self.node, self.robot = node, node.robot
        self._kinematics = Kinematics(self.robot)
        self._state: JointState | None = None
        self._heard = -math.inf  # when the newest one came, on the steady clock (s)
        self._states = joints.JointStates(self.robot.joints)
        self.touched = False  # something was sent to the arm or the gripper since it was cleared
        self._goal: Goal | None = None
        self._grip_goal: Goal | None = None
        self._orphans: list[Future] = []  # answers to goals for which nobody waits any more
        self._scene_lock = threading.Lock()
        self._answered = False  # by MoveIt, since the furniture was given to it
        self._applied: PlanningScene | None = None
        self._applied_ids: set[str] = set()
        self._furniture = self._own_furniture()
        self._connect()
        self._seen = (SeenObjects(node, self._kinematics, self._change_scene)
                      if node.value("see_objects") else None)

    def _connect(self) -> None:
        node, robot = self.node, self.robot
        arm = robot.controllers.arm
        self._proposer = node.create_client(Propose, "/wm/propose")
        self._connect_planner()
        self._cancel = node.create_client(
            CancelGoal, f"/{arm}/follow_joint_trajectory/_action/cancel_goal")
        self._gripper = ActionClient(node, GripperCommand, robot.controllers.gripping)
        self._event_out = node.create_publisher(String, "/trajectory_execution_event", qos.EVENT)
        self._plan_out = node.create_publisher(JointTrajectory, "/wm/planned_trajectory",
                                               qos.EVENT)
        self._trace_out = node.create_publisher(String, "/wm/trace", qos.EVENT)
        node.create_subscription(JointState, node.text("topics.joint_states"),
                                 self._hear_joints, qos.SENSOR)
        if self._furniture is None:
            node.create_subscription(PlanningScene, "/wm/furniture", self._hear_furniture,
                                     qos.LATCHED)

    def _connect_planner(self) -> None:
        """MoveIt's services and actions."""
        node = self.node
        self._planner = node.create_client(GetCartesianPath, "/compute_cartesian_path")
        self._forward = node.create_client(GetPositionFK, "/compute_fk")
        self._scene = node.create_client(ApplyPlanningScene, "/apply_planning_scene")
        self._scene_asker = node.create_client(GetPlanningScene, "/get_planning_scene")
        self._mover = ActionClient(node, ExecuteTrajectory, "/execute_trajectory")

    def _hear_joints(self, message: JointState) -> None:
        state = self._states.add(message)
        if state is None:
            return
        before, self._state = self._state, state
        if before is None or state.header.stamp != before.header.stamp:
            self._heard = time.monotonic()  # last: who sees it sees the state, too

    def _hear_furniture(self, message: PlanningScene) -> None:
        self._furniture = message
        self.node.worker(self.apply_furniture, StopFlag())  # before the first instruction comes

    def now(self) -> float:
        """Seconds on the ROS clock."""
        return self.node.now()

    def cancel_motion(self) -> None:
        """Stop whatever moves, at the controller itself and in MoveIt; does not wait.

        move_group looks at a cancelled goal only when its motion is over; the event ends it.
        """
        cancel_all(self._cancel)
        self._event_out.publish(String(data="stop"))
        for goal in self._goals():
            goal.cancel()

    def rest(self, seconds: float = REST) -> None:
        """Stop whatever moves, again and again until every goal has ended.

        Between a goal's acceptance and its start neither MoveIt nor the controller has anything
        to stop, and a stop that comes then is lost.

        :param seconds: after which a goal that never ends is given up
        """
        self.cancel_motion()
        limit = time.monotonic() + seconds
        while self._moving() and time.monotonic() < limit:
            self.cancel_motion()
            time.sleep(0.05)

    def _goals(self) -> list[Goal]:
        """The goals that were accepted, whether they still run or not."""
        late = (answer.result() for answer in self._orphans if answer.done())
        return [goal for goal in (self._goal, self._grip_goal, *late) if goal is not None]

    def _moving(self) -> bool:
        """Whether a goal runs, or may still be accepted."""
        return (any(not goal.done for goal in self._goals())
                or any(not answer.done() for answer in self._orphans))

    def _orphaned(self, answer: Future) -> None:
        """Remember a goal for which nobody waits; one that is accepted very late is ended too."""
        self._orphans = [a for a in self._orphans
                         if not a.done() or (a.result() is not None and not a.result().done)]
        self._orphans.append(answer)
        answer.add_done_callback(self._accepted_late)

    def _accepted_late(self, answer: Future) -> None:
        if answer.result() is not None:
            self.node.worker(self.rest)

    def wait_for_joints(self, stop: StopFlag) -> None:
        """Return when joint states come; raises UserError when none do."""
        stop.until(lambda: time.monotonic() - self._heard < FRESH, 2.0,
                   f"No joint states come on {self.node.text('topics.joint_states')}; is the "
                   "robot's driver (or the simulation node) running?")
        self.joints_now()

    # --- furniture
    def _own_furniture(self) -> PlanningScene | None:
        path = self.node.text("furniture")
        if not path:
            return None
        try:
            with open(os.path.expanduser(path), encoding="utf-8") as file:
                return furniture.from_yaml(yaml.safe_load(file) or {}, self.robot.base_link)
        except (OSError, yaml.YAMLError, ValueError, UserError) as error:
            raise UserError(f"The furniture file {path} cannot be read: {error}") from error

    def apply_furniture(self, stop: StopFlag) -> None:
        """Give MoveIt the room's furniture, unless it has it; it may have been started anew."""
        with self._changing_scene(stop):
            self._answered = False
            wanted = self._furniture
            if wanted is None:
                return
            known = {item.id for item in self._known(stop).world.collision_objects}
            ids = {item.id for item in wanted.world.collision_objects}
            if wanted is self._applied and ids <= known:
                return
            scene = copy.deepcopy(wanted)  # what is taken away is said once
            for name in sorted((self._applied_ids & known) - ids):
                gone = CollisionObject(id=name, operation=CollisionObject.REMOVE)
                gone.header.frame_id = self.robot.base_link
                scene.world.collision_objects.append(gone)
            if not self._change_scene(scene, stop):
                raise UserError("MoveIt refused the room's furniture as planning scene.")
            self._applied, self._applied_ids = wanted, ids

    @contextmanager
    def _changing_scene(self, stop: StopFlag) -> Iterator[None]:
        """One at a time; who waits can be stopped."""
        while not self._scene_lock.acquire(timeout=0.05):
            stop.check()
        try:
            yield
        finally:
            self._scene_lock.release()

    def _known(self, stop: StopFlag) -> PlanningScene:
        """Names of the obstacles in MoveIt's planning scene, and what is attached there."""
        request = GetPlanningScene.Request()
        request.components.components = (
            PlanningSceneComponents.WORLD_OBJECT_NAMES
            | PlanningSceneComponents.ROBOT_STATE_ATTACHED_OBJECTS)
        return call(self._scene_asker, request, stop, 20.0, repeat=5.0).scene

    def _change_scene(self, scene: PlanningScene, stop: StopFlag) -> bool:
        """Apply a planning scene; whether MoveIt took it."""
        request = ApplyPlanningScene.Request(scene=scene)
        return bool(call(self._scene, request, stop, 20.0).success)

    def look_around(self, stop: StopFlag) -> None:
        """Before an instruction: what the camera sees on the table becomes obstacles."""
        if self._seen is not None:
            with self._changing_scene(stop):
                self._tidy(self._seen, stop)
                self._seen.look(self._furniture, stop)

    def take_over(self) -> None:
        """Let nothing be an obstacle that a planning node before this one saw."""
        if self._seen is not None:
            with self._scene_lock, suppress(UserError):  # then the next instruction does it
                self.wait_for_joints(StopFlag())
                self._tidy(self._seen, StopFlag())

    def _tidy(self, objects: SeenObjects, stop: StopFlag) -> None:
        objects.tidy(self._known(stop), self.width_now(), self.joints_now(), stop)

    def _make_way(self, start: np.ndarray, waypoints: list[Pose], stop: StopFlag) -> None:
        if self._seen is not None:
            self._seen.make_way([self.tool(start), *waypoints], stop)

    # --- chunks and motions
    def propose(self, instruction: str, count: int, newer_than: float,
                stop: StopFlag) -> list[chunks.Chunk]:
        """The sound chunks of the imagination node, best first."""
        request = Propose.Request(instruction=instruction, n_candidates=int(count), render=False,
                                  min_stamp=times.stamp(max(newer_than, 0.0)))
        answer = call(self._proposer, request, stop, 10.0, repeat=2.5)
        if not answer.success:
            raise Hopeless(answer.message or "The world model proposed nothing.")
        why, sound = "The world model proposed nothing.", []
        for message in answer.chunks:
            try:
                sound.append(chunks.from_message(message, self.robot.base_link,
                                                 self.robot.tcp_link))
            except UserError as error:
                why = str(error)
        if not sound:
            raise UserError(why)
        return sound

    def plan(self, start: np.ndarray, waypoints: list[Pose], stop: StopFlag,
             check: bool = True) -> tuple[joints.JointPath | None, float, str]:
        """A Cartesian path through the waypoints, from MoveIt; see planning_run.Body."""
        with self._obstacles_kept():
            self._make_way(start, waypoints, stop)
        request = GetCartesianPath.Request(
            group_name=self.robot.planning_group, link_name=self.robot.tcp_link,
            waypoints=[poses.to_pose(pose) for pose in waypoints],
            max_step=self.node.number("max_step"), avoid_collisions=check,
            max_velocity_scaling_factor=self.node.number("velocity_scaling"),
            max_acceleration_scaling_factor=self.node.number("acceleration_scaling"))
        request.header.frame_id = self.robot.base_link
        request.header.stamp = times.stamp(self.now())
        request.start_state = self._robot_state(start)
        answer = self._ask_planner(request, stop)
        code = int(answer.error_code.val)
        if code in SETUPS:
            raise Hopeless(SETUPS[code].format(**vars(self.robot)))
        reason = (f"MoveIt reaches only {100.0 * max(answer.fraction, 0.0):.0f} % of the way "
                  f"({named(code)}); something is in the way or out of reach.")
        if not answer.solution.joint_trajectory.points or answer.fraction <= 0.0:
            return None, 0.0, reason
        if _untimed(answer.solution.joint_trajectory):
            raise Hopeless(UNTIMED)
        path = moveit.from_trajectory(answer.solution, self.robot.arm_joints)
        return self._slowed(path), float(answer.fraction), reason

    def _ask_planner(self, request: GetCartesianPath.Request,
                     stop: StopFlag) -> GetCartesianPath.Response:
        """Ask MoveIt for a path.

        One that was away and comes back has forgotten all obstacles: the run must not go on.
        """
        with self._obstacles_kept():
            if self._answered and not self._planner.service_is_ready():
                raise UserError(f"Nobody serves {self._planner.srv_name} any more.")
            if not self._answered and self._forward.service_is_ready():
                self._check_tool(stop)
            # only who has just been started loses an answer; later one lost is a crash
            answer = call(self._planner, request, stop, 3.0,
                          repeat=math.inf if self._answered else 1.5)
        self._answered = True
        return answer  # type: ignore[no-any-return]

    def _check_tool(self, stop: StopFlag) -> None:
        """Let a MoveIt that lacks the tool's link say so: asked for a path to it, it would end."""
        request = GetPositionFK.Request(fk_link_names=[self.robot.tcp_link])
        request.robot_state.is_diff = True
        code = int(call(self._forward, request, stop, 3.0, repeat=1.5).error_code.val)
        if code == MoveItErrorCodes.INVALID_LINK_NAME:
            raise Hopeless(SETUPS[code].format(**vars(self.robot)))

    @contextmanager
    def _obstacles_kept(self) -> Iterator[None]:
        """A MoveIt that does not answer ends the instruction; the next one gives it all anew."""
        try:
            yield
        except UserError as error:
            self._applied = None
            raise Hopeless(f"{error} Its obstacles may be lost; give the instruction "
                            "again.") from error

    def _slowed(self, path: joints.JointPath) -> joints.JointPath:
        """The path at no more than the tool speed that safety.yaml allows, whoever planned it."""
        fastest = self._kinematics.tool_speed(path.times, path.positions, path.velocities)
        excess = fastest / self.node.number("safety.max_tool_speed")
        return joints.stretched(path, excess * path.duration)

    def _robot_state(self, q: np.ndarray) -> RobotState:
        """The arm alone: fingers stay as they are, and a MoveIt without any would end here."""
        state = joints.to_joint_state(times.stamp(self.now()), self.robot.arm_joints, q)
        return RobotState(is_diff=True, joint_state=state)

    def execute(self, path: joints.JointPath, stop: StopFlag) -> Goal:
        """Hand a path to MoveIt for execution."""
        goal = ExecuteTrajectory.Goal()
        goal.trajectory.joint_trajectory = _at_rest(joints.to_trajectory(path))
        self.touched = True
        self._plan_out.publish(goal.trajectory.joint_trajectory)
        self._goal = self._send(goal, stop)
        self.node.tick()
        return self._goal

    def _send(self, goal: ExecuteTrajectory.Goal, stop: StopFlag) -> Goal:
        return send(self._mover, goal, "/execute_trajectory", stop, 3.0, self._orphaned)

    def grip(self, width: float, stop: StopFlag) -> None:
        """Command the gripper and wait until it has arrived or holds something."""
        width = self.robot.gripper.clamp(width)
        goal = GripperCommand.Goal()
        goal.command.position = float(width * self.robot.gripper.command_scale)
        goal.command.max_effort = float(self.robot.gripper.max_effort)
        self.touched = True
        self._grip_goal = send(self._gripper, goal, "the gripper", stop, 3.0,
                               self._orphaned)
        status, result = self._grip_goal.result(
            stop, self.node.number("gripper_timeout"), "The gripper did not finish in time.",
            self.now)
        if status == GoalStatus.STATUS_CANCELED:
            stopped_elsewhere(stop, "the gripper")
        if status != SUCCEEDED and not (result.stalled or result.reached_goal):
            stop.sleep(WHY)
            raise UserError("The gripper did not do what it was told; check its driver.")
        if self._seen is not None:
            self._seen.gripped(width, self.width_now(), self.tool(self.joints_now()), stop)

    def joints_now(self) -> np.ndarray:
        """(J,) present joint positions (rad)."""
        state = self._state
        if state is None:
            raise UserError(f"No joint states come on {self.node.text('topics.joint_states')}.")
        return joints.from_joint_state(state, self.robot.arm_joints).position

    def heard(self) -> float:
        """When the newest joint state came, on the steady clock (s)."""
        return self._heard

    def width_now(self) -> float:
        """Present opening of the gripper (m)."""
        state = self._state
        if state is None or not self.robot.finger_joints:
            return self.robot.gripper.open_width
        names = self.robot.joints
        return observations.gripper_width(joints.from_joint_state(state, names).position,
                                          self.robot)

    def tool(self, q: np.ndarray) -> Pose:
        """Pose of the tool at joints ``q`` (runs follow each other, so no lock is needed)."""
        return self._kinematics.fk(q)

    def trace(self, entry: dict[str, Any]) -> None:
        """Publish when the stages of a segment happened, as JSON."""
        self._trace_out.publish(String(data=json.dumps(entry)))


def _untimed(trajectory: JointTrajectory) -> bool:
    points = trajectory.points
    return len(points) > 1 and not times.seconds(points[-1].time_from_start)


def _at_rest(trajectory: JointTrajectory) -> JointTrajectory:
    """The same with no speed left at its end, which ros2_control refuses to the last bit."""
    last = trajectory.points[-1]
    last.velocities = [0.0] * len(last.velocities)
    return trajectory


def make_body(node: WmNode) -> MoveItBody:
    """The hands that the parameter ``planner`` names; other planners are not even imported.

    :raises UserError: when there is no such planner, or it is not installed
    """
    planner = node.text("planner")
    if planner == "move_group":
        return MoveItBody(node)
    if planner == "moveit_py":
        from wm_ros.nodes.moveit_py_body import MoveItPyBody
        return MoveItPyBody(node)
    raise UserError(f"There is no planner {planner!r}; set it to move_group or moveit_py.")
