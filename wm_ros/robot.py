# SPDX-License-Identifier: Apache-2.0
"""What wm_ros knows about a robot: one YAML file in config/robots/."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wm_ros.errors import UserError, said
from wm_ros.motion.pose import Array, Pose, distance
from wm_ros.motion.urdf import link_poses
from wm_ros.paths import config, robot_data

SAME_TOOL = 1e-4  # m and rad, between the robot's file and its URDF


@dataclass(frozen=True)
class Gripper:
    """A parallel gripper; widths are the distance between the fingertips in metres."""

    closed_width: float
    open_width: float
    max_effort: float  # N
    finger_scale: float  # finger joint value = width * finger_scale
    command_scale: float  # GripperCommand position = width * command_scale
    max_speed: float  # m/s, change of width

    def clamp(self, width: float) -> float:
        return float(min(max(width, self.closed_width), self.open_width))


@dataclass(frozen=True)
class Controllers:
    """Names of the ros2_control controllers (their actions live under these names).

    :param gripper_action: of the gripper's; other drivers than ros2_control's name it otherwise
    """

    arm: str
    gripper: str
    gripper_action: str = "gripper_cmd"

    @property
    def gripping(self) -> str:
        """The gripper's action as it is called on the wire."""
        return f"/{self.gripper}/{self.gripper_action}"


@dataclass(frozen=True)
class Servo:
    """Joint servos of the simulated robot: N m/rad and N m s/rad; gripper N/m and N s/m."""

    stiffness: Array
    damping: Array
    armature: Array
    gripper_stiffness: float
    gripper_damping: float


@dataclass(frozen=True)
class RobotConfig:
    """Names, limits and gains of one robot arm with a parallel gripper.

    Limits: position (n, 2) rad, velocity (n,) rad/s, acceleration (n,) rad/s^2, effort (n,) N m,
    symmetric but for positions. `tcp_offset` is the tool centre point in `hand_link`.
    """

    name: str
    urdf: str
    srdf: str
    base_link: str
    hand_link: str
    tcp_link: str
    tcp_offset: Pose
    attach_link: str
    planning_group: str
    group_aliases: tuple[str, ...]
    srdf_group: str
    gripper_group: str
    arm_joints: tuple[str, ...]
    finger_joints: tuple[str, ...]
    home: Array
    position_limits: Array
    velocity_limits: Array
    acceleration_limits: Array
    effort_limits: Array
    gripper: Gripper
    controllers: Controllers
    servo: Servo

    @property
    def dof(self) -> int:
        return len(self.arm_joints)

    @property
    def joints(self) -> tuple[str, ...]:
        """The arm's joints, then those of its fingers."""
        return (*self.arm_joints, *self.finger_joints)

    @property
    def urdf_path(self) -> Path:
        return robot_data(self.urdf)

    @cached_property
    def model_name(self) -> str:
        """What the URDF calls the robot: MoveIt and RViz compare by this name."""
        return ElementTree.parse(self.urdf_path).getroot().get("name", "")

    @property
    def srdf_path(self) -> Path:
        return robot_data(self.srdf)

    def is_group(self, name: str) -> bool:
        """Whether a MoveIt client means the arm by this group name."""
        return name == self.planning_group or name in self.group_aliases


def load_robot(name: str = "panda") -> RobotConfig:
    """Reads config/robots/<name>.yaml, or the file itself if `name` is a path to one.

    :raises UserError: if a file is missing or does not describe a robot.
    """
    is_path = name.endswith((".yaml", ".yml"))
    path = Path(name).expanduser() if is_path else config("robots", f"{name}.yaml")
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise UserError(f"There is no robot file {path}." if is_path else
                        f"no robot file {path}: known robots are {', '.join(known) or 'none'}")
    try:
        data = yaml.safe_load(path.read_text())
        if not isinstance(data, dict):
            raise ValueError("it is no list of settings with names")
        for key in ("urdf", "srdf"):  # a plain path is meant from where the YAML file lies
            if "://" not in data[key]:
                data[key] = str(path.resolve().parent / data[key])
        robot = parse_robot(data)
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} does not describe a robot ({said(error)}): copy "
                        "config/robots/panda.yaml, and change it.") from error
    for key, file in (("urdf", robot.urdf_path), ("srdf", robot.srdf_path)):
        if not file.is_file():
            raise UserError(f"{path} names {file} as its {key}, but there is no such file; give a "
                            "path from where the robot's file lies, or package://.")
    _check_tool(path, robot)
    return robot


def _check_tool(path: Path, robot: RobotConfig) -> None:
    """The tool's link in the URDF, where MoveIt plans, must be where everybody else means it."""
    hand, tool = robot.hand_link, robot.tcp_link
    try:
        urdf = ElementTree.parse(robot.urdf_path).getroot()
        found = link_poses(urdf, hand).get(tool)
    except (ElementTree.ParseError, TypeError, ValueError) as error:
        raise UserError(f"{robot.urdf_path} is not a plain URDF: {error}.") from error
    if urdf.find(f"link[@name='{tool}']") is None:
        return  # it is added where tcp_offset says
    if found is None:
        raise UserError(f"{path}: no fixed joints lead from its hand_link {hand} to its tcp_link "
                        f"{tool}; name links that are fixed to each other, or a tcp_link that the "
                        "URDF does not have.")
    if max(distance(found, robot.tcp_offset)) > SAME_TOOL:
        position, quaternion = ([round(float(v), 6) for v in part] for part in found)
        raise UserError(f"{path}: tcp_offset is not where its URDF has the tcp_link {tool}; write "
                        f"position {position} and quaternion {quaternion} there, or name a "
                        "tcp_link that the URDF does not have.")


def parse_robot(data: dict[str, Any]) -> RobotConfig:
    """Turns the parsed YAML into a RobotConfig, with shapes and values checked.

    :raises ValueError: one of them cannot be; KeyError: one is missing
    """
    for block in ("limits", "gripper", "controllers", "servo", "tcp_offset"):
        if not isinstance(data[block], dict):
            raise ValueError(f"{block} is empty")
    joints = tuple(data["arm_joints"])
    n = len(joints)

    def vector(values: Any, what: str, *shape: int) -> Array:
        array = np.asarray(values, dtype=np.float64)
        if array.shape != (shape or (n,)) or not np.isfinite(array).all():
            raise ValueError(f"{what} needs {shape or (n,)} finite numbers")
        array.setflags(write=False)
        return array

    def limit(kind: str) -> Array:
        values = vector(data["limits"][kind], f"limits.{kind}")
        if (values <= 0).any():
            raise ValueError(f"limits.{kind} must be above 0")
        return values

    def number(value: Any, what: str) -> float:
        return float(vector([value], what, 1)[0])

    servo, offset = data["servo"], data["tcp_offset"]
    position = vector(data["limits"]["position"], "limits.position", n, 2)
    if (position[:, 0] >= position[:, 1]).any():
        raise ValueError("limits.position must be pairs of a lower and a higher one")
    home = vector(data["home"], "home")
    if (home < position[:, 0]).any() or (home > position[:, 1]).any():
        raise ValueError("home lies outside the position limits")
    gripper = Gripper(**{key: number(value, f"gripper.{key}")
                         for key, value in data["gripper"].items()})
    if not (0 <= gripper.closed_width < gripper.open_width and gripper.max_speed > 0
            and gripper.max_effort >= 0 and gripper.finger_scale and gripper.command_scale):
        raise ValueError("gripper needs an open_width above its closed_width, a max_speed above "
                         "0, and scales other than 0")
    return RobotConfig(
        name=data["name"],
        urdf=data["urdf"],
        srdf=data["srdf"],
        base_link=data["base_link"],
        hand_link=data["hand_link"],
        tcp_link=data["tcp_link"],
        tcp_offset=Pose.of(vector(offset["position"], "tcp_offset.position", 3),
                           vector(offset["quaternion"], "tcp_offset.quaternion", 4)),
        attach_link=data["attach_link"],
        planning_group=data["planning_group"],
        group_aliases=tuple(data.get("group_aliases", ())),
        srdf_group=data["srdf_group"],
        gripper_group=data["gripper_group"],
        arm_joints=joints,
        finger_joints=tuple(data["finger_joints"]),
        home=home,
        position_limits=position,
        velocity_limits=limit("velocity"),
        acceleration_limits=limit("acceleration"),
        effort_limits=limit("effort"),
        gripper=gripper,
        controllers=Controllers(**data["controllers"]),
        servo=Servo(
            stiffness=vector(servo["stiffness"], "servo.stiffness"),
            damping=vector(servo["damping"], "servo.damping"),
            armature=vector(servo["armature"], "servo.armature"),
            gripper_stiffness=number(servo["gripper_stiffness"], "servo.gripper_stiffness"),
            gripper_damping=number(servo["gripper_damping"], "servo.gripper_damping"),
        ),
    )
