# SPDX-License-Identifier: Apache-2.0
"""Answers of the motion node's services: messages in, the planner's word out."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from moveit_msgs.msg import (
    Constraints,
    DisplayTrajectory,
    MotionPlanRequest,
    MotionPlanResponse,
    PlannerInterfaceDescription,
    RobotTrajectory,
)

from wm_ros.bridge import moveit, poses
from wm_ros.bridge.moveit import Refusal
from wm_ros.motion.errors import ErrorCode
from wm_ros.motion.planner import Plan, Planner, Request
from wm_ros.motion.pose import Array, Pose, distance
from wm_ros.motion.trajectory import Trajectory
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode
from wm_ros.nodes.motion_scene import SceneKeeper
from wm_ros.nodes.motion_state import PresentState

WORLD = "world"  # MoveIt's name for the base, where no link of the URDF has it
RIGID = 1e-6  # m and rad


class Answers:
    """One method a service: fills in the response, or raises Refusal."""

    def __init__(self, node: WmNode, planner: Planner, state: PresentState) -> None:
        self.node, self.robot = node, node.robot
        self.planner, self.state = planner, state
        self.keeper = SceneKeeper(node.robot, planner, self.frame, state.last)
        self._used_width = state.width
        self.display = node.create_publisher(
            DisplayTrajectory, "/display_planned_path", qos.EVENT)

    def _start(self, state: Any) -> Array:
        """Arm joints that a request starts from; also brings the fingers up to date."""
        width = self.state.width
        if abs(width - self._used_width) > 1e-3:
            self._used_width = width
            self.planner.set_gripper(width)
        present = self.state.fresh()
        q = moveit.state_positions(state, present, self.robot)
        for held in state.attached_collision_objects:
            if held.object.id not in self.planner.scene.attached:
                raise Refusal(
                    ErrorCode.INVALID_ROBOT_STATE,
                    f"The hand does not hold {held.object.id!r}: attach it with "
                    "/apply_planning_scene first. A question changes nothing.")
        return q

    def frame(self, name: str, q: Array | None = None) -> Pose:
        """Pose of a named frame in the base frame."""
        if name in ("", self.robot.base_link):
            return Pose.identity()
        q = self.state.last() if q is None else q
        try:
            return self.planner.link_pose(q, name)
        except KeyError:
            if name == WORLD:
                return Pose.identity()
        if name in self.planner.scene.objects:
            return self.planner.scene.objects[name].pose
        if name in self.planner.scene.attached:
            return self.planner.held_pose(name, q)
        raise Refusal(ErrorCode.FRAME_TRANSFORM_FAILURE, f"The frame {name!r} is not known.")

    def _to_tcp(self, link: str) -> Pose:
        """Pose of the tool in a link that carries it."""
        if link in ("", self.robot.tcp_link):
            return Pose.identity()
        home = np.asarray(self.robot.home)
        offsets = []
        for q in (home, home + 0.1):
            try:
                frame = self.planner.link_pose(q, link)
            except KeyError as error:
                raise Refusal(
                    ErrorCode.INVALID_LINK_NAME, f"The robot has no link {link!r}."
                ) from error
            offsets.append(frame.inverse().compose(self.planner.fk(q)))
        if max(distance(*offsets)) > RIGID:
            raise Refusal(
                ErrorCode.INVALID_LINK_NAME, f"The link {link!r} does not move with the tool."
            )
        return offsets[0]

    def _check_group(self, name: str) -> None:
        if name and not self.robot.is_group(name):
            raise Refusal(
                ErrorCode.INVALID_GROUP_NAME,
                f"There is no planning group {name!r}; the arm is {self.robot.planning_group}.",
            )

    def _request(self, message: Any, allowed_time: float = 0.0) -> Request:
        velocity, acceleration = (
            message.max_velocity_scaling_factor, message.max_acceleration_scaling_factor)
        allowed = allowed_time if allowed_time > 0 else self.node.number("planning_time")
        return Request(
            velocity if 0 < velocity <= 1 else self.node.number("velocity_scaling"),
            acceleration if 0 < acceleration <= 1 else self.node.number("acceleration_scaling"),
            min(allowed, self.node.number("max_planning_time")),
            max(float(message.max_cartesian_speed), 0.0),
        )

    def plan(self, request: Any, response: Any) -> None:
        response.motion_plan_response = self.plan_request(request.motion_plan_request)

    def plan_request(self, message: MotionPlanRequest) -> MotionPlanResponse:
        """:raises Refusal: if the request cannot be understood."""
        begin = time.perf_counter()
        response = MotionPlanResponse(group_name=message.group_name)
        if message.group_name in (self.robot.gripper_group, "gripper"):
            trajectory, q = self._plan_gripper(message)
            response.trajectory, response.error_code = trajectory, moveit.error_code(
                ErrorCode.SUCCESS)
            response.trajectory_start = moveit.to_state(q, self.robot, self.state.width)
        else:
            plan, q = self._plan_arm(message)
            response.trajectory = moveit.to_trajectory(plan.trajectory, self.robot)
            response.error_code = moveit.error_code(plan.error_code, plan.message)
            response.trajectory_start = moveit.to_state(q, self.robot, self.state.width)
            self._show(plan, q)
        response.planning_time = time.perf_counter() - begin
        return response

    def _plan_arm(self, message: MotionPlanRequest) -> tuple[Plan, Array]:
        self._check_group(message.group_name)
        _refuse(message.path_constraints, "path constraints")
        if not message.goal_constraints:
            raise Refusal(ErrorCode.INVALID_GOAL_CONSTRAINTS, "The request holds no goal.")
        q = self._start(message.start_state)
        request = self._request(message, message.allowed_planning_time)
        plan: Plan | None = None
        for goal in message.goal_constraints:
            plan = self._plan_goal(goal, q, request)
            if plan.success:
                break
        assert plan is not None
        if not plan.success:
            self.node.get_logger().warning(f"{plan.error_code.name}: {plan.message}")
        return plan, q

    def _plan_goal(self, goal: Constraints, q: Array, request: Request) -> Plan:
        if goal.visibility_constraints or (
            goal.joint_constraints and (goal.position_constraints or goal.orientation_constraints)
        ):
            raise Refusal(
                ErrorCode.UNRECOGNIZED_GOAL_TYPE,
                "A goal must be either joints or the pose of a link.",
            )
        if goal.joint_constraints:
            return self.planner.plan_joint(q, moveit.joint_goal(goal, q, self.robot), request)
        if not (goal.position_constraints or goal.orientation_constraints):
            raise Refusal(ErrorCode.INVALID_GOAL_CONSTRAINTS, "The request holds no goal.")
        pose = moveit.pose_goal(
            goal, lambda name: self.frame(name, q), self._to_tcp, self.planner.fk(q))
        return self.planner.plan_pose(q, pose, request)

    def _plan_gripper(self, message: MotionPlanRequest) -> tuple[RobotTrajectory, Array]:
        """Fingers move straight to their goal."""
        fingers, gripper = self.robot.finger_joints, self.robot.gripper
        wanted = [c.position for goal in message.goal_constraints for c in goal.joint_constraints
                  if c.joint_name in fingers]
        if not wanted or not np.isfinite(wanted).all():
            raise Refusal(
                ErrorCode.INVALID_GOAL_CONSTRAINTS,
                f"A gripper goal must give finite positions of {', '.join(fingers)}.",
            )
        goal = gripper.clamp(wanted[0] / gripper.finger_scale)
        seconds = max(abs(goal - self.state.width) / gripper.max_speed, 0.05)
        ends = np.array([[self.state.width], [goal]]) * gripper.finger_scale
        still = np.zeros((2, len(fingers)))
        trajectory = Trajectory(
            fingers, np.array([0.0, seconds]), np.repeat(ends, len(fingers), axis=1), still,
            still.copy())
        return moveit.to_trajectory(trajectory, self.robot), self.state.last()

    def cartesian(self, request: Any, response: Any) -> None:
        self._check_group(request.group_name)
        q = self._start(request.start_state)
        offset = self._to_tcp(request.link_name)
        waypoints = [
            moveit.stamped_pose(w, request.header.frame_id, lambda n: self.frame(n, q))
            .compose(offset) for w in request.waypoints
        ]
        _refuse(request.path_constraints, "path constraints")
        jumps = [v for v in (request.revolute_jump_threshold,) if v > 0]
        plan = self.planner.plan_cartesian(
            q, waypoints, request.avoid_collisions, request.max_step, self._request(request),
            *jumps)
        response.start_state = moveit.to_state(q, self.robot, self.state.width)
        response.solution = moveit.to_trajectory(plan.trajectory, self.robot)
        response.fraction = float(plan.fraction)
        response.error_code = moveit.error_code(plan.error_code, plan.message)
        self._show(plan, q)

    def _show(self, plan: Plan, q: Array) -> None:
        if not len(plan.trajectory) or not self.display.get_subscription_count():
            return
        message = DisplayTrajectory(model_id=self.robot.model_name)
        message.trajectory_start = moveit.to_state(q, self.robot, self.state.width)
        message.trajectory = [moveit.to_trajectory(plan.trajectory, self.robot)]
        self.display.publish(message)

    def ik(self, request: Any, response: Any) -> None:
        ask = request.ik_request
        self._check_group(ask.group_name)
        _refuse(ask.constraints, "constraints on joint angles that reach a pose")
        if len(ask.pose_stamped_vector) > 1:
            raise Refusal(ErrorCode.NO_IK_SOLUTION, "This arm has one tool: ask for one pose.")
        q = self._start(ask.robot_state)
        stamped = ask.pose_stamped_vector[0] if ask.pose_stamped_vector else ask.pose_stamped
        link = ask.ik_link_names[0] if ask.ik_link_names else ask.ik_link_name
        pose = moveit.stamped_pose(
            stamped.pose, stamped.header.frame_id, lambda n: self.frame(n, q)
        ).compose(self._to_tcp(link))
        solution = self.planner.ik(pose, q, ask.avoid_collisions)
        if solution is None:
            response.error_code = moveit.error_code(
                ErrorCode.NO_IK_SOLUTION, "No joint angles reach this pose.")
            return
        response.solution = moveit.to_state(solution, self.robot, self.state.width)
        response.error_code = moveit.error_code(ErrorCode.SUCCESS)

    def fk(self, request: Any, response: Any) -> None:
        q = self._start(request.robot_state)
        frame = request.header.frame_id or self.robot.base_link
        to_frame = self.frame(frame, q).inverse()
        for link in request.fk_link_names:
            try:
                pose = to_frame.compose(self.planner.link_pose(q, link))
            except KeyError as error:
                raise Refusal(
                    ErrorCode.INVALID_LINK_NAME, f"The robot has no link {link!r}."
                ) from error
            stamped = poses_stamped(pose, frame)
            stamped.header.stamp = self.node.get_clock().now().to_msg()
            response.pose_stamped.append(stamped)
            response.fk_link_names.append(link)
        response.error_code = moveit.error_code(ErrorCode.SUCCESS)

    def validity(self, request: Any, response: Any) -> None:
        response.valid = False
        self._check_group(request.group_name)
        _refuse(request.constraints, "constraints on a state")
        q = self._start(request.robot_state)
        inside = self.planner.kinematics.in_limits(q, 1e-3)
        response.valid = inside and not self.planner.in_collision(q)
        if not response.valid:
            held = list(self.planner.scene.attached)
            response.contacts = [
                moveit.to_contact(c, self.planner.links, held, self.robot.base_link)
                for c in self.planner.contacts(q)
            ]

    def scene(self, request: Any, response: Any) -> None:
        response.scene = self.keeper.tell(
            request.components.components, self.state.joints, self.state.width)

    def interfaces(self, request: Any, response: Any) -> None:
        response.planner_interfaces = [PlannerInterfaceDescription(
            name="wm_ros", pipeline_id="roboplan", planner_ids=["RRTConnect"])]


def _refuse(constraints: Constraints, what: str) -> None:
    """:raises Refusal: if there are any"""
    if any((constraints.joint_constraints, constraints.position_constraints,
            constraints.orientation_constraints, constraints.visibility_constraints)):
        raise Refusal(ErrorCode.INVALID_MOTION_PLAN, f"This planner does not know {what}.")


def poses_stamped(pose: Pose, frame: str) -> PoseStamped:
    """Pose -> geometry_msgs/PoseStamped without a stamp."""


    message = PoseStamped(pose=poses.to_pose(pose))
    message.header.frame_id = frame
    return message
