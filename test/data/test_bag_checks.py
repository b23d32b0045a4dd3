# SPDX-License-Identifier: Apache-2.0
"""Bags tell whether a run stayed within the robot's limits and off the furniture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wm_ros.data.bag import BagWriter
from wm_ros.data.bag_checks import check
from wm_ros.robot import load_robot

pytest.importorskip("rosbags")
from rosbags.typesys import Stores, get_typestore  # noqa: E402

STORE = get_typestore(Stores.ROS2_JAZZY)
T = STORE.types
ROBOT = load_robot("panda")


def header() -> Any:
    return T["std_msgs/msg/Header"](T["builtin_interfaces/msg/Time"](0, 0), "")


def trajectory(velocity: float = 0.5, acceleration: float = 1.0, offset: float = 0.0) -> Any:
    point = T["trajectory_msgs/msg/JointTrajectoryPoint"](
        positions=ROBOT.home + offset, velocities=np.full(7, velocity),
        accelerations=np.full(7, acceleration), effort=np.zeros(0),
        time_from_start=T["builtin_interfaces/msg/Duration"](0, 0))
    return T["trajectory_msgs/msg/JointTrajectory"](header(), list(ROBOT.arm_joints), [point])


def bag_with(folder: Path, messages: list[tuple[str, str, Any]]) -> Path:
    writer = BagWriter(folder)
    for number, (topic, kind, message) in enumerate(messages):
        writer.add_topic(topic, kind)
        writer.write(topic, bytes(STORE.serialize_cdr(message, kind)), 1000 + number)
    writer.close()
    return folder


COMMAND = ("/command", "trajectory_msgs/msg/JointTrajectory")


def test_a_run_within_the_limits_passes(tmp_path: Path) -> None:
    joints = T["sensor_msgs/msg/JointState"](
        header(), list(ROBOT.arm_joints), ROBOT.home.copy(), np.zeros(7), np.zeros(7))
    result = check(bag_with(tmp_path / "b", [
        (*COMMAND, trajectory()),
        ("/joint_states", "sensor_msgs/msg/JointState", joints),
        ("/wm/furniture_contacts", "std_msgs/msg/UInt32", T["std_msgs/msg/UInt32"](0)),
    ]))
    assert result.ok and result.furniture_contacts == 0
    assert result.commanded["/command"].points == 1 and result.measured["/joint_states"].points


@pytest.mark.parametrize("wrong", [{"velocity": 2.3}, {"acceleration": 4.0}, {"offset": 3.0},
                                   {"velocity": np.nan}])
def test_a_command_outside_a_limit_is_found(tmp_path: Path, wrong: dict[str, float]) -> None:
    assert not check(bag_with(tmp_path / "b", [(*COMMAND, trajectory(**wrong))])).ok


def test_a_touch_of_the_furniture_is_found(tmp_path: Path) -> None:
    touch = T["std_msgs/msg/UInt32"](2)
    bag = bag_with(tmp_path / "b", [("/wm/furniture_contacts", "std_msgs/msg/UInt32", touch)])
    assert not check(bag).ok


def test_a_bag_that_commands_nothing_proves_nothing(tmp_path: Path) -> None:
    assert not check(bag_with(tmp_path / "empty", [])).ok
