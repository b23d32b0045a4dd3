# SPDX-License-Identifier: Apache-2.0
"""Imagined pictures: the present picture, with what moves moved.

The twin says which body each pixel will show and where that surface point is now; colours are
taken from there in the present picture (image-based rendering), from the map where something
is uncovered, and from the twin's own shading else.
"""
from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt

from wm_ros.motion.pose import Array, Pose
from wm_ros.world_model.scene3d.robot_mask import point_camera
from wm_ros.world_model.scene3d.room import EYE
from wm_ros.world_model.scene3d.tsdf import Volume
from wm_ros.world_model.scene3d.twin import MOVED, Twin
from wm_ros.world_model.scene3d.view import FAR, View

SAME_SURFACE = 0.02  # m
HALO = 2  # px around what moves that is drawn anew too
TURNED = 0.1  # rad from which on a thing has moved


@dataclass(frozen=True)
class Picture:
    """rgb (H, W, 3) uint8; robot, held (H, W): pixels of the arm, and of what it holds from the
    start; depth (H, W) m along the axis, NaN where neither picture nor map say what the arm or a
    thing hid."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    robot: NDArray[np.bool_]
    held: NDArray[np.bool_]


class Imagery:
    """Draws futures of one twin as one camera would see them.

    :param present: the camera's picture at the twin's start, the arm's own pixels marked
    """

    def __init__(self, twin: Twin, volume: Volume, present: View):
        self.twin, self.volume, self.present = twin, volume, present
        height, width = present.depth.shape
        self._size = (width, height)
        point_camera(twin.sim, EYE, present.K, present.pose, height)
        m = twin.sim.model
        things = {m.body(n).id for n in twin.names}
        static = {0} | {m.body(p.name).id for p in (twin.scene.table, *twin.scene.furniture)}
        number = np.arange(m.nbody)
        self._thing = np.array([b in things for b in number])
        self._robot = np.array([b not in things and b not in static for b in number])
        twin.show(twin.start)
        self._held = np.isin(number, [m.body(name).id for name in twin.held()])
        self._body, self._depth, _ = self._look()
        self._at, self._turn = self._bodies()

    def _look(self) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.uint8]]:
        frame = self.twin.sim.render(EYE, depth=True, size=self._size)
        assert frame.depth is not None
        return self.twin.sim.visible_bodies(EYE, self._size), frame.depth, frame.rgb

    def _bodies(self) -> tuple[Array, Array]:
        """Positions (bodies, 3), m, and rotations (bodies, 3, 3) of what the twin shows."""
        d = self.twin.sim.data
        return d.xpos.copy(), d.xmat.reshape(-1, 3, 3).copy()

    def _moved(self, idle_at: Array, idle_turn: Array) -> NDArray[np.bool_]:
        """(bodies,): whether each is elsewhere, or turned, than it is while the arm idles."""
        at, turn = self._bodies()
        cosine = 0.5 * (np.einsum("nij,nij->n", turn, idle_turn) - 1)
        way = np.linalg.norm(at - idle_at, axis=1)
        return np.asarray((way > MOVED) | (cosine < np.cos(TURNED)))

    def _pixels(self, body: NDArray[np.int64], which: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.asarray(which[np.maximum(body, 0)] & (body >= 0))

    def draw(self, state: Array, idle: Array) -> Picture:
        """One future state of the twin.

        :param idle: the state at the same time if the arm stayed as it is; what moves there, too,
            was not moved
        """
        twin, view = self.twin, self.present
        twin.show(idle)
        idling = self._bodies()
        twin.show(state)
        mujoco.mj_camlight(twin.sim.model, twin.sim.data)
        body, depth, shaded = self._look()
        # what rests stays as it is seen
        alive = self._robot | (self._thing & self._moved(*idling))
        then, now = self._pixels(body, alive), self._pixels(self._body, alive)
        rgb, out_depth = view.rgb.copy(), view.depth.astype(np.float32).copy()
        # what the arm or a thing hid and will not hide any more
        bare = binary_dilation(now, iterations=HALO) & ~then
        if view.ignore is not None:  # also what of the arm the twin does not have
            bare |= view.ignore & ~then
        if bare.any():
            self._uncover(bare, depth, rgb, out_depth)
        if then.any():
            rgb[then] = self._carried(then, body, depth, shaded)
            out_depth[then] = depth[then]
        return Picture(rgb, out_depth, self._pixels(body, self._robot),
                       self._pixels(body, self._held))

    def _rays(self, where: NDArray[np.bool_]) -> Array:
        return np.asarray(self.present.rays()[where].astype(np.float64))

    def _carried(self, then: NDArray[np.bool_], body: NDArray[np.int64],
               depth: NDArray[np.float32], shaded: NDArray[np.uint8]) -> NDArray[np.uint8]:
        pose, d = self.present.pose, self.twin.sim.data
        at = pose.apply(self._rays(then) * depth[then, None])
        b = body[then]
        turn = d.xmat.reshape(-1, 3, 3)
        local = np.einsum("nji,nj->ni", turn[b], at - d.xpos[b])
        before = np.einsum("nij,nj->ni", self._turn[b], local) + self._at[b]
        u, v, z, inside = project(self.present, before)
        out = shaded[then].copy()
        seen = inside & (self._body[v, u] == b) & (
            np.abs(self._depth[v, u] - z) < SAME_SURFACE)
        out[seen] = self.present.rgb[v[seen], u[seen]]
        return out

    def _uncover(self, bare: NDArray[np.bool_], depth: NDArray[np.float32],
                 rgb: NDArray[np.uint8], out_depth: NDArray[np.float32]) -> None:
        """Fills pixels in place: from the map, else colours of the nearest pixel that stays."""
        nearest = distance_transform_edt(bare, return_distances=False, return_indices=True)
        v, u = nearest[:, bare]
        behind = (depth[bare] < FAR) & np.isfinite(depth[bare])
        at = self.present.pose.apply(self._rays(bare) * depth[bare, None])
        at -= (0.0, 0.0, 0.3 * self.volume.voxel)
        _, weight = self.volume.values(at)
        known = behind & (weight > 0)
        rgb[bare] = np.where(known[:, None], self.volume.colours(at), rgb[v, u])
        out_depth[bare] = np.where(known, depth[bare], np.nan)


def project(view: View, points: Array) -> tuple[NDArray[np.int64], NDArray[np.int64], Array,
                                                 NDArray[np.bool_]]:
    """Pixel u, v, depth of points (n, 3) of the base frame, and which lie in the picture."""
    p = Pose.inverse(view.pose).apply(points)
    z = np.maximum(p[:, 2], 1e-6)
    height, width = view.depth.shape
    u = np.rint(view.K[0, 0] * p[:, 0] / z + view.K[0, 2]).astype(np.int64)
    v = np.rint(view.K[1, 1] * p[:, 1] / z + view.K[1, 2]).astype(np.int64)
    inside = (p[:, 2] > 0.02) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    return np.clip(u, 0, width - 1), np.clip(v, 0, height - 1), z, inside
