# SPDX-License-Identifier: Apache-2.0
"""Which bodies touch, and where: asked only once a state was found to collide."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from wm_ros.motion.planner_urdf import planner_urdf
from wm_ros.motion.pose import Array
from wm_ros.motion.shapes import Box, Cylinder, SceneObject, Shape, Sphere
from wm_ros.motion.urdf import base_in_root, moved_links
from wm_ros.paths import package_dirs
from wm_ros.robot import RobotConfig

MOST_CONTACTS = 100  # of one pair, of which the deepest is told


@dataclass(frozen=True)
class Contact:
    """Two touching names (links or objects), point (3,) and normal (3,) in the base frame."""

    body_1: str
    body_2: str
    position: Array
    normal: Array
    depth: float


class Held(Protocol):
    @property
    def object(self) -> SceneObject: ...


def _coal_shape(shape: Shape) -> Any:
    import coal

    if isinstance(shape, Box):
        return coal.Box(*shape.size)
    if isinstance(shape, Sphere):
        return coal.Sphere(shape.radius)
    if isinstance(shape, Cylinder):
        return coal.Cylinder(shape.radius, shape.height)
    model = coal.BVHModelOBBRSS()
    model.beginModel(len(shape.triangles), len(shape.vertices))
    model.addVertices(np.asarray(shape.vertices, dtype=np.float64))
    for a, b, c in shape.triangles:
        model.addTriangle(*(np.asarray(shape.vertices[int(i)], dtype=float) for i in (a, b, c)))
    model.endModel()
    return model


class ContactFinder:
    """Collision pairs by name with Pinocchio and Coal, which roboplan itself does not tell."""

    def __init__(self, robot: RobotConfig) -> None:
        self.robot = robot
        self.dirty = True
        self._urdf = planner_urdf(robot)
        root = ElementTree.fromstring(self._urdf)
        self._base = base_in_root(root, robot.base_link)
        self.all_links = [link.attrib["name"] for link in root.iter("link")]
        self._child = moved_links(root)
        self._width = robot.gripper.open_width
        self._model: Any = None
        self._geometry: Any = None
        self._names: list[str] = []

    def links_of_joints(self, joints: Iterable[str]) -> list[str]:
        """The links that the joints move."""
        return [self._child[joint] for joint in joints if joint in self._child]

    def set_gripper(self, width: float) -> None:
        self._width = width

    def rebuild(
        self,
        objects: Mapping[str, SceneObject],
        attached: Mapping[str, Held],
        may_touch: Callable[[str, str], bool],
    ) -> None:
        """Takes over the planning scene."""
        import pinocchio as pin

        self._model = pin.buildModelFromXML(self._urdf)
        geometry = pin.buildGeomFromUrdfString(
            self._model,
            self._urdf,
            pin.GeometryType.COLLISION,
            package_dirs=[str(path) for path in package_dirs(self.robot.urdf)],
        )
        geometry.addAllCollisionPairs()
        pin.removeCollisionPairs(self._model, geometry, str(self.robot.srdf_path))
        frames = self._model.frames
        names = [frames[g.parentFrame].name for g in geometry.geometryObjects]
        robot_count = len(names)
        carrier = self._model.frames[self._model.getFrameId(self.robot.attach_link)].parentJoint
        things = [(obj, 0, self._base.compose(obj.pose)) for obj in objects.values()]
        things += [(held.object, carrier, held.object.pose) for held in attached.values()]
        for obj, joint, pose in things:
            for i, part in enumerate(obj.parts):
                placement = pin.SE3(pose.compose(part.pose).matrix())
                geometry.addGeometryObject(
                    pin.GeometryObject(f"{obj.id}/{i}", joint, placement, _coal_shape(part.shape))
                )
                names.append(obj.id)
        for i in range(robot_count, len(names)):
            for j in range(i):
                if names[i] != names[j] and not may_touch(names[i], names[j]):
                    geometry.addCollisionPair(pin.CollisionPair(j, i))
        self._geometry, self._names = geometry, names
        self.dirty = False

    def find(self, q: Array) -> list[Contact]:
        """Contacts at arm joint angles q (n,)."""
        import pinocchio as pin

        model = self._model
        full = pin.neutral(model)
        for joint, value in zip(self.robot.arm_joints, q, strict=True):
            full[model.joints[model.getJointId(joint)].idx_q] = value
        for joint in self.robot.finger_joints:
            index = model.joints[model.getJointId(joint)].idx_q
            full[index] = self._width * self.robot.gripper.finger_scale
        data, geometry_data = model.createData(), self._geometry.createData()
        for request in geometry_data.collisionRequests:
            request.enable_contact = True
            request.num_max_contacts = MOST_CONTACTS
        pin.computeCollisions(model, data, self._geometry, geometry_data, full, False)
        contacts = []
        to_base = self._base.inverse()
        for pair, result in zip(
            self._geometry.collisionPairs, geometry_data.collisionResults, strict=True
        ):
            if not result.isCollision():
                continue
            contact = max(result.getContacts(), key=lambda c: abs(c.penetration_depth))
            contacts.append(
                Contact(
                    self._names[pair.first],
                    self._names[pair.second],
                    to_base.apply(np.array(contact.pos)),
                    to_base.rotation() @ np.array(contact.normal),
                    abs(float(contact.penetration_depth)),
                )
            )
        return contacts
