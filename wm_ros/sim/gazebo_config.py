# SPDX-License-Identifier: Apache-2.0
"""What Gazebo's ROS side needs: controllers, bridge, and the nodes' parameters for it.

``python -m wm_ros.sim.gazebo_config`` writes the Panda's to config/gazebo/.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from wm_ros.motion.pose import Pose
from wm_ros.motion.urdf import moved_links
from wm_ros.paths import config
from wm_ros.robot import RobotConfig, load_robot
from wm_ros.sim.gazebo_robot import JOINT_RATE
from wm_ros.sim.schema import Scene
from wm_ros.sim.solids import Solid, fixed_solids

CAMERAS = ("scene", "wrist")
CONTROL_RATE = 250  # Hz; two physics steps
NOTE = "# Written by `python -m wm_ros.sim.gazebo_config` from the robot's YAML file.\n"
Tree = dict[str, Any]


def controllers(robot: RobotConfig) -> Tree:
    """Parameters of the controller manager and of the controllers that the embedded simulator
    has too, under the same names and with the same tolerances."""
    arm, gripper = robot.controllers.arm, robot.controllers.gripper
    return {
        "controller_manager": {"ros__parameters": {
            "update_rate": CONTROL_RATE,
            "joint_state_broadcaster": {"type": "joint_state_broadcaster/JointStateBroadcaster"},
            arm: {"type": "joint_trajectory_controller/JointTrajectoryController"},
            gripper: {"type": "position_controllers/GripperActionController"}}},
        # a joint follows its command within a few milliseconds
        "gz_ros_control": {"ros__parameters": {"hold_joints": True,
                                               "position_proportional_gain": 0.5}},
        "joint_state_broadcaster": {"ros__parameters": {"update_rate": JOINT_RATE}},
        arm: {"ros__parameters": {
            "joints": list(robot.arm_joints), "command_interfaces": ["position"],
            "state_interfaces": ["position", "velocity"],
            "action_monitor_rate": 50.0, "allow_partial_joints_goal": False,
            "constraints": {"goal_time": 1.0, "stopped_velocity_tolerance": 0.05,
                            **{name: {"trajectory": 0.1, "goal": 0.02}
                               for name in robot.arm_joints}}}},
        gripper: {"ros__parameters": {
            "joint": robot.finger_joints[0], "action_monitor_rate": 50.0,
            "goal_tolerance": round(0.003 * robot.gripper.finger_scale, 6),
            "max_effort": robot.gripper.max_effort, "allow_stalling": True,
            "stall_velocity_threshold": 0.005, "stall_timeout": 0.15}},
    }


def topics() -> dict[str, str]:
    """Names of the topics that the nodes read, from config/topics.yaml."""
    data = yaml.safe_load(config("topics.yaml").read_text(encoding="utf-8"))
    return dict(data["/**"]["ros__parameters"]["topics"])


def bridge(robot: RobotConfig) -> list[Tree]:
    """Entries of ros_gz_bridge: Gazebo's sensors under the names of the embedded simulator."""
    name = topics()
    entries = [
        ("/clock", "/clock", "rosgraph_msgs/msg/Clock", "Clock"),
        (name["scene_color"], "/scene_camera/image", "sensor_msgs/msg/Image", "Image"),
        (name["scene_info"], "/scene_camera/camera_info", "sensor_msgs/msg/CameraInfo",
         "CameraInfo"),
        (name["scene_depth"], "/scene_camera/depth_image", "sensor_msgs/msg/Image", "Image"),
        (name["wrist_color"], "/wrist_camera/image", "sensor_msgs/msg/Image", "Image"),
        (name["wrist_info"], "/wrist_camera/camera_info", "sensor_msgs/msg/CameraInfo",
         "CameraInfo"),
        (name["wrench"], "/wrist/wrench", "geometry_msgs/msg/WrenchStamped", "Wrench"),
        *((f"/{finger}/contacts", f"/{finger}/contacts", "ros_gz_interfaces/msg/Contacts",
           "Contacts") for finger in _finger_links(robot)),
    ]
    # contacts come at every physics step, whatever the sensor's rate: only for who listens
    return [{"ros_topic_name": ros, "gz_topic_name": gz, "ros_type_name": ros_type,
             "gz_type_name": f"gz.msgs.{gz_type}", "direction": "GZ_TO_ROS",
             **({"lazy": True} if gz_type == "Contacts" else {})}
            for ros, gz, ros_type, gz_type in entries]


def _finger_links(robot: RobotConfig) -> list[str]:
    moved = moved_links(ElementTree.parse(robot.urdf_path).getroot())
    return [moved[name] for name in robot.finger_joints if name in moved]


def robot_file(name: str) -> Tree:
    """The robot's YAML data as Gazebo's gripper controller wants it: it commands one finger."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else config("robots", f"{name}.yaml")
    data: Tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    data["gripper"]["command_scale"] = data["gripper"]["finger_scale"]
    for key in ("urdf", "srdf"):  # beside the file it came from
        if "://" not in data[key]:
            data[key] = str(path.resolve().parent / data[key])
    return data


def furniture(scene: Scene, grow: float = 0.003) -> Tree:
    """The parts of the room that never move, as a furniture file.

    :param grow: each part is made larger by this on every side (m)
    """
    return {item.name: parts for item in scene.furnishings
            if (parts := [_entry(solid) for solid in
                          fixed_solids(item.body, Pose.identity(), grow)])}


def _entry(solid: Solid) -> Tree:
    size = solid.size[0] if solid.shape == "sphere" else list(solid.size)
    return {solid.shape: _rounded(size), "position": _rounded(solid.pose.position),
            "quaternion": _rounded(solid.pose.quaternion)}


def _rounded(values: Any) -> Any:
    if isinstance(values, float):
        return round(values, 6)
    return [round(float(v), 6) + 0.0 for v in values]


def parameters(folder: Path, room: str) -> Tree:
    """Parameters of the nodes beside Gazebo: the robot as its controllers take it, the world, and
    the names that Gazebo itself gives, whatever a user's real robot calls them."""
    folder = folder.resolve()
    frames = {f"{camera}_camera": f"{camera}_camera_optical_frame" for camera in CAMERAS}
    return {"/**": {"ros__parameters": {
                "robot": str(folder / "robot.yaml"), "topics": {"joint_states": "/joint_states"},
                "frames": {**frames, "wrench": ""}}},
            "gazebo": {"ros__parameters": {"room": room, "world": str(folder)}}}


def dump(tree: Any) -> str:
    """YAML with its keys in the order in which they were written."""
    return yaml.safe_dump(tree, sort_keys=False, width=95)


def files(robot: RobotConfig) -> dict[str, str]:
    """The files that depend on the robot alone: name -> text."""
    return {"controllers.yaml": NOTE + dump(controllers(robot)),
            "bridge.yaml": NOTE + dump(bridge(robot))}


if __name__ == "__main__":
    target = config("gazebo")
    target.mkdir(exist_ok=True)
    for file, text in files(load_robot()).items():
        (target / file).write_text(text, encoding="utf-8")
        print(f"wrote {target / file}")
