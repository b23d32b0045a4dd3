# SPDX-License-Identifier: Apache-2.0
"""Geometry of primitives: extents, volumes, inertia, and shapes built from several of them."""

from __future__ import annotations

from collections.abc import Iterable
from math import atan2, cos, hypot, pi, sin, tan

import numpy as np

from wm_ros.motion.pose import Array, Pose, quaternion_from_rpy
from wm_ros.sim.schema import IDENTITY, Body, Geom, Material, Quat, Vec3


def quat_rpy(roll: float, pitch: float, yaw: float) -> Quat:
    """Quaternion x y z w of fixed-axis roll, pitch, yaw (URDF's convention)."""
    x, y, z, w = quaternion_from_rpy(roll, pitch, yaw).tolist()
    return x, y, z, w


def quat_yaw(yaw: float) -> Quat:
    return (0.0, 0.0, sin(yaw / 2), cos(yaw / 2))


def yaw_of(quaternion: Iterable[float]) -> float:
    """Heading of the x axis."""
    x, y, z, w = quaternion
    return atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def look_at(eye: Vec3, target: Vec3, up: Vec3 = (0.0, 0.0, 1.0)) -> Quat:
    """Optical frame (x right, y down, z forward) at `eye` that looks at `target`.

    :param up: the direction that is up in the picture
    """
    forward = np.subtract(target, eye)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    x, y, z, w = (float(v) for v in Pose.from_matrix(matrix).quaternion)
    return (x, y, z, w)


def half_extents(geom: Geom) -> Array:
    """Half sizes (3,) of the geom's bounding box in its own axes."""
    s = geom.size
    if geom.shape == "box":
        return 0.5 * np.array(s)
    if geom.shape == "sphere":
        return np.full(3, s[0])
    if geom.shape == "cylinder":
        return np.array([s[0], s[0], 0.5 * s[1]])
    if geom.shape == "capsule":
        return np.array([s[0], s[0], 0.5 * s[1] + s[0]])
    if geom.shape == "ellipsoid":
        return np.array(s, dtype=float)
    raise ValueError(f"unknown shape {geom.shape!r}")


def support(geom: Geom, rotation: Array) -> Array:
    """Half sizes (3,) of the geom along the axes of a frame it is turned by `rotation` in."""
    s = geom.size
    if geom.shape == "sphere":
        return np.full(3, s[0])
    if geom.shape == "capsule":
        return s[0] + np.abs(rotation[:, 2]) * 0.5 * s[1]
    if geom.shape == "cylinder":
        axis = rotation[:, 2]
        return s[0] * np.sqrt(np.clip(1 - axis**2, 0, 1)) + 0.5 * s[1] * np.abs(axis)
    if geom.shape == "ellipsoid":
        return np.sqrt((rotation**2) @ np.square(np.array(s)))
    return np.abs(rotation) @ half_extents(geom)


def bounds(geoms: Iterable[Geom]) -> tuple[Array, Array]:
    """Lowest and highest corner (3,) over the geoms, in the frame that they are given in."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for geom in geoms:
        half = support(geom, Pose.of(geom.position, geom.quaternion).rotation())
        low = np.minimum(low, geom.position - half)
        high = np.maximum(high, geom.position + half)
    return low, high


def volume(geom: Geom) -> float:
    s = geom.size
    if geom.shape == "box":
        return s[0] * s[1] * s[2]
    if geom.shape == "sphere":
        return 4 / 3 * pi * s[0] ** 3
    if geom.shape == "cylinder":
        return pi * s[0] ** 2 * s[1]
    if geom.shape == "capsule":
        return pi * s[0] ** 2 * (s[1] + 4 / 3 * s[0])
    return 4 / 3 * pi * s[0] * s[1] * s[2]


def unit_inertia(geom: Geom) -> Array:
    """Principal moments (3,) of the solid geom for a mass of one kilogram, m^2."""
    s = geom.size
    if geom.shape == "box":
        a, b, c = np.square(s)
        return np.array([b + c, a + c, a + b]) / 12
    if geom.shape in ("sphere", "ellipsoid"):
        a, b, c = np.square(half_extents(geom))
        return np.array([b + c, a + c, a + b]) / 5
    r, h = s
    if geom.shape == "cylinder":
        side = (3 * r * r + h * h) / 12
        return np.array([side, side, 0.5 * r * r])
    ball = 4 / 3 * r / (h + 4 / 3 * r)  # share of the two half spheres
    tube = 1 - ball
    side = tube * (h * h / 12 + r * r / 4) + ball * (0.4 * r * r + 0.375 * r * h + 0.25 * h * h)
    return np.array([side, side, r * r * (0.5 * tube + 0.4 * ball)])


def mass_shares(body: Body) -> list[tuple[Geom, float]]:
    """The colliding geoms of a body and their masses in kg (by volume)."""
    solid = [g for g in body.geoms if g.collide]
    total = sum(volume(g) for g in solid)
    return [(g, body.mass * volume(g) / total) for g in solid]


def inertial(body: Body) -> tuple[Array, Array]:
    """Centre of mass (3,) and inertia about it (3, 3) in the body's frame."""
    shares = mass_shares(body)
    center = sum((m * np.array(g.position) for g, m in shares), np.zeros(3)) / body.mass
    total = np.zeros((3, 3))
    for geom, mass in shares:
        rotation = Pose.of(geom.position, geom.quaternion).rotation()
        offset = np.array(geom.position) - center
        total += rotation @ np.diag(mass * unit_inertia(geom)) @ rotation.T
        total += mass * (offset @ offset * np.eye(3) - np.outer(offset, offset))
    return center, total


def box(size: Vec3, at: Vec3, material: Material, quaternion: Quat = IDENTITY,
        collide: bool = True, name: str = "") -> Geom:
    return Geom("box", size, material, at, quaternion, collide=collide, name=name)


def ring(low: tuple[float, float], high: tuple[float, float], wall: float, material: Material,
         sides: int = 12) -> list[Geom]:
    """A wall of boxes around z, from (radius, z) `low` to `high` (outer radii)."""
    slope = hypot(high[0] - low[0], high[1] - low[1])
    tilt = atan2(high[0] - low[0], high[1] - low[1])
    middle = 0.5 * (low[0] + high[0]) - 0.5 * wall
    width = 2 * max(low[0], high[0]) * tan(pi / sides)
    out = []
    for i in range(sides):
        angle = 2 * pi * i / sides
        at = (middle * cos(angle), middle * sin(angle), 0.5 * (low[1] + high[1]))
        out.append(box((wall, width, slope), at, material, quat_rpy(0.0, tilt, angle)))
    return out


def dish(base: float, radius: float, height: float, rim: float, wall: float,
         material: Material) -> list[Geom]:
    """A bowl or plate: flat base, slanted side, upright rim (stackable, pinched at the rim)."""
    knee = height - rim
    floor = Geom("cylinder", (base, wall), material, (0.0, 0.0, 0.5 * wall))
    side = ring((base, 0.5 * wall), (radius, knee), wall, material)
    return [floor, *side, *ring((radius, knee), (radius, height), wall, material)]


def open_box(inner: Vec3, wall: float, material: Material, at: Vec3 = (0.0, 0.0, 0.0)
             ) -> list[Geom]:
    """A box without lid; `at` is the underside's centre, `inner` its clear sizes."""
    x, y, z = inner
    cx, cy, cz = at
    middle = cz + wall + 0.5 * z
    return [
        box((x + 2 * wall, y + 2 * wall, wall), (cx, cy, cz + 0.5 * wall), material),
        box((wall, y + 2 * wall, z), (cx + 0.5 * (x + wall), cy, middle), material),
        box((wall, y + 2 * wall, z), (cx - 0.5 * (x + wall), cy, middle), material),
        box((x, wall, z), (cx, cy + 0.5 * (y + wall), middle), material),
        box((x, wall, z), (cx, cy - 0.5 * (y + wall), middle), material),
    ]
