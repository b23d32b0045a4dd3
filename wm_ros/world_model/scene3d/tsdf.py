# SPDX-License-Identifier: Apache-2.0
"""Metric fusion of posed depth pictures: a truncated signed distance field in sparse blocks.

After Curless and Levoy (SIGGRAPH 1996); blocks as in Niessner et al. (SIGGRAPH Asia 2013). The
distance is measured to the plane of the pixel's surface, not along the ray, so that flat things
come out flat from any angle. A capped weight lets later pictures carve away what has left.
"""
from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import minimum_filter

from wm_ros.errors import UserError
from wm_ros.files import whole
from wm_ros.motion.pose import Array
from wm_ros.world_model.scene3d.view import View, surface

SIDE = 8  # voxels along a block's edge
CELLS = SIDE**3
MAX_WEIGHT = 24.0
FLOATS = NDArray[np.float32]


class Volume:
    """A field over a box of the base frame.

    :param low: (3,) and ``high`` (3,) corners, m; the box is rounded up to whole blocks
    :param voxel: edge, m
    :param truncation: m; farther in front counts as free, farther behind as unknown
    """

    def __init__(self, low: ArrayLike, high: ArrayLike, voxel: float = 0.005,
                 truncation: float | None = None):
        self.low = np.asarray(low, np.float64)
        self.voxel = float(voxel)
        self.truncation = float(truncation or 4 * voxel)
        extent = np.asarray(high, np.float64) - self.low
        if (extent <= 0).any() or not np.isfinite(extent).all():
            raise UserError("a volume whose high corner is not above its low one holds nothing: "
                            "name the low corner first.")
        self.blocks = np.maximum(np.ceil(extent / (SIDE * voxel) - 1e-6).astype(int), 1)  # (3,)
        self.slot = np.full(self.blocks, -1, np.int32)  # block -> row of the pools, or -1
        self.place: NDArray[np.int32] = np.zeros((0, 3), np.int32)  # row -> block
        self.sdf: FLOATS = np.zeros((0, CELLS), np.float32)  # m
        self.weight: FLOATS = np.zeros((0, CELLS), np.float32)
        self.rgb: FLOATS = np.zeros((0, CELLS, 3), np.float32)
        cell = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), -1).reshape(-1, 3)
        self._cell = cell.astype(np.float32) * np.float32(voxel)  # of a block's voxel, m

    # -- fusing ------------------------------------------------------------------------------
    def integrate(self, view: View, forget: bool = False) -> int:
        """Fuses one picture; returns how many voxels it touched.

        :param forget: what is seen to be free was moved away: forget its surface at once
        """
        points, normals, cosine, good = surface(view)
        # free space is believed at all known pixels, surfaces only where the normal is good
        if not good.any():
            return 0
        rotation, origin = view.pose.rotation(), view.pose.position
        rows = self._rows(points, good, view, rotation, origin)
        if not len(rows):
            return 0
        return self._update(rows, view, points, normals, cosine, good, rotation, origin, forget)

    def _rows(self, points: FLOATS, good: NDArray[np.bool_], view: View, rotation: Array,
              origin: Array) -> NDArray[np.int64]:
        """Rows of the blocks that the picture may change; new ones near surfaces are made."""
        at = points[good]
        way = at / np.linalg.norm(at, axis=1, keepdims=True) * np.float32(self.truncation)
        near = np.concatenate([at - way, at, at + way]) @ rotation.T.astype(np.float32)
        block = np.floor((near + (origin - self.low)) / (SIDE * self.voxel)).astype(np.int64)
        block = block[((block >= 0) & (block < self.blocks)).all(1)]
        flat = np.unique(np.ravel_multi_index(tuple(block.T), tuple(self.blocks)))
        self._make(flat[self.slot.ravel()[flat] < 0])
        return np.union1d(self.slot.ravel()[flat], self._seen(view, rotation, origin))

    def _make(self, flat: NDArray[np.int64]) -> None:
        if not len(flat):
            return
        first, count = len(self.place), len(flat)
        self.slot.ravel()[flat] = np.arange(first, first + count)
        place = np.stack(np.unravel_index(flat, tuple(self.blocks)), 1).astype(np.int32)
        self.place = np.concatenate([self.place, place])
        room = first + count
        if room > len(self.sdf):  # pools grow by half
            more = max(count, len(self.sdf) // 2)
            self.sdf = np.concatenate(
                [self.sdf, np.full((more, CELLS), self.truncation, np.float32)])
            self.weight = np.concatenate([self.weight, np.zeros((more, CELLS), np.float32)])
            self.rgb = np.concatenate([self.rgb, np.zeros((more, CELLS, 3), np.float32)])

    def _corner(self, rows: NDArray[np.int64]) -> Array:
        """Centres (n, 3) of the blocks' first voxels, m."""
        return self.low + (self.place[rows] * SIDE + 0.5) * self.voxel

    def _seen(self, view: View, rotation: Array, origin: Array) -> NDArray[np.int64]:
        """Rows of existing blocks in front of the picture's surfaces."""
        if not len(self.place):
            return np.zeros(0, np.int64)
        rows = np.arange(len(self.place))
        half = 0.5 * (SIDE - 1) * self.voxel
        at = (self._corner(rows) + half - origin) @ rotation
        radius = SIDE * self.voxel * 0.87
        z = at[:, 2]
        height, width = view.depth.shape
        with np.errstate(divide="ignore", invalid="ignore"):
            u = view.K[0, 0] * at[:, 0] / z + view.K[0, 2]
            v = view.K[1, 1] * at[:, 1] / z + view.K[1, 2]
            margin = view.K[0, 0] * radius / z
        deepest = float(view.depth[view.known()].max()) + self.truncation + radius
        return rows[(z > radius) & (z < deepest) & (u > -margin) & (u < width + margin)
                    & (v > -margin) & (v < height + margin)]

    def _update(self, rows: NDArray[np.int64], view: View, points: FLOATS, normals: FLOATS,
                cosine: FLOATS, good: NDArray[np.bool_], rotation: Array, origin: Array,
                forget: bool) -> int:
        turn = rotation.astype(np.float32)
        first = ((self._corner(rows) - origin) @ rotation).astype(np.float32)  # (n, 3)
        at = (first[:, None] + (self._cell @ turn)[None]).reshape(-1, 3)
        z = at[:, 2]
        height, width = view.depth.shape
        fx, fy, cx, cy = (np.float32(view.K[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
        safe = np.maximum(z, np.float32(1e-3))
        u = np.rint(at[:, 0] / safe * fx + cx)
        v = np.rint(at[:, 1] / safe * fy + cy)
        inside = np.flatnonzero((z > 0.02) & (u >= 0) & (u < width) & (v >= 0) & (v < height))
        pixel = v[inside].astype(np.int32) * width + u[inside].astype(np.int32)
        front = points.reshape(-1, 3)[pixel, 2] - z[inside]  # m along the axis
        plane = np.einsum("nc,nc->n", normals.reshape(-1, 3)[pixel],
                          at[inside] - points.reshape(-1, 3)[pixel])
        known, sure = view.known().ravel()[pixel], good.ravel()[pixel]
        # free space ends at the nearest of the neighbours too, or thin things are worn away
        nearest = minimum_filter(np.where(view.known(), points[..., 2], 0.0), 3).ravel()[pixel]
        ahead = nearest - z[inside]
        t = np.float32(self.truncation)
        near = sure & (np.abs(plane) < t) & (np.abs(front) < 3 * t) & (front > -2 * t)
        free = known & ~near & (ahead > 3 * t)
        # in front of the surface, but too far for the plane to say how far
        free |= sure & ~near & (ahead > 0) & (plane >= t)
        take = near | free
        index, pixel = inside[take], pixel[take]
        distance = np.where(near[take], np.clip(plane[take], -t, t), t)
        depth = points.reshape(-1, 3)[pixel, 2]
        gain = np.where(near[take], cosine.ravel()[pixel], np.float32(0.5))
        gain = gain * np.minimum(np.float32(1.0), (np.float32(0.5) / depth) ** 2)
        cell = rows[index // CELLS] * CELLS + index % CELLS
        sdf, weight, rgb = self.sdf.ravel(), self.weight.ravel(), self.rgb.reshape(-1, 3)
        old = weight[cell]
        if forget:
            gone = free[take] & (sdf[cell] < 0.75 * t)
            old = np.where(gone, np.float32(0.0), old)
        total = old + gain
        sdf[cell] = (sdf[cell] * old + distance * gain) / total
        close = near[take] & (np.abs(distance) < 0.75 * t)
        tint = cell[close]
        share = (gain[close] / total[close])[:, None]
        rgb[tint] += share * (view.rgb.reshape(-1, 3)[pixel[close]] - rgb[tint])
        weight[cell] = np.minimum(total, np.float32(MAX_WEIGHT))
        return len(cell)

    # -- reading -----------------------------------------------------------------------------
    def dense(self, low: ArrayLike | None = None, high: ArrayLike | None = None
              ) -> tuple[FLOATS, FLOATS, Array]:
        """The field over a box as arrays: sdf and weight (X, Y, Z), and the position (3,) of
        voxel 0, 0, 0; weight is 0 where nothing was seen. Without corners: all that was seen."""
        size = SIDE * self.voxel
        used = self.place if len(self.place) else np.zeros((1, 3), np.int32)
        a = used.min(0) if low is None else np.floor(
            (np.asarray(low) - self.low) / size + 1e-6).astype(int)
        b = used.max(0) + 1 if high is None else np.ceil(
            (np.asarray(high) - self.low) / size - 1e-6).astype(int)
        a, b = np.clip(a, 0, self.blocks - 1), np.clip(b, 1, self.blocks)
        b = np.maximum(b, a + 1)
        slots = self.slot[a[0]:b[0], a[1]:b[1], a[2]:b[2]]
        has = slots >= 0
        sdf = np.full((*slots.shape, CELLS), self.truncation, np.float32)
        weight = np.zeros((*slots.shape, CELLS), np.float32)
        sdf[has], weight[has] = self.sdf[slots[has]], self.weight[slots[has]]
        return (_unblock(sdf), _unblock(weight), self.low + (a * SIDE + 0.5) * self.voxel)

    def _cells(self, positions: NDArray[np.floating]
               ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Row and cell (n,) of the voxels around positions (n, 3), and where something was
        seen."""
        cell = np.floor((positions - self.low) / self.voxel).astype(np.int64)
        inside = ((cell >= 0) & (cell < self.blocks * SIDE)).all(1)
        cell = np.clip(cell, 0, self.blocks * SIDE - 1)
        row = self.slot[tuple((cell // SIDE).T)].astype(np.int64)
        number = np.ravel_multi_index(tuple((cell % SIDE).T), (SIDE,) * 3).astype(np.int64)
        has = inside & (row >= 0)
        has[has] = self.weight[row[has], number[has]] > 0
        return row, number, has

    def blank(self, positions: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether nothing was ever seen near positions (n, 3) m."""
        block = np.floor((positions - self.low) / (SIDE * self.voxel)).astype(np.int64)
        return np.asarray(self.slot[tuple(np.clip(block, 0, self.blocks - 1).T)] < 0)

    def values(self, positions: NDArray[np.floating]) -> tuple[FLOATS, FLOATS]:
        """Signed distance (n,) m and weight (n,) of the voxels around positions (n, 3) m."""
        row, number, has = self._cells(positions)
        sdf = np.full(len(row), self.truncation, np.float32)
        weight = np.zeros(len(row), np.float32)
        sdf[has], weight[has] = self.sdf[row[has], number[has]], self.weight[row[has], number[has]]
        return sdf, weight

    def colours(self, positions: NDArray[np.floating]) -> NDArray[np.uint8]:
        """rgb (n, 3) of the voxels around positions (n, 3) m; grey where nothing was seen."""
        row, number, has = self._cells(positions)
        out = np.full((len(row), 3), 128, np.uint8)
        out[has] = np.clip(self.rgb[row[has], number[has]], 0, 255).astype(np.uint8)
        return out

    # -- files -------------------------------------------------------------------------------
    def save(self, path: Path) -> None:
        """Write atomically (NumPy's npz, half precision)."""
        n = len(self.place)
        with whole(path) as part, open(part, "wb") as file:
            np.savez_compressed(
                file, low=self.low, blocks=self.blocks, voxel=self.voxel,
                truncation=self.truncation, place=self.place,
                sdf=self.sdf[:n].astype(np.float16), weight=self.weight[:n].astype(np.float16),
                rgb=np.clip(self.rgb[:n], 0, 255).astype(np.uint8))

    @classmethod
    def load(cls, path: Path) -> Volume:
        """:raises UserError: if the file is missing or damaged"""
        try:
            with np.load(path, allow_pickle=False) as data:
                voxel = float(data["voxel"])
                high = data["low"] + data["blocks"] * SIDE * voxel
                out = cls(data["low"], high, voxel, float(data["truncation"]))
                place = data["place"].astype(np.int64)
                out._make(np.ravel_multi_index(tuple(place.T), tuple(out.blocks)))
                out.sdf = data["sdf"].astype(np.float32)
                out.weight = data["weight"].astype(np.float32)
                out.rgb = data["rgb"].astype(np.float32)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile,
                zlib.error) as error:
            raise UserError(f"The map {path} cannot be read ({error}): scan again.") from error
        return out


def _unblock(field: FLOATS) -> FLOATS:
    """(a, b, c, CELLS) -> (8a, 8b, 8c)."""
    a, b, c = field.shape[:3]
    cells = field.reshape(a, b, c, SIDE, SIDE, SIDE)
    return cells.transpose(0, 3, 1, 4, 2, 5).reshape(a * SIDE, b * SIDE, c * SIDE)
