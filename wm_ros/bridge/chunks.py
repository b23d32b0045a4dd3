# SPDX-License-Identifier: Apache-2.0
"""Action chunks between messages and numpy, checked at the border."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wm_ros.bridge import poses, times
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose
from wm_ros.msg import ActionChunk


class Chunk(NamedTuple):
    """Absolute tool poses in the base frame at a fixed rate, with the gripper's openings (m)."""

    id: str
    stamp: float  # s, when the first pose is due
    observation_stamp: float  # s
    dt: float
    poses: list[Pose]
    gripper: np.ndarray  # (H,) m
    validity: float  # s after stamp
    success: float
    uncertainty: float
    progress: float = float("nan")

    @property
    def extent(self) -> float:
        """How far the tool gets from the first pose (m); jitter does not add up."""
        points = np.array([pose.position for pose in self.poses])
        return float(np.linalg.norm(points - points[0], axis=1).max())


def to_message(chunk: Chunk, frame: str, tcp_link: str, sequence: int = 0) -> ActionChunk:
    """Chunk -> message in the base frame ``frame``."""
    message = ActionChunk(id=chunk.id, observation_sequence=int(sequence), dt=float(chunk.dt),
                          representation=ActionChunk.EE_POSE, tcp_link=tcp_link,
                          predicted_success=float(chunk.success),
                          uncertainty=float(chunk.uncertainty),
                          predicted_progress=float(chunk.progress))
    message.header.stamp, message.header.frame_id = times.stamp(chunk.stamp), frame
    message.observation_stamp = times.stamp(chunk.observation_stamp)
    message.poses = [poses.to_pose(pose) for pose in chunk.poses]
    message.gripper_width = [float(w) for w in chunk.gripper]
    message.validity = times.duration(chunk.validity)
    return message


def from_arrays(position: np.ndarray, quaternion: np.ndarray) -> list[Pose]:
    """(H, 3) m and (H, 4) xyzw -> poses.

    :raises UserError: when a number is not finite
    """
    return [poses.checked(p, q) for p, q in zip(position, quaternion, strict=True)]


def from_message(message: ActionChunk, frame: str, tcp_link: str) -> Chunk:
    """Message -> Chunk; refuses what could not be executed safely.

    :raises UserError: wrong representation, frame or link, lengths that disagree, numbers that
        are not finite, no time step, no validity, or no stamp
    """
    if message.representation != ActionChunk.EE_POSE:
        raise UserError(f"Chunk {message.id} does not hold tool poses (EE_POSE); only those are "
                        "executed.")
    if message.header.frame_id != frame or message.tcp_link != tcp_link:
        raise UserError(f"Chunk {message.id} is for {message.tcp_link} in "
                        f"{message.header.frame_id}, but this robot moves {tcp_link} in {frame}.")
    if not message.poses or len(message.gripper_width) not in (0, len(message.poses)):
        raise UserError(f"Chunk {message.id} holds {len(message.poses)} poses and "
                        f"{len(message.gripper_width)} gripper openings.")
    validity, start = times.seconds(message.validity), times.seconds(message.header.stamp)
    if not (np.isfinite(message.dt) and message.dt > 0 and validity > 0 and start > 0):
        raise UserError(f"Chunk {message.id} does not say when it starts, how fast it runs or how "
                        "long it is valid.")
    gripper = np.array(message.gripper_width, dtype=float)
    if not np.isfinite(gripper).all():
        raise UserError(f"Chunk {message.id} holds gripper openings that are not finite.")
    return Chunk(message.id, start, times.seconds(message.observation_stamp), float(message.dt),
                 [poses.from_pose(pose) for pose in message.poses], gripper, validity,
                 float(message.predicted_success), float(message.uncertainty),
                 float(message.predicted_progress))


def kept_in(chunk: Chunk, bounds: np.ndarray, excess: float) -> Chunk:
    """The chunk with poses that lie slightly outside of the work space moved to its edge.

    :param bounds: (3, 2) lowest and highest x, y, z of the tool in the base frame (m)
    :param excess: how far outside is slight (m); what is further out stays, to be refused
    """
    kept = []
    for pose in chunk.poses:
        inside = np.clip(pose.position, bounds[:, 0], bounds[:, 1])
        slight = np.abs(inside - pose.position).max() <= excess
        kept.append(Pose(inside, pose.quaternion) if slight else pose)
    return chunk._replace(poses=kept)


def check_reach(chunk: Chunk, present: Pose, bounds: np.ndarray, step: float, jump: float) -> None:
    """Refuse a chunk that leaves the work space or jumps.

    :param bounds: (3, 2) lowest and highest x, y, z of the tool in the base frame (m)
    :param step: largest distance between two poses (m)
    :param jump: largest distance from the present tool position to the chunk (m)
    :raises UserError: when the chunk breaks one of these
    """
    points = np.array([pose.position for pose in chunk.poses])
    if (points < bounds[:, 0]).any() or (points > bounds[:, 1]).any():
        raise UserError(f"Chunk {chunk.id} leaves the work space that safety.yaml allows.")
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    if steps.size and steps.max() > step:
        raise UserError(f"Chunk {chunk.id} jumps {steps.max():.3f} m between two poses "
                        f"(allowed: {step:.3f} m).")
    away = np.linalg.norm(points - present.position, axis=1).min()
    if away > jump:
        raise UserError(f"Chunk {chunk.id} starts {away:.3f} m away from the arm "
                        f"(allowed: {jump:.3f} m).")


def check_fresh(chunk: Chunk, now: float) -> None:
    """Refuse a chunk whose time has passed.

    :raises UserError: when ``now`` (s) lies after the chunk's start plus its validity
    """
    late = now - (chunk.stamp + chunk.validity)
    if late > 0:
        raise UserError(f"Chunk {chunk.id} came {late:.2f} s too late and was dropped.")
