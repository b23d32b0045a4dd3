# SPDX-License-Identifier: Apache-2.0
"""Surfaces of a fused volume: points where the field changes sign, and triangles."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wm_ros.motion.pose import Array
from wm_ros.world_model.scene3d.tsdf import Volume

LEAST_WEIGHT = 0.6  # a cell seen about twice from a good angle
FLOATS = NDArray[np.float32]


@dataclass(frozen=True)
class Points:
    """Surface points: position (n, 3) m in the base frame, outward normal (n, 3), rgb (n, 3)
    uint8."""

    position: FLOATS
    normal: FLOATS
    rgb: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.position)

    def where(self, keep: NDArray[np.bool_]) -> Points:
        return Points(self.position[keep], self.normal[keep], self.rgb[keep])


def surface_points(volume: Volume, low: ArrayLike | None = None, high: ArrayLike | None = None,
                   least_weight: float = LEAST_WEIGHT) -> Points:
    """Where the field crosses zero along the voxel grid's axes, to a fraction of a voxel.

    Only crossings from free to behind count, between two cells that were both seen.
    """
    sdf, weight, origin = volume.dense(low, high)
    seen = weight >= least_weight
    steps = [np.diff(sdf, axis=axis) for axis in range(3)]
    at, slope = [], []
    for axis in range(3):
        first, last = [slice(None)] * 3, [slice(None)] * 3
        first[axis], last[axis] = slice(None, -1), slice(1, None)
        a, b = sdf[tuple(first)], sdf[tuple(last)]
        cross = (seen[tuple(first)] & seen[tuple(last)] & ((a > 0) != (b > 0))
                 & (np.minimum(np.abs(a), np.abs(b)) < 0.9 * volume.voxel)
                 & (np.abs(a - b) < 2.5 * volume.voxel))
        cell = np.stack(np.nonzero(cross), 1)
        if not len(cell):
            continue
        a, b = a[cross], b[cross]
        share = a / (a - b)
        here = cell.astype(np.float32)
        here[:, axis] += share
        at.append(here)
        nearest = cell.copy()
        nearest[:, axis] += share > 0.5
        slope.append(np.stack([_slope(steps[k], nearest, k) for k in range(3)], 1))
    if not at:
        none = np.zeros((0, 3), np.float32)
        return Points(none, none, none.astype(np.uint8))
    position = np.concatenate(at) * np.float32(volume.voxel) + origin.astype(np.float32)
    normal = np.concatenate(slope)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = normal / np.maximum(length, 1e-9)
    colour = volume.colours(position - 0.3 * volume.voxel * normal)
    out = Points(position, normal, colour)
    return out.where(length[:, 0] > 1e-6)


def _slope(step: FLOATS, cell: NDArray[np.int64], axis: int) -> FLOATS:
    """Mean of the differences before and after each cell."""
    top = step.shape[axis] - 1
    before, after = cell.copy(), cell.copy()
    before[:, axis] = np.clip(cell[:, axis] - 1, 0, top)
    after[:, axis] = np.clip(cell[:, axis], 0, top)
    return np.asarray(0.5 * (step[tuple(before.T)] + step[tuple(after.T)]), np.float32)


@dataclass(frozen=True)
class Triangles:
    """vertices (n, 3) m in the base frame, faces (m, 3), rgb (n, 3) uint8."""

    vertices: Array
    faces: NDArray[np.int64]
    rgb: NDArray[np.uint8]


def triangles(volume: Volume, low: ArrayLike | None = None, high: ArrayLike | None = None,
              least_weight: float = LEAST_WEIGHT) -> Triangles:
    """The surface as triangles with colours (marching cubes of Lewiner et al. 2003)."""
    from skimage.measure import marching_cubes

    sdf, weight, origin = volume.dense(low, high)
    seen = weight >= least_weight
    none = Triangles(np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros((0, 3), np.uint8))
    if not (seen & (sdf < 0)).any() or not (seen & (sdf > 0)).any():
        return none
    try:
        whole = _smooth(sdf, seen, 2.6 * volume.voxel)
        vertices, faces, _, _ = marching_cubes(sdf, 0.0, mask=whole, allow_degenerate=False)
    except (ValueError, RuntimeError):  # nothing crosses zero inside the mask
        return none
    faces = faces.astype(np.int64)  # they face outwards, where the field grows
    vertices = vertices * volume.voxel + origin
    return Triangles(vertices, faces, volume.colours(vertices))


def _smooth(sdf: FLOATS, seen: NDArray[np.bool_], most: float) -> NDArray[np.bool_]:
    """Cubes, at their last corner, whose eight corners were all seen and differ by no more
    than ``most`` (m): where the field leaps from behind to free there is no surface."""
    whole, low, high = seen.copy(), sdf.copy(), sdf.copy()
    for axis in range(3):
        to, of = [slice(None)] * 3, [slice(None)] * 3
        to[axis], of[axis] = slice(1, None), slice(None, -1)
        here, there = tuple(to), tuple(of)
        first = [slice(None)] * 3
        first[axis] = slice(0, 1)
        whole[here] = whole[here] & whole[there]
        whole[tuple(first)] = False
        low[here] = np.minimum(low[here].copy(), low[there].copy())
        high[here] = np.maximum(high[here].copy(), high[there].copy())
    return np.asarray(whole & (high - low < most))
