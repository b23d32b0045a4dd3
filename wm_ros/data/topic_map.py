# SPDX-License-Identifier: Apache-2.0
"""Which topic of a bag carries what: `config/topics.yaml`, or a YAML file of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from wm_ros import paths
from wm_ros.errors import UserError
from wm_ros.robot import RobotConfig, load_robot

IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
# What a topic may be for -> the message types that can be read as that
ROLES: dict[str, tuple[str, ...]] = {
    "scene_color": IMAGES,
    "scene_info": ("sensor_msgs/msg/CameraInfo",),
    "scene_depth": IMAGES,
    "wrist_color": IMAGES,
    "wrist_info": ("sensor_msgs/msg/CameraInfo",),
    "joint_states": ("sensor_msgs/msg/JointState",),
    "wrench": ("geometry_msgs/msg/WrenchStamped",),
    "tf": ("tf2_msgs/msg/TFMessage",),
    "tf_static": ("tf2_msgs/msg/TFMessage",),
    "instruction": ("std_msgs/msg/String",),
    "commands": ("control_msgs/msg/JointTrajectoryControllerState",),
    "furniture": ("moveit_msgs/msg/PlanningScene",),
    "action": ("wm_ros/msg/ActionChunk",),
    "executed_action": ("wm_ros/msg/ActionChunk",),
    "tcp_pose": ("geometry_msgs/msg/PoseStamped",),
    "progress": ("std_msgs/msg/Float32",),
    "episode": ("std_msgs/msg/String",),
}
# those that tell of the arm
ARM = ("joint_states", "wrench", "commands", "action", "executed_action", "tcp_pose")
NEEDED = ("scene_color", "scene_info", "wrist_color", "wrist_info", "joint_states")


@dataclass(frozen=True)
class TopicMap:
    """Topics by role, frames for messages without one, and camera poses that no /tf_static tells.

    :param topics: role (see ``ROLES``) -> topic; an empty topic is not used
    :param camera_poses: optical frame -> {parent, position (m), quaternion (xyzw)}
    """

    robot: RobotConfig
    topics: dict[str, str]
    frames: dict[str, str]
    camera_poses: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def roles(self) -> dict[str, str]:
        """Topic -> role."""
        return {topic: role for role, topic in self.topics.items() if topic}

    def of_images(self) -> TopicMap:
        """The same without what tells of the arm: neither needed nor used."""
        return replace(self, topics={k: v for k, v in self.topics.items() if k not in ARM})

    def names(self) -> dict[str, str]:
        """Topics and frames by the names that they have in ``config/topics.yaml``."""
        return {**{f"topics.{k}": v for k, v in self.topics.items()},
                **{f"frames.{k}": v for k, v in self.frames.items()}}

    def check(self, found: Mapping[str, tuple[str, int]], name: str) -> None:
        """Whether a bag holds what is needed.

        :param found: topic of the bag -> (type, number of messages)
        :raises UserError: a needed topic lacks, or a topic is of a type that is not read
        """
        for role, topic in self.topics.items():
            if topic not in found:
                if role in NEEDED:
                    raise UserError(
                        f"{name} holds no {topic or role} ({role}){_candidates(role, found)}; say "
                        "which topic it is with --topics MAP.yaml, see "
                        "config/bag_topics.yaml for an example.")
                continue
            kind = found[topic][0]
            if kind not in ROLES[role]:
                raise UserError(f"{topic} in {name} is of type {kind}; for {role} one of "
                                f"{', '.join(ROLES[role])} is read. Name another topic with "
                                "--topics MAP.yaml.")


def load_map(path: Path | str | None = None) -> TopicMap:
    """The map of a YAML file over the one of ``config/topics.yaml``.

    :param path: None for the suite's own names. A file as ``config/bag_topics.yaml``, or one in
        the form of ``config/topics.yaml``, which the nodes read
    :raises UserError: the file cannot be read, names a role that does not exist, or one topic
        for two
    """
    own = _read(paths.config("topics.yaml"))
    given = {} if path is None else _read(Path(path))
    robot = load_robot(str(given.get("robot") or own["robot"]))
    topics = dict.fromkeys(ROLES, "")
    topics |= {"tf": "/tf", "tf_static": "/tf_static", "instruction": "/wm/instruction",
               "commands": f"/{robot.controllers.arm}/controller_state",
               "furniture": "/wm/furniture", "action": "/recorded/action",
               "executed_action": "/recorded/executed_action", "tcp_pose": "/recorded/tcp_pose",
               "progress": "/recorded/progress", "episode": "/recorded/episode"}
    frames: dict[str, str] = {}
    for layer in (own, given):
        unknown = sorted(map(str, set(layer.get("topics", {})) - set(ROLES)))
        if unknown:
            raise UserError(f"{path} names {', '.join(unknown)} under topics; what can be named "
                            f"is {', '.join(ROLES)}.")
        topics |= {k: str(v or "") for k, v in layer.get("topics", {}).items()}
        frames |= {k: str(v or "") for k, v in layer.get("frames", {}).items()}
    topics = {role: topic and "/" + topic.lstrip("/") for role, topic in topics.items()}
    used: dict[str, str] = {}
    for role, topic in topics.items():
        if topic and used.setdefault(topic, role) != role:
            raise UserError(f"{topic} stands for {used[topic]} and {role}: each needs a topic of "
                            "its own, or none ('').")
    return TopicMap(robot, topics, frames, dict(given.get("camera_poses") or {}))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give the YAML file that "
                        "names the topics.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no YAML file: {str(error).splitlines()[0]}.") from error
    if isinstance(content, dict) and "/**" in content:  # a parameter file of the nodes
        content = (content["/**"] or {}).get("ros__parameters") or {}
    if not isinstance(content, dict) or not all(
            isinstance(content.get(k) or {}, dict) for k in ("topics", "frames", "camera_poses")):
        raise UserError(f"{path} must hold `topics:` with lines such as "
                        "`scene_color: /camera/color/image_raw`.")
    return {k: v for k, v in content.items() if v is not None}


def _candidates(role: str, found: Mapping[str, tuple[str, int]]) -> str:
    near = [topic for topic, (kind, _) in found.items() if kind in ROLES[role]]
    return f", but {', '.join(sorted(near))} of a type that fits" if near else ""
