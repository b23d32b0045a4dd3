# SPDX-License-Identifier: Apache-2.0
"""Solids of the planning scene, in metres, each centred on its own frame."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wm_ros.motion.pose import Array, Pose


@dataclass(frozen=True)
class Box:
    """Edge lengths along x, y and z."""

    size: tuple[float, float, float]


@dataclass(frozen=True)
class Sphere:
    radius: float


@dataclass(frozen=True)
class Cylinder:
    """Axis along z; height is the whole length."""

    radius: float
    height: float


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles: vertices (N, 3) m, indices (M, 3)."""

    vertices: Array
    triangles: np.ndarray


Shape = Box | Sphere | Cylinder | Mesh


@dataclass(frozen=True)
class Part:
    """A shape at its place in the object's frame."""

    shape: Shape
    pose: Pose = field(default_factory=Pose.identity)


@dataclass(frozen=True)
class SceneObject:
    """A rigid obstacle: parts in its frame, and the pose of that frame in the base frame."""

    id: str
    parts: tuple[Part, ...]
    pose: Pose = field(default_factory=Pose.identity)

    @staticmethod
    def of(id: str, shape: Shape, pose: Pose) -> SceneObject:
        return SceneObject(id, (Part(shape),), pose)


def check_shape(shape: Shape) -> str | None:
    """What is wrong with a shape in one sentence, or None."""
    if isinstance(shape, Box):
        sizes: tuple[float, ...] = tuple(shape.size)
    elif isinstance(shape, Sphere):
        sizes = (shape.radius,)
    elif isinstance(shape, Cylinder):
        sizes = (shape.radius, shape.height)
    else:
        vertices, triangles = np.asarray(shape.vertices), np.asarray(shape.triangles)
        if not len(vertices) or not len(triangles) or not np.isfinite(vertices).all():
            return "a mesh needs finite vertices and at least one triangle"
        if triangles.min() < 0 or triangles.max() >= len(vertices):
            return "a mesh triangle names a vertex that does not exist"
        return None
    if not all(np.isfinite(s) and s > 0 for s in sizes):
        return f"the sizes of a {type(shape).__name__.lower()} must be positive, not {sizes}"
    return None


def padded(shape: Shape, padding: float) -> Shape:
    """The shape grown by `padding` metres on every side.

    A mesh is scaled about its middle: the inner walls of a hollow one move away from what is in
    it, so that only the mesh itself tells what is free there.
    """
    if padding == 0.0:
        return shape
    if isinstance(shape, Box):
        x, y, z = (s + 2 * padding for s in shape.size)
        return Box((x, y, z))
    if isinstance(shape, Sphere):
        return Sphere(shape.radius + padding)
    if isinstance(shape, Cylinder):
        return Cylinder(shape.radius + padding, shape.height + 2 * padding)
    low, high = shape.vertices.min(axis=0), shape.vertices.max(axis=0)
    middle, extent = (low + high) / 2, np.maximum(high - low, 1e-6)
    grown = middle + (shape.vertices - middle) * ((extent + 2 * padding) / extent)
    return Mesh(grown, shape.triangles)


def write_stl(mesh: Mesh, path: Path) -> None:
    """Binary STL."""
    corners = mesh.vertices[mesh.triangles].astype("<f4")  # (M, 3, 3)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    records = np.zeros(len(corners), dtype=[("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
    records["n"], records["v"] = normals, corners
    path.write_bytes(b"\0" * 80 + struct.pack("<I", len(records)) + records.tobytes())
