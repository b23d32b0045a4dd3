# SPDX-License-Identifier: Apache-2.0
"""Offscreen rendering: one GL context a thread, one set of buffers a model."""

from __future__ import annotations

import threading
from contextlib import suppress
from math import radians, tan
from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from wm_ros.errors import UserError
from wm_ros.motion.pose import Array, Pose, quaternion_from_rotation
from wm_ros.sim.schema import TALLEST, WIDEST


class Frame(NamedTuple):
    """A camera picture.

    rgb (H, W, 3) uint8; depth (H, W) float32, metres along the optical axis, or None; K (3, 3)
    pixels, pixel centres at whole numbers; pose of the optical frame (x right, y down,
    z forward) in the world.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32] | None
    K: Array
    pose: Pose


_mine = threading.local()  # a context is current in one thread alone


def _gl_context() -> Any:
    """The thread's GL context, made on first use."""
    if not hasattr(_mine, "context"):
        _mine.context = _new_context()
    return _mine.context


def _new_context() -> Any:
    if getattr(mujoco, "GLContext", None) is None:
        raise UserError("there is no offscreen OpenGL: install libegl1 and libgl1-mesa-dri (or "
                        "libosmesa6), then try again; `wm doctor` tells more")
    try:
        return mujoco.GLContext(WIDEST, TALLEST)
    except Exception as error:  # the bindings raise different errors per platform
        raise UserError(f"offscreen OpenGL does not start ({error}): install libegl1 and "
                        "libgl1-mesa-dri, or set MUJOCO_GL=osmesa") from error


def intrinsics(fovy: float, width: int, height: int) -> Array:
    """K (3, 3) of a pinhole with vertical opening angle `fovy` in radians and square pixels."""
    f = 0.5 * height / tan(0.5 * fovy)
    return np.array([[f, 0, 0.5 * (width - 1)], [0, f, 0.5 * (height - 1)], [0, 0, 1.0]])


class Renderer:
    """Draws one model's cameras; buffers are shared between cameras and sizes."""

    def __init__(self, model: mujoco.MjModel):
        self._model = model
        self._context: mujoco.MjrContext | None = None
        gl = _gl_context()
        gl.make_current()
        self._gl = gl
        self._scene = mujoco.MjvScene(model, maxgeom=2000)
        self._option = mujoco.MjvOption()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        for flag in (mujoco.mjtRndFlag.mjRND_REFLECTION, mujoco.mjtRndFlag.mjRND_SKYBOX,
                     mujoco.mjtRndFlag.mjRND_FOG, mujoco.mjtRndFlag.mjRND_HAZE):
            self._scene.flags[flag] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = model.vis.quality.shadowsize > 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        extent = model.stat.extent
        self._near, self._far = model.vis.map.znear * extent, model.vis.map.zfar * extent

    def render(self, data: mujoco.MjData, camera: int, width: int, height: int,
               depth: bool = False) -> Frame:
        """One picture of the camera with this number."""
        self._gl.make_current()
        # another model's renderer may have bound its buffers since
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._camera.fixedcamid = camera
        mujoco.mjv_updateScene(self._model, data, self._option, None, self._camera,
                               mujoco.mjtCatBit.mjCAT_ALL, self._scene)
        rect = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(rect, self._scene, self._context)
        rgb = np.empty((height, width, 3), np.uint8)
        z = np.empty((height, width), np.float32) if depth else None
        mujoco.mjr_readPixels(rgb, z, rect, self._context)
        metric = None
        if z is not None:  # reversed z: 1 at the near plane, 0 at the far plane
            scale = self._near / (self._far - self._near)
            metric = (self._far * scale / (z[::-1].astype(np.float64) + scale)).astype(np.float32)
        fovy = radians(self._model.cam_fovy[camera])
        rotation = data.cam_xmat[camera].reshape(3, 3) * np.array([1.0, -1.0, -1.0])
        pose = Pose(data.cam_xpos[camera].copy(), quaternion_from_rotation(rotation))
        return Frame(np.ascontiguousarray(rgb[::-1]), metric, intrinsics(fovy, width, height),
                     pose)

    def bodies(self, data: mujoco.MjData, camera: int, width: int, height: int
               ) -> NDArray[np.int64]:
        """Number of the body (H, W) that each pixel shows; -1 where there is none."""
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        try:
            rgb = self.render(data, camera, width, height).rgb.astype(np.int64)
        finally:
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = False
            flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        owner = np.full(self._scene.ngeom + 2, -1, np.int64)
        for geom in self._scene.geoms[:self._scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and geom.segid >= 0:
                owner[geom.segid + 1] = self._model.geom_bodyid[geom.objid]
        number = rgb[..., 0] + (rgb[..., 1] << 8) + (rgb[..., 2] << 16)
        return owner[np.where(number < len(owner), number, 0)]

    def close(self) -> None:
        """Frees the buffers; the process's context stays."""
        if self._context is not None:
            self._gl.make_current()
            self._context.free()
            self._context = None

    def __del__(self) -> None:
        with suppress(Exception):  # interpreter shutdown: nothing left to free
            self.close()
