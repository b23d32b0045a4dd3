# SPDX-License-Identifier: Apache-2.0
"""Collision objects as meshes for the page in the browser."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from moveit_msgs.msg import CollisionObject
from shape_msgs.msg import SolidPrimitive
from std_msgs.msg import ColorRGBA

from wm_ros.bridge import markers, poses
from wm_ros.view.solid import Colour, Solid


def rgb(colour: ColorRGBA) -> Colour:
    """A colour as the page takes it, 0 to 255."""
    r, g, b = (round(255 * value) for value in (colour.r, colour.g, colour.b))
    return r, g, b


def from_objects(objects: Iterable[CollisionObject], held: bool = False) -> Iterator[Solid]:
    """Every shape of the objects, in the object's frame; ``held`` ones in another colour."""
    colour = rgb(markers.HELD if held else markers.FURNITURE)
    for item in objects:
        base = poses.from_pose(item.pose)
        shapes = [*zip(item.primitives, item.primitive_poses, strict=True),
                  *zip(item.meshes, item.mesh_poses, strict=True)]
        for i, (shape, pose) in enumerate(shapes):
            yield Solid(f"{item.id}/{i}", item.header.frame_id, _mesh(shape),
                        base.compose(poses.from_pose(pose)), colour)


def _mesh(shape: Any) -> Any:
    import trimesh
    if not isinstance(shape, SolidPrimitive):
        return trimesh.Trimesh([[p.x, p.y, p.z] for p in shape.vertices],
                               [[int(i) for i in t.vertex_indices] for t in shape.triangles])
    size = np.array(shape.dimensions, dtype=float)
    if shape.type == SolidPrimitive.BOX:
        return trimesh.creation.box(size)
    if shape.type == SolidPrimitive.SPHERE:
        return trimesh.creation.icosphere(radius=size[0], subdivisions=2)
    make = trimesh.creation.cone if shape.type == SolidPrimitive.CONE else (
        trimesh.creation.cylinder)
    return make(radius=size[1], height=size[0], sections=24)
