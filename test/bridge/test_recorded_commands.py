# SPDX-License-Identifier: Apache-2.0
"""What the arm was told in a recording."""
from __future__ import annotations

import math

import numpy as np
import pytest
from control_msgs.msg import JointTrajectoryControllerState
from sensor_msgs.msg import JointState

from wm_ros.bridge import times
from wm_ros.bridge.commands import Commands
from wm_ros.motion.kinematics import Kinematics
from wm_ros.replay.plans import recorded_chunk
from wm_ros.robot import load_robot

ROBOT = load_robot()


def reference(stamp: float, positions: np.ndarray) -> JointTrajectoryControllerState:
    message = JointTrajectoryControllerState(joint_names=list(ROBOT.arm_joints))
    message.header.stamp = times.stamp(stamp)
    message.reference.positions = positions.tolist()
    return message


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_reference_that_is_not_finite_is_left_out(broken: float) -> None:
    commands, home = Commands(Kinematics(ROBOT)), np.asarray(ROBOT.home)
    for stamp, shift in ((1.0, 0.0), (1.1, broken), (1.2, 0.2)):
        commands.add("commands", reference(stamp, home + [0.0, shift, *[0.0] * (ROBOT.dof - 2)]))
    np.testing.assert_allclose(commands.joints_at(1.1), home + [0, 0.1, *[0] * (ROBOT.dof - 2)])


def test_a_recorded_chunk_closes_the_hand_on_what_it_holds() -> None:
    """As `wm convert` makes the data that the model learns from: fingers that rest on a mug of
    45 mm were told to close."""
    commands = Commands(Kinematics(ROBOT))
    finger = len(ROBOT.finger_joints) * [1.0]
    for stamp in np.arange(0.0, 30.0, 0.02):
        width = float(np.clip(0.08 - 0.1 * (stamp - 2.0), 0.045, 0.08))
        message = JointState(name=list(ROBOT.joints), position=[
            *ROBOT.home, *(np.array(finger) * width * ROBOT.gripper.finger_scale)])
        message.header.stamp = times.stamp(float(stamp))
        commands.add("joint_states", message)
    for begin, expected in ((0.2, [0.08] * 16), (1.5, [0.08] * 5 + [0.0] * 11),
                            (25.0, [0.0] * 16)):
        chunk = recorded_chunk(commands, begin, 16, 0.1)
        assert chunk is not None
        np.testing.assert_allclose(chunk[1], expected, atol=1e-3)
