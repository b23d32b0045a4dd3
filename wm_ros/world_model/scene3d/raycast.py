# SPDX-License-Identifier: Apache-2.0
"""What a camera would see of a fused volume."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wm_ros.motion.pose import Array, Pose
from wm_ros.world_model.scene3d.tsdf import SIDE, Volume
from wm_ros.world_model.scene3d.view import FAR, NEAR

BACKGROUND = 235  # grey
LEAST = 0.3  # weight of a cell that counts


def raycast(volume: Volume, K: Array, pose: Pose, size: tuple[int, int]
            ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """rgb (H, W, 3) and depth (H, W) m along the axis, inf where no surface was fused.

    :param K: (3, 3) px;  ``pose`` of the optical frame in the base frame
    :param size: width, height
    """
    width, height = size
    v, u = np.divmod(np.arange(width * height), width)
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(len(u))], 1)
    length = np.linalg.norm(rays, axis=1)
    way = (rays / length[:, None]) @ pose.rotation().T
    enter, leave = _inside(volume, pose.position, way)
    travel = np.maximum(enter, NEAR)
    before = np.full(len(way), np.inf)
    hit = np.full(len(way), np.inf)
    leave = np.minimum(leave, FAR)
    going = np.flatnonzero(travel < leave)
    while len(going):
        at = pose.position + way[going] * travel[going, None]
        sdf, weight = volume.values(at)
        seen = weight > LEAST
        # from free to behind between this sample and the last
        crossed = seen & (sdf <= 0) & np.isfinite(before[going])
        former, now = before[going[crossed]], sdf[crossed]
        hit[going[crossed]] = travel[going[crossed]] + now / np.maximum(former - now, 1e-6) * (
            volume.voxel)
        before[going] = np.where(seen & (sdf > 0), sdf, np.inf)
        step = np.where(volume.blank(at), 3 * volume.voxel, volume.voxel)
        travel[going] += np.where(seen & (sdf > 0), np.maximum(0.6 * sdf, 0.5 * volume.voxel),
                                  step)
        going = going[~crossed & (travel[going] < leave[going])]
    rgb = np.full((len(way), 3), BACKGROUND, np.uint8)
    found = np.isfinite(hit)
    at = pose.position + way[found] * (hit[found, None] + 0.2 * volume.voxel)
    rgb[found] = volume.colours(at)
    depth = (hit / length).astype(np.float32)
    return rgb.reshape(height, width, 3), depth.reshape(height, width)


def _inside(volume: Volume, origin: Array, way: Array) -> tuple[Array, Array]:
    """Where rays (n, 3) enter and leave the volume's box (n,), m; enter > leave if never."""
    high = volume.low + volume.blocks * SIDE * volume.voxel
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (volume.low - origin) / way, (high - origin) / way
    return np.nan_to_num(np.minimum(a, b), nan=-np.inf).max(1), np.nan_to_num(
        np.maximum(a, b), nan=np.inf).min(1)
