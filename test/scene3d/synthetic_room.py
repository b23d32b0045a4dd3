# SPDX-License-Identifier: Apache-2.0
"""A table with a box, a ball and a big block, seen by ideal depth cameras without a renderer."""
from __future__ import annotations

from functools import lru_cache

import numpy as np

from wm_ros.motion.pose import Pose
from wm_ros.sim.shapes import look_at
from wm_ros.world_model.interface import ActionChunks, Observation
from wm_ros.world_model.scene3d.view import View

BOX = (0.08, 0.05, 0.06)
BOX_AT, BOX_YAW = np.array([0.45, -0.15, 0.03]), 0.4
BALL, BALL_AT = 0.035, np.array([0.50, 0.15, 0.035])
BLOCK = (0.24, 0.30, 0.12)
BLOCK_AT, BLOCK_YAW = np.array([0.70, 0.42, 0.06]), 0.3
COLOURS = {"table": (150, 120, 90), "box": (200, 30, 30), "ball": (30, 160, 40),
           "block": (60, 80, 200)}
EYES = [(1.1, 0.0, 0.8), (0.5, 0.6, 0.6), (0.45, -0.7, 0.55), (0.0, -0.3, 0.6), (0.1, 0.4, 0.7),
        (0.6, 0.0, 0.7), (1.05, 0.75, 0.6)]


def _box(p: np.ndarray, at: np.ndarray, yaw: float, size: tuple[float, ...]) -> np.ndarray:
    c, s = np.cos(yaw), np.sin(yaw)
    q = p - at
    q = np.stack([c * q[:, 0] + s * q[:, 1], -s * q[:, 0] + c * q[:, 1], q[:, 2]], 1)
    q = np.abs(q) - 0.5 * np.array(size)
    return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0)


def distance(p: np.ndarray, things: bool = True, shift: float = 0.0) -> dict[str, np.ndarray]:
    """Signed distances (n,) of points (n, 3) m to each part of the scene."""
    out = {"table": p[:, 2], "block": _box(p, BLOCK_AT, BLOCK_YAW, BLOCK)}
    if things:
        out["box"] = _box(p, BOX_AT + (0.0, shift, 0.0), BOX_YAW, BOX)
        out["ball"] = np.linalg.norm(p - BALL_AT, axis=1) - BALL
    return out


@lru_cache(maxsize=64)
def view(eye: tuple[float, float, float], size: int = 96, things: bool = True,
         shift: float = 0.0) -> View:
    """Sphere tracing (Hart 1996). ``shift`` moves the box along y, m."""
    pose = Pose.of(eye, look_at(eye, (0.5, 0.02, 0.0)))
    K = np.array([[size, 0, 0.5 * (size - 1)], [0, size, 0.5 * (size - 1)], [0, 0, 1.0]])
    v, u = np.divmod(np.arange(size * size), size)
    rays = np.stack([(u - K[0, 2]) / size, (v - K[1, 2]) / size, np.ones(len(u))], 1)
    length = np.linalg.norm(rays, axis=1)
    way = rays / length[:, None] @ pose.rotation().T
    travel = np.zeros(len(way))
    going = np.arange(len(way))
    for _ in range(80):
        near = np.min(list(distance(pose.position + way[going] * travel[going, None], things,
                                    shift).values()), axis=0)
        travel[going] += near
        going = going[(near > 1e-4) & (travel[going] < 3.0)]
        if not len(going):
            break
    parts = distance(pose.position + way * travel[:, None], things, shift)
    nearest = np.argmin(list(parts.values()), axis=0)
    rgb = np.array([COLOURS[name] for name in parts], np.uint8)[nearest]
    depth = np.where(travel < 3.0, travel / length, np.inf).astype(np.float32)
    return View(rgb.reshape(size, size, 3), depth.reshape(size, size), K, pose)


def observation(stamp: float = 0.0, **which: float) -> Observation:
    """What the scene camera sees, the arm far up and out of the picture."""
    seen = view(EYES[0], **which)  # type: ignore[arg-type]
    q = np.array([-2.4, -1.2, 0.0, -2.0, 0.0, 1.5, 0.785])
    return Observation(
        scene_rgb=seen.rgb, scene_depth=seen.depth, wrist_rgb=np.zeros_like(seen.rgb),
        scene_K=seen.K, scene_position=seen.pose.position,
        scene_quaternion=seen.pose.quaternion, q=q, tcp_position=np.array([-0.2, -0.3, 0.5]),
        tcp_quaternion=np.array([1.0, 0, 0, 0]), gripper=0.04, wrench=np.zeros(6), stamp=stamp)


def chunks(n: int = 2, at: tuple[float, float, float] = (-0.3, -0.3, 0.5)) -> ActionChunks:
    """Chunks that stay far from everything."""
    position = np.tile(np.array(at), (n, 16, 1))
    quaternion = np.tile(np.array([1.0, 0.0, 0.0, 0.0]), (n, 16, 1))
    return ActionChunks(position, quaternion, np.full((n, 16), 0.04), 0.1, np.full(n, 0.5),
                        np.full(n, 0.5), np.zeros(n))
