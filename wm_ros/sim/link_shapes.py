# SPDX-License-Identifier: Apache-2.0
"""The coarse shapes of a robot's links, from the URDF's collision geometry."""
from __future__ import annotations

from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from wm_ros.motion.pose import Array, Pose
from wm_ros.motion.urdf import numbers, origin
from wm_ros.paths import robot_data


class LinkShape(NamedTuple):
    """One shape in its link's frame.

    :param kind: mesh, box, cylinder or sphere
    :param size: scale of a mesh; x y z of a box; radius and length; radius (m)
    :param file: path of a mesh, as the URDF gives it
    """

    link: str
    kind: str
    size: Array
    file: str
    origin: Pose

    def mesh(self) -> Any:
        """As a trimesh, in the shape's own frame (m)."""
        import trimesh
        if self.kind == "mesh":
            mesh = trimesh.load_mesh(str(robot_data(self.file)))
            mesh.apply_scale(self.size)
            return mesh
        if self.kind == "box":
            return trimesh.creation.box(self.size)
        if self.kind == "cylinder":
            return trimesh.creation.cylinder(radius=self.size[0], height=self.size[1],
                                             sections=24)
        return trimesh.creation.icosphere(radius=self.size[0], subdivisions=2)


def link_shapes(urdf: str) -> list[LinkShape]:
    """All collision shapes of a URDF, given as its text."""
    return [shape for link in ElementTree.fromstring(urdf).findall("link")
            for part in link.findall("collision")
            if (shape := _shape(link.get("name", ""), part)) is not None]


def _shape(link: str, part: ElementTree.Element) -> LinkShape | None:
    for kind, names in (("mesh", ("scale",)), ("box", ("size",)),
                        ("cylinder", ("radius", "length")), ("sphere", ("radius",))):
        node = part.find(f"geometry/{kind}")
        if node is not None:
            size = np.concatenate([numbers(node, name, "1 1 1" if kind == "mesh" else "")
                                   for name in names])
            return LinkShape(link, kind, size, node.get("filename", ""), origin(part))
    return None
