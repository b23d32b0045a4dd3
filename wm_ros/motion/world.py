# SPDX-License-Identifier: Apache-2.0
"""One roboplan scene with obstacles: which bodies there are, and which may touch."""

from __future__ import annotations

import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import roboplan.core as rc

from wm_ros.motion.kinematics import make_scene
from wm_ros.motion.pose import Array, Pose
from wm_ros.motion.shapes import Box, Cylinder, Mesh, SceneObject, Shape, Sphere, padded, write_stl
from wm_ros.motion.urdf import base_in_root
from wm_ros.robot import RobotConfig

GREY = np.array([0.6, 0.6, 0.6, 1.0])
UNIVERSE = "universe"


class CollisionWorld:
    """The robot and the obstacles, each grown by `padding` metres.

    roboplan's quirks are kept in here: geometry is placed relative to the parent *joint* of its
    parent frame; new geometry collides with everything, other obstacles included; a body cannot
    be let off colliding with the frame that carries it, so held objects hang on the (bodiless)
    tool frame.
    """

    def __init__(self, robot: RobotConfig, padding: float) -> None:
        self.robot = robot
        self.padding = padding
        self.scene = make_scene(robot)
        urdf = ElementTree.parse(robot.urdf_path).getroot()
        self._base = base_in_root(urdf, robot.base_link)
        self.links = [
            link.attrib["name"]
            for link in urdf.iter("link")
            if self.scene.getCollisionGeometryIDs(link.attrib["name"])
        ]
        self._index = np.asarray(self.scene.getJointPositionIndices(list(robot.arm_joints)))
        joints = self.scene.getJointNames()
        fingers = [joint for joint in robot.finger_joints if joint in joints]
        self._fingers = np.asarray(self.scene.getJointPositionIndices(fingers), dtype=int)
        self._full = np.asarray(self.scene.getCurrentJointPositions(), dtype=np.float64).copy()
        self._geometry: dict[str, list[str]] = {}
        self.with_mesh: set[str] = set()  # obstacles
        self._meshes = tempfile.TemporaryDirectory(prefix="wm_ros_meshes_")

    def full(self, q: Array) -> Array:
        """The scene's whole configuration for arm joints q (n,)."""
        out = self._full.copy()
        out[self._index] = q
        return out

    def set_gripper(self, width: float) -> None:
        """Opening of the fingers in metres."""
        self._full[self._fingers] = width * self.robot.gripper.finger_scale
        self.scene.setJointPositions(self._full)

    def collides(self, q: Array) -> bool:
        return bool(self.scene.hasCollisions(self.full(q)))

    def collides_between(self, a: Array, b: Array, step: float) -> bool:
        """Whether the straight joint motion from a to b touches anything, ends included.

        :param step: Euclidean joint distance in radians between checked configurations.
        """
        return bool(rc.hasCollisionsAlongPath(self.scene, self.full(a), self.full(b), step))

    @property
    def has_mesh(self) -> bool:
        """Whether an obstacle, when grown, may leave what it fills as it is: a mesh may."""
        return bool(self.with_mesh)

    def bodies(self, name: str) -> list[str]:
        """roboplan's body names of a robot link or an obstacle."""
        return self._geometry.get(name, [name] if name in self.links else [])

    def add(self, obj: SceneObject, held: bool, allowed: Callable[[str, str], bool]) -> None:
        """Adds an obstacle; `allowed(a, b)` says which names may touch.

        :param held: the object's pose is given in the frame of `robot.attach_link`, and it
            moves with it; else in the base frame.
        """
        frame = self.robot.tcp_link if held else UNIVERSE
        pose = obj.pose if held else self._base.compose(obj.pose)
        names = []
        for i, part in enumerate(obj.parts):
            name = f"{obj.id}/{i}"
            tform = np.asfortranarray(pose.compose(part.pose).matrix())
            self._add_geometry(name, frame, padded(part.shape, self.padding), tform)
            names.append(name)
        self._geometry[obj.id] = names
        if any(isinstance(part.shape, Mesh) for part in obj.parts):
            self.with_mesh.add(obj.id)
        pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
        for other in [*self.links, *(n for n in self._geometry if n != obj.id)]:
            if allowed(obj.id, other):
                pairs += [(a, b) for a in names for b in self.bodies(other)]
        if pairs:
            self.scene.setCollisions(pairs, False)

    def _add_geometry(self, name: str, frame: str, shape: Shape, tform: Array) -> None:
        if isinstance(shape, Box):
            self.scene.addBoxGeometry(name, frame, rc.Box(*shape.size), tform, GREY)
        elif isinstance(shape, Sphere):
            self.scene.addSphereGeometry(name, frame, rc.Sphere(shape.radius), tform, GREY)
        elif isinstance(shape, Cylinder):
            cylinder = rc.Cylinder(shape.radius, shape.height)
            self.scene.addCylinderGeometry(name, frame, cylinder, tform, GREY)
        else:
            self._add_mesh(name, frame, shape, tform)

    def _add_mesh(self, name: str, frame: str, mesh: Mesh, tform: Array) -> None:
        path = Path(self._meshes.name) / f"{abs(hash(name))}.stl"
        write_stl(mesh, path)
        self.scene.addMeshGeometry(name, frame, rc.Mesh(str(path)), tform, GREY)
        path.unlink()

    def remove(self, id: str) -> None:
        self.with_mesh.discard(id)
        for name in self._geometry.pop(id, []):
            self.scene.removeGeometry(name)

    def move(self, obj: SceneObject) -> None:
        """Puts an obstacle at its new pose in the base frame."""
        pose = self._base.compose(obj.pose)
        for name, part in zip(self._geometry[obj.id], obj.parts, strict=True):
            tform = np.asfortranarray(pose.compose(part.pose).matrix())
            self.scene.updateGeometryPlacement(name, UNIVERSE, tform)

    def set_pairs(self, pairs: Iterable[tuple[str, str]], collide: bool) -> None:
        """Lets pairs of names (links or obstacles) collide or not."""
        bodies = [(a, b) for x, y in pairs for a in self.bodies(x) for b in self.bodies(y)]
        if bodies:
            self.scene.setCollisions(bodies, collide)

    def attach_frame(self, q: Array) -> Pose:
        """Pose of the link that carries held objects in the base frame."""
        matrix = self.scene.forwardKinematics(
            self.full(q), self.robot.attach_link, self.robot.base_link
        )
        return Pose.from_matrix(np.asarray(matrix))
