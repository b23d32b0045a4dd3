# SPDX-License-Identifier: Apache-2.0
"""MoveIt's configuration of a robot, from the robot's own YAML file.

``python -m wm_ros.moveit_config [robot] [folder]`` writes it as the files that MoveIt's tools read
(config/moveit/ for the Panda); `parameters` gives the same to a launch file.
"""
from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import yaml

from wm_ros.errors import UserError, explain
from wm_ros.files import write_text
from wm_ros.motion.pose import rpy_from_rotation
from wm_ros.paths import config, resolved
from wm_ros.robot import RobotConfig, load_robot

PIPELINES = ("ompl", "pilz_industrial_motion_planner")
PLANNERS = ("RRTConnectkConfigDefault", "RRTstarkConfigDefault", "PRMkConfigDefault")
FOLDER = "moveit"
TOOL = "Written by `python -m wm_ros.moveit_config "
NOTE = TOOL + "{robot}` from the robot's YAML file; take this line out to keep changes."
Tree = dict[str, Any]


def urdf(robot: RobotConfig) -> str:
    """The robot's URDF, with the tool centre point as a link."""
    text = robot.urdf_path.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    if root.find(f"link[@name='{robot.tcp_link}']") is not None:
        return text
    ElementTree.SubElement(root, "link", {"name": robot.tcp_link})
    joint = ElementTree.SubElement(root, "joint", {"name": f"{robot.tcp_link}_joint",
                                                   "type": "fixed"})
    roll, pitch, yaw = rpy_from_rotation(robot.tcp_offset.rotation())
    ElementTree.SubElement(joint, "origin", {
        "xyz": " ".join(f"{v:g}" for v in robot.tcp_offset.position),
        "rpy": f"{roll:g} {pitch:g} {yaw:g}"})
    ElementTree.SubElement(joint, "parent", {"link": robot.hand_link})
    ElementTree.SubElement(joint, "child", {"link": robot.tcp_link})
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def description(robot: RobotConfig) -> str:
    """That URDF with its meshes where they lie on this machine.

    MoveIt passes over meshes that it cannot find, and an arm without any collides with nothing.
    """
    return resolved(urdf(robot), robot.urdf_path.parent)


def srdf(robot: RobotConfig) -> str:
    """The robot's SRDF with the groups, hand and base that this suite and its clients name."""
    root = ElementTree.fromstring(robot.srdf_path.read_text(encoding="utf-8"))
    known = {group.get("name") for group in root.findall("group")}

    def add(tag: str, parent: ElementTree.Element = root, **attributes: str) -> Any:
        return ElementTree.SubElement(parent, tag, attributes)
    for name in (robot.planning_group, *robot.group_aliases):
        if name not in known:
            add("chain", add("group", name=name), base_link=robot.base_link,
                tip_link=robot.tcp_link)
    if robot.finger_joints and robot.gripper_group not in known:
        group = add("group", name=robot.gripper_group)
        for joint in robot.finger_joints:
            add("joint", group, name=joint)
    for old in (*root.findall("end_effector"), *root.findall("virtual_joint")):
        root.remove(old)
    if robot.finger_joints:
        add("end_effector", name="gripper", parent_link=robot.tcp_link,
            parent_group=robot.planning_group, group=robot.gripper_group)
    add("virtual_joint", name="world_joint", type="fixed", parent_frame="world",
        child_link=robot.base_link)
    state = add("group_state", name="home", group=robot.planning_group)
    for joint, value in zip(robot.arm_joints, robot.home, strict=True):
        add("joint", state, name=joint, value=f"{value:g}")
    ElementTree.indent(root, "    ")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def kinematics(robot: RobotConfig) -> Tree:
    """kinematics.yaml."""
    return {robot.planning_group: {
        "kinematics_solver": "kdl_kinematics_plugin/KDLKinematicsPlugin",
        "kinematics_solver_search_resolution": 0.005, "kinematics_solver_timeout": 0.05}}


def joint_limits(robot: RobotConfig) -> Tree:
    """joint_limits.yaml: rad, rad/s, rad/s^2; fingers in m."""
    limits: Tree = {}
    for name, (low, high), speed, acceleration in zip(
            robot.arm_joints, robot.position_limits, robot.velocity_limits,
            robot.acceleration_limits, strict=True):
        limits[name] = {"has_position_limits": True, "min_position": float(low),
                        "max_position": float(high), **_motion(speed, acceleration)}
    finger = robot.gripper.max_speed * abs(robot.gripper.finger_scale)
    for name in robot.finger_joints:
        limits[name] = _motion(finger, 10.0 * finger)
    return {"default_velocity_scaling_factor": 1.0, "default_acceleration_scaling_factor": 1.0,
            "joint_limits": limits}


def _motion(speed: float, acceleration: float) -> Tree:
    return {"has_velocity_limits": True, "max_velocity": round(float(speed), 6),
            "has_acceleration_limits": True, "max_acceleration": round(float(acceleration), 6)}


def controllers(robot: RobotConfig) -> Tree:
    """moveit_controllers.yaml: the controllers that the simulator, Gazebo and the arm share."""
    arm, gripper = robot.controllers.arm, robot.controllers.gripper
    manager: Tree = {"controller_names": [arm], arm: {
        "type": "FollowJointTrajectory", "action_ns": "follow_joint_trajectory", "default": True,
        "joints": list(robot.arm_joints)}}
    if robot.finger_joints:
        manager["controller_names"].append(gripper)
        manager[gripper] = {
            "type": "GripperCommand", "action_ns": robot.controllers.gripper_action,
            "default": True, "joints": [robot.finger_joints[0]]}
    return {
        "moveit_controller_manager":
            "moveit_simple_controller_manager/MoveItSimpleControllerManager",
        "moveit_simple_controller_manager": manager,
        "trajectory_execution": {"allowed_execution_duration_scaling": 2.0,
                                 "allowed_goal_duration_margin": 2.0,
                                 "allowed_start_tolerance": 0.03}}


def pipeline(robot: RobotConfig, name: str) -> Tree:
    """One planning pipeline's settings."""
    settings = _read(f"{name}_planning.yaml")
    if name == "ompl":
        settings.pop("panda_arm", None)
        settings[robot.planning_group] = {"planner_configs": list(PLANNERS)}
    return settings


def parameters(robot: RobotConfig, moveit_cpp: bool = False) -> Tree:
    """Parameters of move_group, or of a node that uses moveit_py.

    :param moveit_cpp: for moveit_py, which names its pipelines otherwise
    """
    found: Tree = {
        "robot_description": description(robot),
        "robot_description_semantic": srdf(robot),
        "robot_description_kinematics": kinematics(robot),
        "robot_description_planning": {**joint_limits(robot),
                                       **_read("pilz_cartesian_limits.yaml")},
        "planning_pipelines": list(PIPELINES), "default_planning_pipeline": PIPELINES[0],
        **{name: pipeline(robot, name) for name in PIPELINES},
        "moveit_manage_controllers": True, **controllers(robot),
        "publish_planning_scene": True, "publish_geometry_updates": True,
        "publish_state_updates": True, "publish_transforms_updates": True,
        "publish_robot_description": False, "publish_robot_description_semantic": not moveit_cpp}
    if moveit_cpp:
        found.update(_read("moveit_cpp.yaml"))
    return found


def files(robot: RobotConfig, whole: bool = False) -> dict[str, str]:
    """The files that depend on the robot: name -> text.

    :param whole: those of config/moveit/ that do not, too
    """
    trees = {"kinematics.yaml": kinematics(robot), "joint_limits.yaml": joint_limits(robot),
             "moveit_controllers.yaml": controllers(robot)}
    if whole:
        trees |= {f"{name}_planning.yaml": pipeline(robot, name) for name in PIPELINES}
        trees |= {name: _read(name) for name in ("pilz_cartesian_limits.yaml", "moveit_cpp.yaml")}
    note = NOTE.format(robot=robot.name)
    texts = {name: f"# {note}\n{yaml.safe_dump(tree, sort_keys=False)}"
             for name, tree in trees.items()}
    head, _, body = srdf(robot).partition("\n")
    return {f"{robot.name}.srdf": f"{head}\n<!-- {note} -->\n{body}", **texts}


def _read(name: str) -> Tree:
    return dict(yaml.safe_load(config(FOLDER, name).read_text(encoding="utf-8")))


def main(robot: str = "panda", folder: str = "") -> None:
    """Write the files.

    :raises UserError: when the Panda's own would be written over with another robot's, or files
        that others wrote; nothing is written then
    """
    if not folder and robot != "panda":
        raise UserError("Name a folder for the files: python -m wm_ros.moveit_config ROBOT FOLDER")
    target = Path(folder) if folder else config(FOLDER)
    texts = {target / name: text
             for name, text in files(load_robot(robot), whole=bool(folder)).items()}
    for path, text in texts.items():
        if path.exists() and not _is_ours(path, text):
            raise UserError(f"{path} exists already, was written by hand or another program and "
                            "is not overwritten: name another folder, or move it away.")
    target.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        write_text(path, text)
        print(f"wrote {path}")


def _is_ours(path: Path, text: str) -> bool:
    """Whether a file is of this tool, by its note, or would not change."""
    old = path.read_text(encoding="utf-8", errors="replace")
    return old == text or any(TOOL in line for line in old.splitlines()[:2])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:3])
    except (UserError, OSError) as mistake:
        told = explain(mistake)
        if told is None:
            raise
        print(told[0], file=sys.stderr)
        raise SystemExit(told[1]) from None
