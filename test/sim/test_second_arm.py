# SPDX-License-Identifier: Apache-2.0
"""Another arm than the Panda does the tasks through its YAML, URDF and SRDF alone."""
from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from wm_ros import moveit_config
from wm_ros.errors import UserError
from wm_ros.evaluation.expert_rate import run_expert
from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.planner import Planner
from wm_ros.motion.pose import Pose, top_down
from wm_ros.motion.shapes import Box, Part, SceneObject
from wm_ros.robot import RobotConfig, load_robot


@pytest.fixture(scope="module")
def robot() -> RobotConfig:
    return load_robot("ur5")


@pytest.mark.parametrize("task", ["open_door", "put_mug_on_tray", "close_drawer", "press_button"])
def test_expert_does_two_tasks_of_each_room(task: str) -> None:
    episode = run_expert(task, 1, split="held_out", robot="ur5")
    assert episode.success
    assert episode.collisions == 0


def test_home_is_where_the_yaml_file_says(robot: RobotConfig) -> None:
    tool = Kinematics(robot).fk(robot.home)
    assert np.allclose(tool.position, [0.40, 0.0, 0.35], atol=1e-4)
    assert np.allclose(np.abs(tool.quaternion), [1.0, 0.0, 0.0, 0.0], atol=1e-3)


def test_embedded_planner_goes_around_an_obstacle(robot: RobotConfig) -> None:
    planner = Planner(robot, 0.008)
    block = Part(Box((0.10, 0.10, 0.35)), Pose.identity())
    planner.add_object(SceneObject("block", (block,), Pose.of([0.45, 0.0, 0.175])))
    start = planner.ik(top_down([0.45, -0.25, 0.15]), robot.home)
    assert start is not None
    plan = planner.plan_pose(start, top_down([0.45, 0.25, 0.15]))
    assert plan.success, plan.message
    assert not any(planner.in_collision(q) for q in plan.trajectory.positions)
    speeds = np.abs(plan.trajectory.velocities).max(axis=0)
    assert (speeds <= robot.velocity_limits * 1.001).all()
    straight = planner.plan_cartesian(start, [top_down([0.45, 0.25, 0.15])])
    assert straight.fraction < 0.9


def test_moveit_is_configured_from_the_same_file(robot: RobotConfig) -> None:
    found = moveit_config.parameters(robot)
    manager = found["moveit_simple_controller_manager"]
    assert manager["joint_trajectory_controller"]["joints"] == list(robot.arm_joints)
    assert set(found["robot_description_kinematics"]) == {"ur_manipulator"}
    assert found["ompl"]["ur_manipulator"] and "panda_arm" not in found["ompl"]


def test_a_robots_files_may_lie_anywhere_together(root: Path, tmp_path: Path) -> None:
    for file in (root / "config" / "robots").glob("ur5.*"):
        shutil.copy(file, tmp_path / file.name)
    mine = load_robot(str(tmp_path / "ur5.yaml"))
    assert mine.urdf_path == tmp_path / "ur5.urdf"
    assert Kinematics(mine).fk(mine.home).position[0] == pytest.approx(0.40, abs=1e-4)


def test_an_unknown_robot_is_one_sentence_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="panda, ur5"):
        load_robot("hexapod")
