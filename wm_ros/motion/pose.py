# SPDX-License-Identifier: Apache-2.0
"""Rigid poses as numpy arrays: metres, quaternions x y z w (REP 103)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from transforms3d.euler import euler2quat, mat2euler

Array = NDArray[np.float64]


class Pose(NamedTuple):
    """Position (3,) in metres and unit quaternion (4,) x y z w of a frame in another one."""

    position: Array
    quaternion: Array

    @staticmethod
    def identity() -> Pose:
        return Pose(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))

    @staticmethod
    def of(position: ArrayLike, quaternion: ArrayLike = (0.0, 0.0, 0.0, 1.0)) -> Pose:
        """From anything array-like; the quaternion is normalised."""
        q = np.asarray(quaternion, dtype=np.float64)
        norm = float(np.linalg.norm(q))
        if not norm > 1e-9:
            raise ValueError(f"quaternion {q.tolist()} has no length")
        return Pose(np.asarray(position, dtype=np.float64).copy(), q / norm)

    @staticmethod
    def from_matrix(matrix: Array) -> Pose:
        """From a homogeneous matrix (4, 4)."""
        return Pose(np.array(matrix[:3, 3]), quaternion_from_rotation(matrix[:3, :3]))

    def matrix(self) -> Array:
        """Homogeneous matrix (4, 4)."""
        out = np.eye(4)
        out[:3, :3] = rotation_from_quaternion(self.quaternion)
        out[:3, 3] = self.position
        return out

    def rotation(self) -> Array:
        """Rotation matrix (3, 3)."""
        return rotation_from_quaternion(self.quaternion)

    def inverse(self) -> Pose:
        q = self.quaternion * np.array([-1.0, -1.0, -1.0, 1.0])
        return Pose(-rotate(q, self.position), q)

    def compose(self, other: Pose) -> Pose:
        """`self * other`: the pose of other's frame, given in self's frame, in self's parent."""
        return Pose(
            self.position + rotate(self.quaternion, other.position),
            quaternion_multiply(self.quaternion, other.quaternion),
        )

    def apply(self, points: Array) -> Array:
        """Points (..., 3) from this frame into its parent."""
        return points @ self.rotation().T + self.position


def quaternion_multiply(a: Array, b: Array) -> Array:
    """Hamilton product of two quaternions x y z w."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return np.array(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ]
    )


def rotate(quaternion: Array, vector: Array) -> Array:
    """Rotates vector (3,) by a unit quaternion x y z w."""
    return rotation_from_quaternion(quaternion) @ vector


def rotation_from_quaternion(quaternion: Array) -> Array:
    """Rotation matrix (3, 3) of a unit quaternion x y z w."""
    x, y, z, w = (float(v) for v in quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_rotation(rotation: Array) -> Array:
    """Unit quaternion x y z w with w >= 0 of a rotation matrix (3, 3) (Shepperd's method)."""
    m = np.asarray(rotation, dtype=np.float64)
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    diagonal = np.array([m[0, 0], m[1, 1], m[2, 2], trace])
    i = int(np.argmax(diagonal))
    q = np.empty(4)
    if i == 3:
        q[:] = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 1.0 + trace
    else:
        j, k = (i + 1) % 3, (i + 2) % 3
        q[i] = 1.0 + m[i, i] - m[j, j] - m[k, k]
        q[j] = m[j, i] + m[i, j]
        q[k] = m[k, i] + m[i, k]
        q[3] = m[k, j] - m[j, k]
    q /= np.linalg.norm(q)
    return -q if q[3] < 0 else q


def quaternion_from_rpy(roll: float, pitch: float, yaw: float) -> Array:
    """Unit quaternion x y z w of URDF's and SDF's angles (rad) about the fixed axes x, y, z."""
    return np.roll(euler2quat(roll, pitch, yaw, "sxyz"), -1)


def rpy_from_rotation(rotation: Array) -> tuple[float, float, float]:
    """URDF's and SDF's roll, pitch, yaw (rad) of a rotation matrix (3, 3).

    At a pitch of +-90 degrees roll and yaw turn about one axis; all of that turn is roll.
    """
    m = np.array(rotation, dtype=np.float64)
    if np.hypot(m[0, 0], m[1, 0]) < 1e-7:  # what rounding left there has no direction
        m[:2, 0] = m[2, 1:] = 0.0
    return mat2euler(m, "sxyz")


def rotvec_from_quaternion(quaternion: Array) -> Array:
    """Rotation vector (3,), axis times angle in [0, pi], of a unit quaternion."""
    q = -quaternion if quaternion[3] < 0 else quaternion
    sine = float(np.linalg.norm(q[:3]))
    if sine < 1e-12:
        return 2.0 * q[:3]
    return q[:3] * (2.0 * np.arctan2(sine, float(q[3])) / sine)


def quaternion_from_rotvec(rotvec: ArrayLike) -> Array:
    """Unit quaternion x y z w of a rotation vector (3,)."""
    v = np.asarray(rotvec, dtype=np.float64)
    angle = float(np.linalg.norm(v))
    if angle < 1e-12:
        q = np.array([0.5 * v[0], 0.5 * v[1], 0.5 * v[2], 1.0])
        return q / np.linalg.norm(q)
    return np.append(v * (np.sin(0.5 * angle) / angle), np.cos(0.5 * angle))


def rotvec_from_rotation(rotation: Array) -> Array:
    """Rotation vector (3,) of a rotation matrix (3, 3)."""
    r = rotation.tolist()
    x, y, z = r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]  # 2 sin(angle) axis
    cosine = 0.5 * (r[0][0] + r[1][1] + r[2][2] - 1.0)
    if cosine > -0.9:
        sine = 0.5 * math.sqrt(x * x + y * y + z * z)
        scale = 0.5 if sine < 1e-9 else 0.5 * math.atan2(sine, cosine) / sine
        return np.array([scale * x, scale * y, scale * z])
    return rotvec_from_quaternion(quaternion_from_rotation(rotation))


def slerp(a: Array, b: Array, fraction: float) -> Array:
    """Spherical interpolation from a to b along the shorter way."""
    delta = quaternion_multiply(a * np.array([-1.0, -1.0, -1.0, 1.0]), b)
    return quaternion_multiply(a, quaternion_from_rotvec(fraction * rotvec_from_quaternion(delta)))


def interpolate(a: Pose, b: Pose, fraction: float) -> Pose:
    """Straight line in position, slerp in orientation."""
    return Pose(
        (1.0 - fraction) * a.position + fraction * b.position,
        slerp(a.quaternion, b.quaternion, fraction),
    )


def distance(a: Pose, b: Pose) -> tuple[float, float]:
    """Distance in metres and angle in radians between two poses."""
    dot = min(1.0, abs(float(a.quaternion @ b.quaternion)))
    if dot > 0.999:
        delta = quaternion_multiply(a.quaternion * np.array([-1.0, -1.0, -1.0, 1.0]), b.quaternion)
        angle = float(np.linalg.norm(rotvec_from_quaternion(delta)))
    else:
        angle = 2.0 * float(np.arccos(dot))
    return float(np.linalg.norm(a.position - b.position)), angle


def top_down(position: ArrayLike, yaw: float = 0.0) -> Pose:
    """Grasp from above: z down; at yaw 0 x along world x, so the fingers open along y.

    Positive yaw turns counter-clockwise seen from above.
    """
    half = 0.5 * yaw
    return Pose(
        np.asarray(position, dtype=np.float64).copy(),
        np.array([np.cos(half), np.sin(half), 0.0, 0.0]),
    )
