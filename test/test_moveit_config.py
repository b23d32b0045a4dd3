# SPDX-License-Identifier: Apache-2.0
"""config/moveit/ fits the robot, its URDF and the controllers that the simulator offers."""
from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import yaml

from wm_ros import moveit_config
from wm_ros.errors import UserError
from wm_ros.paths import resolved
from wm_ros.robot import Controllers, RobotConfig, load_robot


@pytest.fixture(scope="module")
def robot() -> RobotConfig:
    return load_robot()


def test_files_are_not_stale(robot: RobotConfig, root: Path) -> None:
    for name, text in moveit_config.files(robot).items():
        file = root / "config" / "moveit" / name
        assert file.read_text(encoding="utf-8") == text, (
            f"{name}: run `python -m wm_ros.moveit_config`")


def test_srdf_names_only_what_the_urdf_has(robot: RobotConfig) -> None:
    urdf = ElementTree.fromstring(moveit_config.urdf(robot))
    links = {e.get("name") for e in urdf.iter("link")}
    joints = {e.get("name") for e in urdf.findall("joint")}
    srdf = ElementTree.fromstring(moveit_config.srdf(robot))
    for pair in srdf.iter("disable_collisions"):
        assert {pair.get("link1"), pair.get("link2")} <= links
    for chain in srdf.iter("chain"):
        assert {chain.get("base_link"), chain.get("tip_link")} <= links
    assert {e.get("name") for e in srdf.iter("joint")} <= joints
    groups = {e.get("name") for e in srdf.findall("group")}
    assert {robot.planning_group, *robot.group_aliases, robot.gripper_group} <= groups
    hand = srdf.find("end_effector")
    assert hand is not None and {hand.get("group"), hand.get("parent_group")} <= groups
    assert len(srdf.findall("virtual_joint")) == 1


def test_planning_group_leads_from_the_base_to_the_tool(robot: RobotConfig) -> None:
    srdf = ElementTree.fromstring(moveit_config.srdf(robot))
    chain = srdf.find(f"group[@name='{robot.planning_group}']/chain")
    assert chain is not None
    assert (chain.get("base_link"), chain.get("tip_link")) == (robot.base_link, robot.tcp_link)


def test_moveit_drives_the_controllers_that_are_there(robot: RobotConfig) -> None:
    manager = moveit_config.controllers(robot)["moveit_simple_controller_manager"]
    assert manager["controller_names"] == [robot.controllers.arm, robot.controllers.gripper]
    arm = manager[robot.controllers.arm]
    assert (arm["type"], arm["action_ns"]) == ("FollowJointTrajectory", "follow_joint_trajectory")
    assert arm["joints"] == list(robot.arm_joints)
    gripper = manager[robot.controllers.gripper]
    assert (gripper["type"], gripper["action_ns"]) == ("GripperCommand", "gripper_cmd")


def test_moveit_keeps_the_robots_limits(robot: RobotConfig) -> None:
    limits = moveit_config.joint_limits(robot)["joint_limits"]
    for i, name in enumerate(robot.arm_joints):
        assert limits[name]["max_velocity"] == robot.velocity_limits[i]
        assert limits[name]["max_acceleration"] == robot.acceleration_limits[i]
    numbers = [v for entry in limits.values() for v in entry.values()]
    # a ROS parameter that is declared as a number refuses an integer
    assert all(isinstance(v, (bool, float)) for v in numbers)


def test_parameters_hold_what_move_group_reads(robot: RobotConfig) -> None:
    found = moveit_config.parameters(robot)
    assert found["robot_description"].startswith("<?xml")
    for name in found["planning_pipelines"]:
        assert found[name]["planning_plugins"]
    assert set(found["ompl"][robot.planning_group]["planner_configs"]) <= set(
        found["ompl"]["planner_configs"])
    assert "cartesian_limits" in found["robot_description_planning"]
    inside = moveit_config.parameters(robot, moveit_cpp=True)
    assert inside["planning_pipelines"]["pipeline_names"] == found["planning_pipelines"]


@pytest.mark.parametrize("name", ["panda", "ur5"])
def test_moveit_gets_meshes_that_are_there_and_files_name_no_machine(name: str) -> None:
    robot = load_robot(name)
    found = moveit_config.parameters(robot, moveit_cpp=True)["robot_description"]
    meshes = [str(e.get("filename")) for e in ElementTree.fromstring(found).iter("mesh")]
    assert meshes and all(mesh.startswith("file:///") and Path(mesh[7:]).is_file()
                          for mesh in meshes)
    assert not [text for text in moveit_config.files(robot, whole=True).values()
                if "file://" in text or str(Path.home()) in text or "site-packages" in text]


@pytest.mark.parametrize("where", ["whole", "beside"])
def test_moveit_finds_meshes_that_are_named_by_a_plain_path(where: str, tmp_path: Path) -> None:
    (tmp_path / "meshes").mkdir()
    mesh = tmp_path / "meshes" / "hand 1.stl"
    mesh.touch()
    told = mesh if where == "whole" else mesh.relative_to(tmp_path)
    text = f"<robot><mesh filename='{told}'/><plugin filename=\"libgz.so\"/></robot>"
    found = ElementTree.fromstring(resolved(text, tmp_path))
    assert [e.get("filename") for e in found] == [mesh.as_uri(), "libgz.so"]


def test_a_tool_that_the_urdf_lacks_is_added_where_it_is(robot: RobotConfig,
                                                         tmp_path: Path) -> None:
    data = yaml.safe_load((Path(__file__).parent.parent / "config/robots/panda.yaml").read_text())
    data["tcp_link"] = "pencil_tip"
    data["tcp_offset"] = {"position": [0.01, -0.02, 0.15], "quaternion": [0.5, 0.5, 0.5, 0.5]}
    file = tmp_path / "pencil.yaml"
    file.write_text(yaml.safe_dump(data))
    pencil = load_robot(str(file))
    root = ElementTree.fromstring(moveit_config.urdf(pencil))
    origin = root.find("joint[@name='pencil_tip_joint']/origin")
    assert origin is not None and origin.get("xyz") == "0.01 -0.02 0.15"
    roll, pitch, yaw = (float(v) for v in (origin.get("rpy") or "").split())
    import transforms3d

    matrix = transforms3d.euler.euler2mat(roll, pitch, yaw, "sxyz")
    assert np.allclose(matrix, pencil.tcp_offset.rotation(), atol=1e-5)


def test_another_robots_files_do_not_take_the_pandas_place() -> None:
    with pytest.raises(UserError, match="folder"):
        moveit_config.main("other")


def test_a_driver_may_name_the_grippers_action_otherwise() -> None:
    robot = load_robot("panda")
    franka = dataclasses.replace(robot, controllers=Controllers(
        "arm", "panda_gripper", gripper_action="gripper_action"))
    assert robot.controllers.gripping == f"/{robot.controllers.gripper}/gripper_cmd"
    assert franka.controllers.gripping == "/panda_gripper/gripper_action"
    assert moveit_config.controllers(franka)["moveit_simple_controller_manager"]["panda_gripper"][
        "action_ns"] == "gripper_action"


def test_hand_written_files_are_kept_and_a_wrong_robot_leaves_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    moveit_config.main("ur5", str(folder))
    limits, own = folder / "joint_limits.yaml", folder / "kinematics.yaml"
    written = own.read_text()
    limits.write_text(limits.read_text() + "more: 1\n")  # it keeps the note: written anew
    moveit_config.main("ur5", str(folder))
    assert "more" not in limits.read_text()
    limits.write_text(limits.read_text() + "more: 1\n")
    for file, text in ((own, written.partition("\n")[2] + "mine: 1\n"),
                       (folder / "ur5.srdf", "<robot name='ur5'/>")):
        before = file.read_text()
        file.write_text(text)
        with pytest.raises(UserError, match=f"{file.name} exists already"):
            moveit_config.main("ur5", str(folder))
        assert file.read_text() == text and "more" in limits.read_text(), "nothing is written"
        file.write_text(before)
    done = subprocess.run([sys.executable, "-m", "wm_ros.moveit_config", "nobody",
                           str(tmp_path / "new")], text=True, capture_output=True, timeout=60,
                          env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)})
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "new").exists()
