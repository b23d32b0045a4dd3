# SPDX-License-Identifier: Apache-2.0
"""The robot for Gazebo: its URDF with ros2_control, sensors in hand and wrist, and friction."""
from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

from wm_ros import moveit_config
from wm_ros.motion.pose import Pose, rpy_from_rotation
from wm_ros.motion.urdf import root_in_base
from wm_ros.robot import RobotConfig
from wm_ros.sim.schema import Camera, Scene
from wm_ros.sim.sdf_emitter import camera_sensor, sensor_pose

JOINT_RATE = 25  # Hz of joint states and wrench, as in config/nodes.yaml
WORLD = "world"  # the link that sdformat takes for Gazebo's world
FINGER_FRICTION = 1.3
# m; Gazebo's engine moves a joint that stands at a limit by no command, so the fingers' limits
# lie that far outside of what they are commanded to
FINGER_MARGIN = 0.001


def robot_urdf(robot: RobotConfig, scene: Scene, controllers: Path) -> str:
    """A URDF that Gazebo spawns and robot_state_publisher publishes.

    The robot is fixed in the world; the cameras' optical frames are links; mesh files are
    absolute. A root that is called `world` has its place from `spawn_pose`.

    :param scene: names the cameras
    :param controllers: YAML file that the controller manager reads
    """
    root = ET.fromstring(moveit_config.description(robot))
    _weigh_frames(root)
    link, place = root_in_base(root, robot.base_link)
    if link != WORLD:
        _fix(root, WORLD, link, place, new="parent")
    for camera in scene.cameras:
        if camera.name in ("scene", "wrist"):
            parent = robot.hand_link if camera.on_hand else robot.base_link
            _fix(root, parent, f"{camera.name}_camera_optical_frame",
                 Pose.of(camera.position, camera.quaternion), new="child")
            if camera.on_hand:
                _gazebo(root, robot.hand_link).append(_wrist_camera(camera))
    _force_torque(root, robot)
    _fingers(root, robot)
    _control(root, robot, controllers)
    ET.indent(root, "  ")
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def spawn_pose(robot: RobotConfig) -> list[str]:
    """Arguments for ros_gz_sim's `create`, by which the base stands in the world's origin."""
    link, place = root_in_base(ET.parse(robot.urdf_path).getroot(), robot.base_link)
    if link != WORLD:  # what is fixed to Gazebo's own is where it should be
        return []
    numbers = _numbers((*place.position, *rpy_from_rotation(place.rotation()))).split()
    return [word for pair in zip("xyzRPY", numbers, strict=True)
            for word in (f"-{pair[0]}", pair[1])]


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{float(v) + 0.0:.7g}" for v in values)


def _weigh_frames(root: ET.Element) -> None:
    """Links without mass are frames; sdformat drops one with all that hangs on it."""
    parents = {_link(joint, "parent") for joint in root.findall("joint")}
    for link in root.findall("link"):
        inertial = link.find("inertial")
        mass = None if inertial is None else inertial.find("mass")
        if mass is not None and float(mass.get("value", "0")) > 0:
            continue
        if inertial is not None:
            link.remove(inertial)
        if link.get("name") in parents:
            inertial = ET.SubElement(link, "inertial")
            ET.SubElement(inertial, "mass", value="0.001")
            ET.SubElement(inertial, "inertia", ixx="1e-6", iyy="1e-6", izz="1e-6", ixy="0",
                          ixz="0", iyz="0")


def _fix(root: ET.Element, parent: str, child: str, pose: Pose, new: str) -> None:
    """A fixed joint, and the link at its ``new`` end."""
    ET.SubElement(root, "link", name=parent if new == "parent" else child)
    joint = ET.SubElement(root, "joint", name=f"{child}_mount", type="fixed")
    ET.SubElement(joint, "origin", xyz=_numbers(pose.position),
                  rpy=_numbers(rpy_from_rotation(pose.rotation())))
    ET.SubElement(joint, "parent", link=parent)
    ET.SubElement(joint, "child", link=child)


def _gazebo(root: ET.Element, reference: str) -> ET.Element:
    return ET.SubElement(root, "gazebo", reference=reference)


def _text(parent: ET.Element, tag: str, text: object) -> ET.Element:
    element = ET.SubElement(parent, tag)
    element.text = str(text)
    return element


def _wrist_camera(camera: Camera) -> ET.Element:
    sensor = camera_sensor(camera, "camera", camera.name)
    pose = sensor_pose(Pose.of(camera.position, camera.quaternion))
    place = ET.Element("pose")
    place.text = _numbers((*pose.position, *rpy_from_rotation(pose.rotation())))
    sensor.insert(0, place)
    return sensor


def _force_torque(root: ET.Element, robot: RobotConfig) -> None:
    """What the surroundings do to the hand, in the hand's frame; the hand's weight is in it."""
    mount = next(j for j in root.findall("joint")
                 if _link(j, "child") == robot.hand_link)
    gazebo = _gazebo(root, mount.get("name", ""))
    _text(gazebo, "preserveFixedJoint", "true")  # else Gazebo melts the hand into the arm
    sensor = ET.SubElement(gazebo, "sensor", name="wrist_wrench", type="force_torque")
    _text(sensor, "topic", "wrist/wrench")
    _text(sensor, "update_rate", JOINT_RATE)
    _text(sensor, "always_on", "true")
    # else the messages name the sensor, which TF does not know; sdformat warns of the tag
    _text(sensor, "gz_frame_id", robot.hand_link)
    element = ET.SubElement(sensor, "force_torque")
    _text(element, "frame", "child")
    _text(element, "measure_direction", "child_to_parent")


def _link(joint: ET.Element, end: str) -> str:
    element = joint.find(end)
    return "" if element is None else element.get("link", "")


def _fingers(root: ET.Element, robot: RobotConfig) -> None:
    """Rubber on the fingers, their limits, and a contact sensor on each."""
    for name in robot.finger_joints:
        joint = next(j for j in root.findall("joint") if j.get("name") == name)
        limit = joint.find("limit")
        assert limit is not None
        limit.set("effort", f"{robot.gripper.max_effort:g}")
        for end, margin in (("lower", -FINGER_MARGIN), ("upper", FINGER_MARGIN)):
            limit.set(end, _numbers((float(limit.get(end, "0")) + margin,)))
        finger = _link(joint, "child")
        gazebo = _gazebo(root, finger)
        for tag in ("mu1", "mu2"):
            _text(gazebo, tag, FINGER_FRICTION)
        link = next(e for e in root.findall("link") if e.get("name") == finger)
        sensor = ET.SubElement(gazebo, "sensor", name=f"{finger}_contacts", type="contact")
        _text(sensor, "update_rate", JOINT_RATE)
        _text(sensor, "always_on", "true")
        contact = ET.SubElement(sensor, "contact")
        for i in range(len(link.findall("collision"))):
            # the names that sdformat gives to a URDF's collisions
            _text(contact, "collision", f"{finger}_collision" + (f"_{i}" if i else ""))
        _text(contact, "topic", f"{finger}/contacts")


def _control(root: ET.Element, robot: RobotConfig, controllers: Path) -> None:
    """ros2_control: position commands, the arm at home and the gripper open at the start."""
    system = ET.SubElement(root, "ros2_control", name="gazebo", type="system")
    _text(ET.SubElement(system, "hardware"), "plugin", "gz_ros2_control/GazeboSimSystem")
    opened = robot.gripper.open_width * robot.gripper.finger_scale
    start = [*zip(robot.arm_joints, robot.home, strict=True),
             *((name, opened) for name in robot.finger_joints)]
    mimics = {j.get("name") for j in root.findall("joint") if j.find("mimic") is not None}
    for name, value in start:
        joint = ET.SubElement(system, "joint", name=name)
        if name not in mimics:
            ET.SubElement(joint, "command_interface", name="position")
        state = ET.SubElement(joint, "state_interface", name="position")
        ET.SubElement(state, "param", name="initial_value").text = f"{float(value):g}"
        ET.SubElement(joint, "state_interface", name="velocity")
        ET.SubElement(joint, "state_interface", name="effort")
    plugin = ET.SubElement(ET.SubElement(root, "gazebo"), "plugin",
                           filename="gz_ros2_control-system",
                           name="gz_ros2_control::GazeboSimROS2ControlPlugin")
    _text(plugin, "parameters", controllers.resolve())

