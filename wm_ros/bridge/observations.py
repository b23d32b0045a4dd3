# SPDX-License-Identifier: Apache-2.0
"""Observation messages and the arrays that a world model takes."""
from __future__ import annotations

import array
from typing import Any, NamedTuple

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image

from wm_ros.bridge import images, joints, poses, times
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose
from wm_ros.msg import Observation
from wm_ros.robot import RobotConfig


class View(NamedTuple):
    """What one camera saw: rgb (H, W, 3) uint8, depth (H, W) m or None, K (3, 3), optical pose."""

    name: str
    frame: str
    rgb: np.ndarray
    depth: np.ndarray | None
    intrinsics: np.ndarray
    pose: Pose


def to_message(stamp: Time, sequence: int, views: list[View], robot: RobotConfig,
               state: joints.Joints, tcp: Pose, wrench: np.ndarray,
               instruction: str = "") -> Observation:
    """One synchronised moment as a message.

    :param state: arm joints, then finger joints, in the robot's order
    :param wrench: (6,) N, N*m in the hand frame
    """
    message = Observation(sequence=int(sequence), instruction=instruction)
    message.header.stamp, message.header.frame_id = stamp, robot.base_link
    for view in views:
        height, width = view.rgb.shape[:2]
        message.camera_names.append(view.name)
        message.images.append(images.to_colour(view.rgb, stamp, view.frame))
        message.depths.append(Image() if view.depth is None
                              else images.to_depth(view.depth, stamp, view.frame))
        message.camera_infos.append(
            images.to_camera_info(view.intrinsics, (width, height), stamp, view.frame))
        message.camera_poses.append(poses.to_pose(view.pose))
    names = robot.joints
    message.joint_state = joints.to_joint_state(stamp, names, *state)
    message.tcp_pose = poses.to_pose(tcp)
    message.gripper_width = gripper_width(state.position, robot)
    message.wrench = poses.to_wrench(wrench)
    return message


def gripper_width(position: np.ndarray, robot: RobotConfig) -> float:
    """Opening (m) from the positions of arm and finger joints."""
    fingers = position[len(robot.arm_joints):]
    if not fingers.size:
        return float("nan")
    return float(np.mean(fingers) / robot.gripper.finger_scale)


class Cloud(NamedTuple):
    """What a camera sees in 3D: points (N, 3) m in the base frame, their colours (N, 3) uint8."""

    points: np.ndarray
    colours: np.ndarray


def cloud(message: Observation) -> Cloud | None:
    """The first camera's picture with depth as coloured points; None where none has depth."""
    camera = next((i for i, depth in enumerate(message.depths) if depth.height), None)
    if camera is None:
        return None
    depth = images.from_depth(message.depths[camera])
    k = images.from_camera_info(message.camera_infos[camera])
    rows, columns = np.nonzero(np.isfinite(depth) & (depth > 0))
    z = depth[rows, columns].astype(float)
    local = np.stack([(columns - k[0, 2]) / k[0, 0], (rows - k[1, 2]) / k[1, 1],
                      np.ones(len(z))], axis=1) * z[:, None]  # pixel centres at whole numbers
    colours = images.from_colour(message.images[camera])[rows, columns] if message.images else (
        np.full((len(z), 3), 128, np.uint8))
    return Cloud(poses.from_pose(message.camera_poses[camera]).apply(local), colours)


def set_latent(message: Observation, latent: np.ndarray) -> None:
    """Put an encoding of any shape into the message."""
    flat = np.ascontiguousarray(latent, dtype=np.float32)
    message.latent = array.array("f", flat.tobytes())
    message.latent_shape = [int(n) for n in flat.shape]


def latent(message: Observation) -> np.ndarray | None:
    """The encoding in the message with its shape, None where there is none."""
    if not len(message.latent):
        return None
    return np.asarray(message.latent, dtype=np.float32).reshape(
        [int(n) for n in message.latent_shape])


def fields(message: Observation, robot: RobotConfig) -> dict[str, Any]:
    """The fields of ``wm_ros.world_model.Observation`` (numpy, SI units, base frame).

    :raises UserError: when a camera is missing or a number is not finite
    """
    index = {name: i for i, name in enumerate(message.camera_names)}
    missing = [name for name in ("scene", "wrist") if name not in index]
    if missing:
        raise UserError(f"The observation lacks the {' and the '.join(missing)} camera; check "
                        "that it is plugged in and that topics.yaml names its topics.")
    scene = index["scene"]
    rgb = images.from_colour(message.images[scene])
    depth = message.depths[scene]
    state = joints.from_joint_state(message.joint_state, robot.arm_joints)
    camera = poses.from_pose(message.camera_poses[scene])
    tcp = poses.from_pose(message.tcp_pose)
    return {
        "stamp": times.seconds(message.header.stamp),
        "scene_rgb": rgb,
        "scene_depth": (images.from_depth(depth) if len(depth.data)
                        else np.zeros(rgb.shape[:2], np.float32)),
        "wrist_rgb": images.from_colour(message.images[index["wrist"]]),
        "scene_K": images.from_camera_info(message.camera_infos[scene]),
        "scene_position": camera.position,
        "scene_quaternion": camera.quaternion,
        "q": state.position,
        "tcp_position": tcp.position,
        "tcp_quaternion": tcp.quaternion,
        "gripper": float(message.gripper_width),
        "wrench": poses.from_wrench(message.wrench),
        "latent": latent(message),
    }
