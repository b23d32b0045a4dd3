# SPDX-License-Identifier: Apache-2.0
"""Runs trajectories on the controllers: one at a time, the newest first, stopped at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from control_msgs.action import FollowJointTrajectory, GripperCommand
from moveit_msgs.msg import RobotTrajectory

from wm_ros.bridge import joints, moveit
from wm_ros.bridge.moveit import Refusal
from wm_ros.errors import UserError
from wm_ros.motion.errors import ErrorCode
from wm_ros.motion.pose import Array
from wm_ros.motion.trajectory import make_path, refusal
from wm_ros.nodes.action_client import ActionClient
from wm_ros.nodes.base import WmNode
from wm_ros.nodes.clients import SUCCEEDED, Goal, StopFlag, Stopped, cancel_all, send
from wm_ros.robot import RobotConfig

SLACK = 1.05  # factor by which velocities of a client's trajectory may exceed the limits
AT_REST = 0.02  # share of the velocity limits that counts as none
CONNECT = 2.0  # s to wait for a controller


@dataclass(frozen=True)
class Settings:
    """When a trajectory is refused or given up; see the node's parameters."""

    start_tolerance: float
    duration_scaling: float
    duration_margin: float


class TrajectoryExecution:
    """Sends trajectories to the arm's and the gripper's controller and waits for their end."""

    def __init__(
        self,
        node: WmNode,
        settings: Callable[[], Settings],
        present: Callable[[], Array],
    ) -> None:
        """:param present: arm joints now (n,); raises Refusal if they are stale."""
        self.node, self.robot = node, node.robot
        self._settings, self._present = settings, present
        names = self.robot.controllers
        self._arm_name = f"/{names.arm}/follow_joint_trajectory"
        self._gripper_name = names.gripping
        self._arm = ActionClient(node, FollowJointTrajectory, self._arm_name)
        self._gripper = ActionClient(node, GripperCommand, self._gripper_name)
        self._cancel = node.create_client(CancelGoal, f"{self._arm_name}/_action/cancel_goal")
        self._lock = threading.Lock()  # held by the trajectory that runs
        self._guard = threading.Lock()
        self._current: StopFlag | None = None

    def stop(self, reason: str) -> None:
        """Stops what runs now, at the controller; does not wait."""
        with self._guard:
            flag = self._current
        if flag is not None:
            flag.set(reason)
            cancel_all(self._cancel)

    def run(self, message: RobotTrajectory, flag: StopFlag) -> tuple[ErrorCode, str]:
        """Executes a trajectory; a newer one preempts it.

        :returns: MoveIt's error code and a sentence.
        """
        with self._guard:
            former, self._current = self._current, flag
        if former is not None:
            former.set("A newer trajectory preempted this one.")
        with self._lock:
            try:
                flag.check()
                return self._run(message, flag)
            except Stopped as stopped:
                return ErrorCode.PREEMPTED, str(stopped)
            except Refusal as refusal:
                return refusal.code, str(refusal)
            except UserError as error:
                return ErrorCode.CONTROL_FAILED, str(error)
            finally:
                with self._guard:
                    if self._current is flag:
                        self._current = None

    def _run(self, message: RobotTrajectory, flag: StopFlag) -> tuple[ErrorCode, str]:
        named = set(message.joint_trajectory.joint_names)
        if named and named <= set(self.robot.finger_joints):
            return self._run_gripper(message, flag)
        path = moveit.from_trajectory(message, self.robot.arm_joints)
        check_path(path, self._present(), self.robot)
        self._check_start(path)
        request = FollowJointTrajectory.Goal(trajectory=joints.to_trajectory(path))
        return self._follow(request, path.duration, flag)

    def _check_start(self, path: joints.JointPath) -> None:
        tolerance = self._settings().start_tolerance
        away = np.abs(path.positions[0] - self._present())
        worst = int(np.argmax(away))
        if tolerance > 0 and away[worst] > tolerance:
            raise Refusal(
                ErrorCode.CONTROL_FAILED,
                f"The trajectory starts {away[worst]:.3f} rad away from "
                f"{self.robot.arm_joints[worst]} (allowed: {tolerance:.3f} rad); plan it from "
                "the present joint states.",
            )

    def _follow(
        self, request: FollowJointTrajectory.Goal, duration: float, flag: StopFlag
    ) -> tuple[ErrorCode, str]:
        goal = send(self._arm, request, self._arm_name, flag, CONNECT)
        settings = self._settings()
        limit = duration * settings.duration_scaling + settings.duration_margin
        if not self._ended(goal, self._arm, limit, flag):
            return (
                ErrorCode.TIMED_OUT,
                f"The controller took longer than {limit:.1f} s and was stopped.",
            )
        status, result = goal.result(StopFlag(), 1.0, "The controller gave no result.")
        if status == SUCCEEDED:
            return ErrorCode.SUCCESS, ""
        flag.check()
        if status == GoalStatus.STATUS_CANCELED:
            return ErrorCode.PREEMPTED, "Somebody cancelled the motion at the controller."
        return (
            ErrorCode.CONTROL_FAILED,
            f"The controller gave up: {result.error_string or result.error_code}.",
        )

    def _ended(self, goal: Goal, client: ActionClient, limit: float, flag: StopFlag) -> bool:
        """Whether the goal ended within `limit` s; where it did not, it is ended now.

        :raises Stopped: if it is told to stop.
        :raises UserError: if the controller is gone.
        """
        ended = False
        try:
            ended = self._wait(goal, client, limit, flag)
        finally:
            if not ended:
                self._end(goal)
        return ended

    def _wait(self, goal: Goal, client: ActionClient, limit: float, flag: StopFlag) -> bool:
        """Whether the goal ended within `limit` s of the node's clock.

        :raises UserError: if the controller is gone.
        """
        done = threading.Event()
        goal.result_future.add_done_callback(lambda _: done.set())
        # A simulation may run slower than real time, but not stand still for ever.
        begin, patience = self.node.now(), time.monotonic() + 5.0 * limit + 5.0
        gone = 0
        while not goal.done:
            flag.check()
            if self.node.now() - begin > limit or time.monotonic() > patience:
                return False
            done.wait(0.02)
            gone = 0 if client.server_is_ready() else gone + 1
            if gone > 25:
                raise UserError("The controller is gone; is its node still running?")
        return True

    def _end(self, goal: Goal) -> None:
        """Cancels a goal and waits shortly for its result, so that the arm rests."""
        goal.cancel()
        limit = time.monotonic() + 1.0
        while not goal.done and time.monotonic() < limit:
            time.sleep(0.01)

    def _run_gripper(self, message: RobotTrajectory, flag: StopFlag) -> tuple[ErrorCode, str]:
        gripper = self.robot.gripper
        points = message.joint_trajectory.points
        if not points or not points[-1].positions:
            raise Refusal(ErrorCode.INVALID_MOTION_PLAN, "The trajectory is empty.")
        finger = float(points[-1].positions[0])
        if not np.isfinite(finger):
            raise Refusal(
                ErrorCode.INVALID_MOTION_PLAN, "The gripper's goal is not a finite number."
            )
        width = gripper.clamp(finger / gripper.finger_scale)
        request = GripperCommand.Goal()
        request.command.position = width * gripper.command_scale
        request.command.max_effort = gripper.max_effort
        goal = send(self._gripper, request, self._gripper_name, flag, CONNECT)
        if not self._ended(goal, self._gripper, 5.0, flag):
            return ErrorCode.TIMED_OUT, "The gripper did not answer within 5 s."
        status, result = goal.result(StopFlag(), 1.0, "The gripper gave no result.")
        if status == GoalStatus.STATUS_CANCELED:
            return ErrorCode.PREEMPTED, "Somebody cancelled the gripper's motion."
        if status == SUCCEEDED or result.stalled:
            return ErrorCode.SUCCESS, ""
        return ErrorCode.CONTROL_FAILED, "The gripper did not reach its goal."


def check_path(path: joints.JointPath, present: Array, robot: RobotConfig) -> None:
    """Refuses a client's trajectory that leaves the limits of the joints, also between its points,
    or that does not begin and end at rest, as the arm does.

    :param present: joint angles (n,) from which a controller goes to a first point that is to be
        reached later than at once
    :raises Refusal: with one sentence.
    """
    made = make_path(path.times, path.positions, path.velocities, present)
    sentence = refusal(made, robot, SLACK)
    moving = np.abs(made.velocities[[0, -1]]) > AT_REST * robot.velocity_limits
    if not sentence and moving.any():
        sentence = ("The trajectory does not begin and end at rest: its first and its last point "
                    "need velocities of 0.")
    if sentence:
        raise Refusal(ErrorCode.INVALID_MOTION_PLAN, sentence)
