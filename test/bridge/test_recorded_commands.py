# SPDX-License-Identifier: Apache-2.0
"""What the arm was told in a recording."""
from __future__ import annotations

import math

import numpy as np
import pytest
from control_msgs.msg import JointTrajectoryControllerState

from wm_ros.bridge import times
from wm_ros.bridge.commands import Commands
from wm_ros.motion.kinematics import Kinematics
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
