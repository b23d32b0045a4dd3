# SPDX-License-Identifier: Apache-2.0
"""An episode of a data set as a bag with the topics of the nodes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, WrenchStamped
from mcap.writer import CompressionType
from rclpy.serialization import serialize_message
from std_msgs.msg import Float32, String
from tf2_msgs.msg import TFMessage

from wm_ros.bridge import images, joints, poses, times
from wm_ros.data.any_bag import AnyBag
from wm_ros.data.bag import BagWriter
from wm_ros.data.episode import FPS, Episode
from wm_ros.data.topic_map import TopicMap
from wm_ros.motion.pose import Pose
from wm_ros.msg import ActionChunk
from wm_ros.robot import RobotConfig

START = 1000  # s, stamp of the first row
CHUNK = 4 << 20  # bytes; a bag that is written at once needs no small ones
_SPAN = {"sec": 0, "nsec": 0}
LATCHED: list[dict[str, Any]] = [{
    "history": "keep_last", "depth": 1, "reliability": "reliable",
    "durability": "transient_local", "deadline": _SPAN, "lifespan": _SPAN,
    "liveliness": "automatic", "liveliness_lease_duration": _SPAN,
    "avoid_ros_namespace_conventions": False}]


def scratch_of(folder: Path) -> Path:
    """Where a bag is written until it is whole; what an interrupted run left there is removed."""
    scratch = folder.with_name(f".{folder.name}.part") / folder.name
    shutil.rmtree(scratch.parent, ignore_errors=True)
    return scratch


def finish(scratch: Path, folder: Path) -> None:
    """Move a whole bag to its place."""
    os.rename(scratch, folder)
    scratch.parent.rmdir()


def copy(bag: AnyBag, folder: Path, topics: Container[str] | None = None) -> int:
    """Every message of the named topics, byte by byte, with times and profiles; returns how many.

    `folder` appears only when it is whole.
    """
    scratch = scratch_of(folder)
    scratch.parent.mkdir(parents=True)
    writer = BagWriter(scratch, CHUNK, CompressionType.ZSTD)
    profiles, definitions = bag.profiles(), bag.definitions()
    for raw in bag.messages(topics):
        writer.add_topic(raw.topic, raw.type, profiles.get(raw.topic), definitions.get(raw.type))
        writer.write(raw.topic, raw.data, raw.log_time, raw.publish_time)
    writer.close()
    finish(scratch, folder)
    return writer.messages


def write(episode: Episode, topics: TopicMap, folder: Path) -> int:
    """An episode as a bag at 10 Hz; everything that the episode holds is in it. Returns messages.

    `folder` appears only when it is whole.
    """
    scratch = scratch_of(folder)
    scratch.parent.mkdir(parents=True)
    out = _Writer(scratch, topics)
    out.begin(episode)
    for t in range(len(episode)):
        out.row(episode, t)
    out.writer.close()
    finish(scratch, folder)
    return out.writer.messages


class _Writer:
    def __init__(self, folder: Path, topics: TopicMap) -> None:
        self.writer = BagWriter(folder, CHUNK, CompressionType.ZSTD)
        self.topics, self.robot = topics, topics.robot
        self.time = START * 10**9

    def put(self, role: str, message: Any, latched: bool = False) -> None:
        kind = type(message)
        topic = self.topics.topics[role]
        name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        self.writer.add_topic(topic, name, LATCHED if latched else None)
        self.writer.write(topic, serialize_message(message), self.time)

    def begin(self, episode: Episode) -> None:
        """What holds for the whole episode."""
        stamp = times.stamp(START)
        about = {name: getattr(episode, name) for name in
                 ("task", "room", "seed", "success", "perturbed", "deliberate_failure",
                  "practised")}
        self.put("episode", String(data=json.dumps(about)), latched=True)
        self.put("instruction", String(data=episode.instruction), latched=True)
        identity = poses.to_transform(Pose.identity(), self.robot.hand_link,
                                      self.topics.frames["wrist_camera"], stamp)
        # where the wrist camera sits is not in a data set; its own frame has to stand somewhere
        fixed = [identity]
        if (episode.camera == episode.camera[0]).all():
            fixed.append(self._camera(episode, 0))
        self.put("tf_static", TFMessage(transforms=fixed), latched=True)

    def _camera(self, episode: Episode, t: int) -> Any:
        pose = Pose.of(episode.camera[t, 9:12], episode.camera[t, 12:16])
        return poses.to_transform(pose, self.robot.base_link, self.topics.frames["scene_camera"],
                                  times.stamp(self.time * 1e-9))

    def row(self, episode: Episode, t: int) -> None:
        """One moment: all sensors with the same stamp, then what the arm was told next."""
        self.time = START * 10**9 + t * (10**9 // FPS)
        stamp = times.stamp(self.time * 1e-9)
        state = np.asarray(episode.state[t], float)
        if not (episode.camera == episode.camera[0]).all():
            self.put("tf", TFMessage(transforms=[self._camera(episode, t)]))
        self.put("joint_states", joint_state(self.robot, stamp, state))
        tcp = PoseStamped(pose=poses.to_pose(Pose(state[8:11], state[11:15])))
        tcp.header.stamp, tcp.header.frame_id = stamp, self.robot.base_link
        self.put("tcp_pose", tcp)
        wrench = WrenchStamped(wrench=poses.to_wrench(episode.wrench[t]))
        wrench.header.stamp, wrench.header.frame_id = stamp, self.robot.hand_link
        self.put("wrench", wrench)
        self._cameras(episode, t, stamp)
        self.put("progress", Float32(data=float(episode.progress[t])))
        for role, values in (("action", episode.action), ("executed_action", episode.executed)):
            self.put(role, self._action(values[t], t))

    def _cameras(self, episode: Episode, t: int, stamp: Any) -> None:
        matrix = np.asarray(episode.camera[t, :9], float).reshape(3, 3)
        for camera in ("scene", "wrist"):
            frame = self.topics.frames[f"{camera}_camera"]
            rgb = episode.images[camera][t]
            # the wrist camera's calibration is not in a data set; the scene camera's stands for it
            self.put(f"{camera}_info", images.to_camera_info(
                matrix, (rgb.shape[1], rgb.shape[0]), stamp, frame))
            self.put(f"{camera}_color", images.to_colour(rgb, stamp, frame))
        depth = images.NumpyBridge().cv2_to_imgmsg(episode.depth[t], "16UC1")
        depth.header.stamp = stamp
        depth.header.frame_id = self.topics.frames["scene_camera"]
        self.put("scene_depth", depth)

    def _action(self, values: np.ndarray, t: int) -> ActionChunk:
        """One pose, due when the next row is."""
        numbers = np.asarray(values, float)
        message = ActionChunk(id=f"row {t}", observation_sequence=t + 1, dt=1.0 / FPS,
                              representation=ActionChunk.EE_POSE, tcp_link=self.robot.tcp_link,
                              predicted_success=float("nan"), uncertainty=float("nan"),
                              predicted_progress=float("nan"))
        message.header.frame_id = self.robot.base_link
        message.header.stamp = times.stamp((self.time + 10**9 // FPS) * 1e-9)
        message.observation_stamp = times.stamp(self.time * 1e-9)
        message.poses = [poses.to_pose(Pose(numbers[:3], numbers[3:7]))]
        message.gripper_width = [float(numbers[7])]
        message.validity = times.duration(0.6)
        return message


def joint_state(robot: RobotConfig, stamp: Any, state: np.ndarray) -> Any:
    """JointState of arm and fingers from a row's state vector."""
    finger = float(state[robot.dof]) * robot.gripper.finger_scale
    count = len(robot.finger_joints)
    position = np.append(state[:robot.dof], [finger] * count)
    return joints.to_joint_state(stamp, robot.joints, position)
