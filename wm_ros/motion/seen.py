# SPDX-License-Identifier: Apache-2.0
"""Things on a table, as boxes, from the points of one depth image."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from wm_ros.motion.pose import Array, Pose, quaternion_from_rotvec

CELL = 0.01  # m, cells in which points are neighbours
ABOVE = 0.012  # m, nothing lower than this over the table is a thing
LEAST_CELLS = 2
SMALLEST, LARGEST = 0.015, 0.40  # m, sides of what is taken for a thing


class Box(NamedTuple):
    """A box that stands upright: pose of its centre in the base frame (m), full sizes (3,) m."""

    pose: Pose
    size: Array

    def distance(self, point: Array) -> float:
        """From a point in the base frame to the box (m); 0 inside."""
        local = self.pose.inverse().apply(np.asarray(point, dtype=float)[None])[0]
        return float(np.linalg.norm(np.maximum(np.abs(local) - self.size / 2, 0.0)))


Mask = NDArray[np.bool_]


def counted(points: Array, low: Array, high: Array, table: float = 0.0) -> Mask:
    """(N,) bool: which points (N, 3) lie within the bounds (m) and above the table."""
    within = ((points >= low) & (points <= high)).all(axis=1)
    return np.asarray(within & (points[:, 2] > table + ABOVE))


def inside(points: Array, pose: Pose, size: Array, margin: float) -> Mask:
    """(N,) bool: which points (N, 3) lie in a box that is larger by ``margin`` (m) all around."""
    local = pose.inverse().apply(points)
    return np.asarray((np.abs(local) <= np.asarray(size) / 2 + margin).all(axis=1))


def near_chain(points: Array, joints: Sequence[Array], radius: float) -> Mask:
    """(N,) bool: which points (N, 3) lie within ``radius`` (m) of the lines between ``joints``."""
    near = np.zeros(len(points), dtype=bool)
    for a, b in zip(joints[:-1], joints[1:], strict=True):
        way = b - a
        length = float(way @ way)
        share = np.clip((points - a) @ way / length, 0.0, 1.0) if length > 0 else 0.0
        foot = a + np.multiply.outer(share, way) if length > 0 else a
        near |= np.linalg.norm(points - foot, axis=1) < radius
    return near


def boxes(points: Array, low: Array, high: Array, table: float = 0.0) -> list[Box]:
    """Groups of neighbouring points above the table, each as the smallest upright box.

    A box reaches down to the table: what is below the seen points is not known to be free.

    :param points: (N, 3) in the base frame (m), without robot and furniture
    :param low: lowest x, y, z that counts (m)
    :param high: highest
    """
    points = np.asarray(points[counted(points, low, high, table)], dtype=float)
    if not len(points):
        return []
    cells = ((points[:, :2] - low[:2]) / CELL).astype(int)
    plan = np.zeros(cells.max(axis=0) + 1, np.uint8)
    plan[cells[:, 0], cells[:, 1]] = 1
    closed = cv2.morphologyEx(plan, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, labels = cv2.connectedComponents(np.maximum(closed, plan), connectivity=8)
    label = labels[cells[:, 0], cells[:, 1]]
    found = [_box(points[label == i], table) for i in np.unique(label)
             if (plan[labels == i] > 0).sum() >= LEAST_CELLS]
    return [box for box in found
            if box.size[:2].max() >= SMALLEST and box.size.max() <= LARGEST]


def _box(points: Array, table: float) -> Box:
    (x, y), (width, depth), degrees = cv2.minAreaRect(points[:, :2].astype(np.float32))
    top = float(points[:, 2].max())
    size = np.array([max(width, CELL), max(depth, CELL), top - table])
    turn = quaternion_from_rotvec([0.0, 0.0, np.deg2rad(degrees)])
    return Box(Pose(np.array([x, y, (top + table) / 2]), turn), size)
