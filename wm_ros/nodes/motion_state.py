# SPDX-License-Identifier: Apache-2.0
"""What the joint states tell of the arm and the gripper, and whether it is still true."""

from __future__ import annotations

import time

import numpy as np
from sensor_msgs.msg import JointState

from wm_ros.bridge import joints
from wm_ros.bridge.moveit import Refusal
from wm_ros.errors import UserError
from wm_ros.motion.errors import ErrorCode
from wm_ros.motion.pose import Array
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode


class PresentState:
    """Newest joint positions and gripper width."""

    def __init__(self, node: WmNode) -> None:
        self.node, self.robot = node, node.robot
        self.joints: Array | None = None
        self.width = node.robot.gripper.open_width
        self._heard = 0.0
        self._states = joints.JointStates(self.robot.joints)
        node.create_subscription(
            JointState, node.text("topics.joint_states"), self._hear_joints, qos.SENSOR)

    def _hear_joints(self, message: JointState) -> None:
        state = self._states.add(message)
        if state is None:
            return
        message, names = state, set(state.name)
        if not names.issuperset(self.robot.arm_joints):
            if names & set(self.robot.arm_joints):
                self.node.complain("The joint states name only a part of the arm's joints.")
            return
        try:
            self.joints = joints.from_joint_state(message, self.robot.arm_joints).position
        except UserError as error:
            self.joints = None
            self.node.complain(str(error))
            return
        self._heard = time.monotonic()
        fingers = self.robot.finger_joints
        if fingers and fingers[0] in names:
            value = float(message.position[message.name.index(fingers[0])])
            if np.isfinite(value):
                gripper = self.robot.gripper
                self.width = gripper.clamp(value / gripper.finger_scale)
        self.node.tick()

    def fresh(self) -> Array | None:
        """Arm joints (n,), or None if they are stale."""
        age = time.monotonic() - self._heard
        return self.joints if age <= self.node.number("joint_state_timeout") else None

    def present(self) -> Array:
        """Arm joints (n,). :raises Refusal: if they are stale."""
        q = self.fresh()
        if q is None:
            topic = self.node.text("topics.joint_states")
            raise Refusal(
                ErrorCode.ROBOT_STATE_STALE,
                f"There are no fresh joint states on {topic}; is the robot's driver running?",
            )
        return q

    def last(self) -> Array:
        """Arm joints (n,) as last heard, else the home posture."""
        q = self.joints
        return np.asarray(self.robot.home) if q is None else q
