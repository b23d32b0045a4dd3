# SPDX-License-Identifier: Apache-2.0
"""Where a sensor is: the arm's joints tell, or /tf where another joint carries it."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import WrenchStamped
from tf2_msgs.msg import TFMessage

from wm_ros.bridge import poses, times
from wm_ros.bridge.perception import Assembler
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose, quaternion_from_rotvec
from wm_ros.robot import RobotConfig, load_robot

UR5 = load_robot("ur5")
HOME = np.asarray(UR5.home)
EYE = "scene_camera_optical_frame"
PAN = 0.6  # rad
HEAD, BOOM = Pose.of([0.0, 0.0, 0.8]), Pose.of([0.7, 0.0, 0.0])
# a stand that the arm is fixed to, and a head beside it that pans
MORE = """
  <link name="stand"/>
  <joint name="stand_joint" type="fixed">
    <origin xyz="0 0 0.5"/><parent link="stand"/><child link="{base}"/></joint>
  <link name="head"/>
  <joint name="head_pan" type="revolute">
    <origin xyz="0 0 0.8"/><axis xyz="0 0 1"/><parent link="{base}"/><child link="head"/>
    <limit lower="-2" upper="2" effort="1" velocity="1"/></joint>
  <link name="{eye}"/>
  <joint name="boom" type="fixed">
    <origin xyz="0.7 0 0"/><parent link="head"/><child link="{eye}"/></joint>
</robot>"""


@pytest.fixture
def robot(tmp_path: Path) -> RobotConfig:
    """A UR5 with a head; its mast is no joint of the arm."""
    text = UR5.urdf_path.read_text(encoding="utf-8")
    urdf = tmp_path / "with_head.urdf"
    urdf.write_text(text.replace("</robot>", MORE.format(base=UR5.base_link, eye=EYE)))
    return replace(UR5, urdf=str(urdf))


def tell(assembler: Assembler, child: str, parent: str, pose: Pose, static: bool = False) -> None:
    assembler.add_transforms(TFMessage(transforms=[
        poses.to_transform(pose, parent, child, times.stamp(5.0))]), static)


def test_a_camera_on_a_head_that_pans_is_where_tf_says(robot: RobotConfig) -> None:
    assembler = Assembler(robot, 96, 0.03, {})
    tell(assembler, EYE, "head", BOOM, static=True)
    with pytest.raises(UserError, match="no transform from scene_camera_optical_frame"):
        assembler._pose(EYE, 5.0, HOME)
    assert assembler.camera_moves, "who hears it listens to /tf"
    panned = HEAD.compose(Pose(np.zeros(3), quaternion_from_rotvec(np.array([0.0, 0.0, PAN]))))
    tell(assembler, "head", robot.base_link, panned)
    np.testing.assert_allclose(assembler._pose(EYE, 5.0, HOME).position,
                               [0.7 * np.cos(PAN), 0.7 * np.sin(PAN), 0.8], atol=1e-6)
    with pytest.raises(UserError, match="late or has stopped"):
        assembler._pose(EYE, 9.0, HOME)


def test_a_force_sensor_there_is_turned_as_tf_says(robot: RobotConfig) -> None:
    assembler = Assembler(robot, 96, 0.03, {})
    message = WrenchStamped()
    message.header.frame_id, message.header.stamp = "head", times.stamp(5.0)
    message.wrench.force.x = 5.0
    with pytest.raises(UserError, match="no transform from head"):
        assembler._wrench(message, HOME)
    turned = Pose(np.zeros(3), quaternion_from_rotvec(np.array([0.0, 0.0, PAN])))
    tell(assembler, "head", robot.base_link, turned)
    hand = assembler.kinematics.link_pose(HOME, robot.hand_link)
    np.testing.assert_allclose(
        assembler._wrench(message, HOME)[:3],
        hand.rotation().T @ (5.0 * np.array([np.cos(PAN), np.sin(PAN), 0.0])), atol=1e-6)


def test_the_arm_and_what_it_stands_on_need_no_tf(robot: RobotConfig) -> None:
    assembler = Assembler(robot, 96, 0.03, {})
    told = assembler._told_by_arm
    assert {"stand", robot.base_link, robot.attach_link, robot.hand_link} <= told
    assert not {"head", EYE, "leftfinger"} & told
    tell(assembler, "on_hand", robot.hand_link, Pose.of([0.0, 0.1, 0.0]), static=True)
    tell(assembler, "on_stand", "stand", Pose.of([0.0, 0.1, 0.0]), static=True)
    moved = HOME + 0.1
    wanted = assembler.kinematics.link_pose(moved, robot.hand_link).apply(np.array([0.0, 0.1, 0]))
    np.testing.assert_allclose(assembler._pose("on_hand", 5.0, moved).position, wanted, atol=1e-9)
    np.testing.assert_allclose(assembler._pose("on_stand", 5.0, moved).position, [0, 0.1, -0.5],
                               atol=1e-9)
    assert not assembler.camera_moves
