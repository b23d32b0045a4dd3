# SPDX-License-Identifier: Apache-2.0
"""Poses, transforms and wrenches between geometry_msgs and numpy (metres, quaternions xyzw)."""
from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import (
    Point,
    PoseArray,
    Quaternion,
    Transform,
    TransformStamped,
    Vector3,
    Wrench,
)
from geometry_msgs.msg import (
    Pose as PoseMsg,
)

from wm_ros.bridge import times
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose


def from_pose(message: PoseMsg) -> Pose:
    """geometry_msgs/Pose -> Pose, with a unit quaternion.

    :raises UserError: when a number is not finite or the quaternion has no length
    """
    p, q = message.position, message.orientation
    position = np.array([p.x, p.y, p.z])
    return checked(position, np.array([q.x, q.y, q.z, q.w]))


def checked(position: np.ndarray, quaternion: np.ndarray) -> Pose:
    """A Pose of finite numbers with a unit quaternion, or a UserError."""
    length = float(np.linalg.norm(quaternion))
    if not (np.isfinite(position).all() and np.isfinite(length)):
        raise UserError("A pose holds numbers that are not finite (NaN or infinity).")
    if length < 1e-3:
        raise UserError("A pose holds a quaternion of length zero.")
    return Pose(np.asarray(position, dtype=float), np.asarray(quaternion, dtype=float) / length)


def to_pose(pose: Pose) -> PoseMsg:
    """Pose -> geometry_msgs/Pose."""
    return PoseMsg(position=point(pose.position), orientation=_quaternion(pose.quaternion))


def to_array(positions: np.ndarray, quaternions: np.ndarray, frame: str,
             stamp: float) -> PoseArray:
    """(n, 3) m and (n, 4) xyzw in ``frame`` -> geometry_msgs/PoseArray."""
    message = PoseArray(poses=[to_pose(Pose(p, q)) for p, q in
                               zip(positions, quaternions, strict=True)])
    message.header.frame_id, message.header.stamp = frame, times.stamp(stamp)
    return message


def from_transform(message: Transform) -> Pose:
    """geometry_msgs/Transform -> Pose of the child in the parent."""
    t, q = message.translation, message.rotation
    return checked(np.array([t.x, t.y, t.z]), np.array([q.x, q.y, q.z, q.w]))


def to_transform(pose: Pose, parent: str, child: str, stamp: Time) -> TransformStamped:
    """Pose of ``child`` in ``parent`` -> geometry_msgs/TransformStamped."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, stamp
    x, y, z = (float(v) for v in pose.position)
    message.transform = Transform(translation=Vector3(x=x, y=y, z=z),
                                  rotation=_quaternion(pose.quaternion))
    return message


def from_wrench(message: Wrench) -> np.ndarray:
    """geometry_msgs/Wrench -> (6,) N and N*m."""
    f, t = message.force, message.torque
    return np.array([f.x, f.y, f.z, t.x, t.y, t.z])


def to_wrench(wrench: np.ndarray) -> Wrench:
    """(6,) N and N*m -> geometry_msgs/Wrench."""
    fx, fy, fz, tx, ty, tz = (float(v) for v in wrench)
    return Wrench(force=Vector3(x=fx, y=fy, z=fz), torque=Vector3(x=tx, y=ty, z=tz))


def point(position: np.ndarray) -> Point:
    """(3,) m -> geometry_msgs/Point."""
    x, y, z = (float(v) for v in position)
    return Point(x=x, y=y, z=z)


def _quaternion(quaternion: np.ndarray) -> Quaternion:
    x, y, z, w = (float(v) for v in quaternion)
    return Quaternion(x=x, y=y, z=z, w=w)
