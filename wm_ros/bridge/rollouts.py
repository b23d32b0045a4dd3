# SPDX-License-Identifier: Apache-2.0
"""Imagined futures between messages and numpy."""
from __future__ import annotations

import array
from typing import NamedTuple

import numpy as np

from wm_ros.bridge import images, poses, times
from wm_ros.motion.pose import Pose
from wm_ros.msg import ImaginedRollout


class Rollout(NamedTuple):
    """One imagined future: frames (F, H, W, 3) uint8 at times (F,) s after ``stamp``."""

    chunk_id: str
    stamp: float
    frames: np.ndarray
    times: np.ndarray
    tcp_path: list[Pose]
    success: float
    uncertainty: float
    latents: np.ndarray | None = None


def to_message(rollout: Rollout, frame: str, camera_frame: str = "") -> ImaginedRollout:
    """Rollout -> message; ``frame`` is the base frame, ``camera_frame`` the images'."""
    message = ImaginedRollout(chunk_id=rollout.chunk_id, predicted_success=float(rollout.success),
                              uncertainty=float(rollout.uncertainty))
    message.header.stamp, message.header.frame_id = times.stamp(rollout.stamp), frame
    for moment, image in zip(rollout.times, rollout.frames, strict=True):
        at = times.stamp(rollout.stamp + float(moment))
        message.frames.append(images.to_colour(image, at, camera_frame))
        message.times.append(times.duration(float(moment)))
    message.tcp_path = [poses.to_pose(pose) for pose in rollout.tcp_path]
    if rollout.latents is not None:
        flat = np.ascontiguousarray(rollout.latents, dtype=np.float32)
        message.latent = array.array("f", flat.tobytes())
        message.latent_shape = [int(n) for n in flat.shape]
    return message


def from_message(message: ImaginedRollout) -> Rollout:
    """Message -> Rollout."""
    frames = [images.from_colour(frame) for frame in message.frames]
    latents = None
    if len(message.latent):
        latents = np.asarray(message.latent, dtype=np.float32).reshape(
            [int(n) for n in message.latent_shape])
    return Rollout(message.chunk_id, times.seconds(message.header.stamp),
                   np.array(frames, dtype=np.uint8),
                   np.array([times.seconds(t) for t in message.times]),
                   [poses.from_pose(pose) for pose in message.tcp_path],
                   float(message.predicted_success), float(message.uncertainty), latents)
