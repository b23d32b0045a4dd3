# SPDX-License-Identifier: Apache-2.0
"""A posed RGB-D picture, and what its pixels say about surfaces."""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wm_ros.motion.pose import Array, Pose

NEAR, FAR = 0.05, 3.0  # m, depths that are believed
LEAST_COSINE = 0.12  # between ray and normal; beyond it a depth says little
MIXED = 0.06  # relative jump to both neighbours: the pixel hangs between two surfaces


@dataclass(frozen=True)
class View:
    """One picture of a camera whose pose is known.

    :param rgb: (H, W, 3) uint8
    :param depth: (H, W) float32, m along the optical axis; not finite or <= 0 where unknown
    :param K: (3, 3) px, pixel centres at whole numbers
    :param pose: of the optical frame (x right, y down, z forward) in the base frame
    :param ignore: (H, W) bool, pixels that show the robot itself
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    K: Array
    pose: Pose
    ignore: NDArray[np.bool_] | None = None

    def known(self) -> NDArray[np.bool_]:
        """(H, W): pixels whose depth can be used."""
        with np.errstate(invalid="ignore"):
            good = np.isfinite(self.depth) & (self.depth > NEAR) & (self.depth < FAR)
        return good if self.ignore is None else good & ~self.ignore

    def rays(self) -> NDArray[np.float32]:
        """(H, W, 3) in the optical frame, z = 1."""
        height, width = self.depth.shape
        u = (np.arange(width) - self.K[0, 2]) / self.K[0, 0]
        v = (np.arange(height) - self.K[1, 2]) / self.K[1, 1]
        out = np.ones((height, width, 3), np.float32)
        out[..., 0], out[..., 1] = u, v[:, None]
        return out

    def surface(self, depth: NDArray[np.floating], where: NDArray[np.bool_]) -> Array:
        """(N, 3) m, base frame: what lies at depths (H, W) in the pixels ``where`` (H, W)."""
        return self.pose.apply(self.rays()[where].astype(np.float64) * depth[where, None])

    def points(self) -> NDArray[np.float32]:
        """(H, W, 3) in the optical frame, m; zero where the depth is unknown."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.rays() * np.where(self.known(), self.depth, 0.0)[..., None],
                              np.float32)


def axial_noise(z: NDArray[np.floating]) -> NDArray[np.floating]:
    """Standard deviation (m) of a consumer depth camera's measurement at depth z (m): Nguyen,
    Izadi and Lovell (3DIMPVT 2012)."""
    return 0.0012 + 0.0019 * (z - 0.4) ** 2


def noisy(view: View, rng: np.random.Generator) -> View:
    """The view as a consumer depth camera would see it, see :func:`axial_noise`."""
    z = np.where(np.isfinite(view.depth), view.depth, 0.0).astype(np.float64)
    return replace(view, depth=np.where(
        z > 0, z + axial_noise(z) * rng.normal(size=z.shape), 0.0).astype(np.float32))


def _slope(points: NDArray[np.float32], good: NDArray[np.bool_], axis: int
           ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Difference to the neighbour that is nearer in depth, and where there is one."""
    step = np.diff(points, axis=axis)
    pair = np.take(good, range(good.shape[axis] - 1), axis) & np.take(
        good, range(1, good.shape[axis]), axis)
    pad = [(0, 0), (0, 0), (0, 0)]
    pad[axis] = (0, 1)
    after, has_after = np.pad(step, pad), np.pad(pair, pad[:2])
    pad[axis] = (1, 0)
    before, has_before = np.pad(step, pad), np.pad(pair, pad[:2])
    use = has_after & (~has_before | (np.abs(after[..., 2]) <= np.abs(before[..., 2])))
    return np.where(use[..., None], after, before), has_after | has_before


def surface(view: View) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32],
                                 NDArray[np.bool_]]:
    """Points and normals (H, W, 3) in the optical frame, cosine (H, W) between normal and ray,
    and which pixels (H, W) are to be believed. Normals look at the camera.

    Slopes are taken to the neighbour that is nearer in depth, so that edges stay sharp.
    """
    good = view.known()
    points = view.points()
    right, has_right = _slope(points, good, 1)
    down, has_down = _slope(points, good, 0)
    normal = np.cross(down, right)
    length = np.linalg.norm(normal, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        normal = np.nan_to_num(normal / length[..., None])
    rays = view.rays()
    cosine = -np.einsum("hwc,hwc->hw", normal, rays) / np.linalg.norm(rays, axis=-1)
    normal[cosine < 0] *= -1
    cosine = np.abs(cosine)
    # both neighbours far off in depth: a pixel on a silhouette, between near and far
    jump = np.maximum(np.abs(right[..., 2]), np.abs(down[..., 2]))
    good &= has_right & has_down & (length > 0) & (cosine > LEAST_COSINE)
    good &= jump < MIXED * np.maximum(points[..., 2], 0.1)
    return (points, np.asarray(normal, np.float32), np.asarray(cosine, np.float32), good)
