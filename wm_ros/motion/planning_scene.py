# SPDX-License-Identifier: Apache-2.0
"""The planning scene: obstacles, what the hand holds, what may touch, and questions about it."""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from wm_ros.motion.contacts import Contact, ContactFinder
from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Array, Pose
from wm_ros.motion.shapes import Part, SceneObject, check_shape
from wm_ros.motion.trajectory import Trajectory
from wm_ros.motion.urdf import carried, link_poses
from wm_ros.motion.world import CollisionWorld
from wm_ros.robot import RobotConfig

EXACT_RECHECK = 0.003  # rad, joint distance between checks of a trajectory


@dataclass(frozen=True)
class Attached:
    """A held object; its pose is given in `robot.attach_link`."""

    object: SceneObject
    link: str
    touch_links: tuple[str, ...] = ()


@dataclass
class Scene:
    """The obstacles, what the hand holds, and which pairs may touch."""

    objects: dict[str, SceneObject] = field(default_factory=dict)
    attached: dict[str, Attached] = field(default_factory=dict)
    allowed: set[frozenset[str]] = field(default_factory=set)
    allowed_with_all: set[str] = field(default_factory=set)


class PlanningScene:
    """The scene twice: as it is, and with obstacles grown by `padding` metres.

    Every method may be called from any thread.
    """

    def __init__(self, robot: RobotConfig, padding: float) -> None:
        self.robot = robot
        self.kinematics = Kinematics(robot)
        self.scene = Scene()
        self._exact = CollisionWorld(robot, 0.0)
        self._padded = CollisionWorld(robot, padding)
        self._contacts = ContactFinder(robot)
        urdf = ElementTree.parse(robot.urdf_path).getroot()
        self._still = set(link_poses(urdf, robot.base_link))
        self._carried = carried(urdf, robot.attach_link)
        self._lock = threading.RLock()
        self.set_gripper(robot.gripper.open_width)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Nobody plans, or asks about the scene, between the changes that are made within."""
        with self._lock:
            yield

    @property
    def links(self) -> list[str]:
        """Robot links that have a body."""
        return self._exact.links

    def set_gripper(self, width: float) -> None:
        """Opening of the fingers in metres."""
        with self._lock:
            for world in (self._exact, self._padded):
                world.set_gripper(width)
            self.kinematics.set_gripper(width)
            self._contacts.set_gripper(width)

    def _may_touch(self, a: str, b: str) -> bool:
        scene = self.scene
        if frozenset((a, b)) in scene.allowed or {a, b} & scene.allowed_with_all:
            return True
        links = set(self.links)
        if a not in links and b not in links:
            # Two still obstacles, or two held ones, never move against each other.
            return (a in scene.attached) == (b in scene.attached)
        thing, link = (b, a) if a in links else (a, b)
        if thing in links:
            return False
        if thing not in scene.attached:
            return link in self._still  # the arm may stand on it
        held = scene.attached[thing]
        return link in (held.link, *held.touch_links, self.robot.hand_link) or (
            link in (self.robot.attach_link, *self._finger_links())
        )

    def _finger_links(self) -> list[str]:
        return self._contacts.links_of_joints(self.robot.finger_joints)

    def _insert(self, obj: SceneObject, held: bool) -> None:
        for world in (self._exact, self._padded):
            world.add(obj, held, self._may_touch)
        self._contacts.dirty = True

    def _drop(self, id: str) -> None:
        for world in (self._exact, self._padded):
            world.remove(id)
        self._contacts.dirty = True

    def add_object(self, obj: SceneObject) -> None:
        """Adds an obstacle, or replaces the one of that id.

        :raises ValueError: if it has no parts or impossible sizes.
        """
        with self._lock:
            self._check(obj)
            self.remove_object(obj.id)
            self.scene.objects[obj.id] = obj
            self._insert(obj, held=False)

    def _check(self, obj: SceneObject) -> None:
        if not obj.id:
            raise ValueError("a collision object needs an id")
        if not obj.parts:
            raise ValueError(f"collision object {obj.id} has no shape")
        for part in obj.parts:
            problem = check_shape(part.shape)
            if problem or not np.isfinite(np.concatenate([*part.pose, *obj.pose])).all():
                why = problem or "its pose is not finite"
                raise ValueError(f"collision object {obj.id}: {why}")
        if obj.id in self.links:
            raise ValueError(f"{obj.id} is a link of the robot")

    def append_object(self, id: str, parts: Sequence[Part]) -> None:
        """Adds parts to an obstacle. :raises KeyError: if there is none of that id."""
        with self._lock:
            obj = self.scene.objects[id]
            self.add_object(replace(obj, parts=(*obj.parts, *parts)))

    def remove_object(self, id: str) -> bool:
        """Removes an obstacle or a held object; whether there was one."""
        with self._lock:
            known = self.scene.objects.pop(id, None) or self.scene.attached.pop(id, None)
            if known is not None:
                self._drop(id)
            return known is not None

    def forget_object(self, id: str) -> None:
        """Removes an object for good: what may touch it may not touch the next one of that id."""
        with self._lock:
            self.remove_object(id)
            self.scene.allowed = {pair for pair in self.scene.allowed if id not in pair}
            self.scene.allowed_with_all.discard(id)

    def moves_with_hand(self, link: str) -> bool:
        """Whether a link is carried by `robot.attach_link`, as all that is attached is."""
        return link in self._carried

    def clear(self) -> None:
        """Removes every obstacle and held object."""
        with self._lock:
            for id in [*self.scene.objects, *self.scene.attached]:
                self.remove_object(id)

    def move_object(self, id: str, pose: Pose) -> None:
        """Puts an obstacle at a new pose in the base frame.

        :raises KeyError: if there is none of that id.
        """
        if not np.isfinite(np.concatenate(pose)).all():
            raise ValueError(f"collision object {id}: its pose is not finite")
        with self._lock:
            obj = replace(self.scene.objects[id], pose=pose)
            self.scene.objects[id] = obj
            for world in (self._exact, self._padded):
                world.move(obj)
            self._contacts.dirty = True

    def attach(
        self,
        id: str,
        q: Array,
        link: str | None = None,
        touch_links: Sequence[str] = (),
        obj: SceneObject | None = None,
    ) -> None:
        """The hand now holds the object where it is at joint angles q.

        :param obj: an object that is not in the scene yet, posed in the base frame.
        :raises KeyError: if there is none of that id.
        :raises ValueError: as :meth:`add_object`; the scene is as before.
        """
        with self._lock:
            known = obj if obj is not None else self.scene.objects[id]
            frame = self._exact.attach_frame(np.asarray(q, dtype=np.float64))
            held = replace(known, pose=frame.inverse().compose(known.pose))
            self._check(held)
            self.remove_object(id)
            link = link or self.robot.hand_link
            self.scene.attached[id] = Attached(held, link, tuple(touch_links))
            self._insert(held, held=True)

    def detach(self, id: str, q: Array) -> None:
        """Lets go of a held object, which stays where it is at joint angles q.

        :raises KeyError: if nothing of that id is held.
        """
        with self._lock:
            held = self.scene.attached[id].object
            frame = self._exact.attach_frame(np.asarray(q, dtype=np.float64))
            self.remove_object(id)
            self.add_object(replace(held, pose=frame.compose(held.pose)))

    def held_pose(self, id: str, q: Array) -> Pose:
        """Pose of a held object in the base frame."""
        with self._lock:
            frame = self._exact.attach_frame(np.asarray(q, dtype=np.float64))
            return frame.compose(self.scene.attached[id].object.pose)

    def allow_collision(self, a: str, b: str | None = None, allowed: bool = True) -> None:
        """Lets two names (links or objects) touch, or one touch everything (b None)."""
        with self._lock:
            if b is None:
                (self.scene.allowed_with_all.add if allowed else
                 self.scene.allowed_with_all.discard)(a)
                others = [n for n in self._names() if n != a]
            else:
                pair = frozenset((a, b))
                (self.scene.allowed.add if allowed else self.scene.allowed.discard)(pair)
                others = [b]
            known = set(self._names())
            for other in others:
                if a in known and other in known and not {a, other} <= set(self.links):
                    collide = not self._may_touch(a, other)
                    for world in (self._exact, self._padded):
                        world.set_pairs([(a, other)], collide)
            self._contacts.dirty = True

    def set_allowed(self, pairs: Iterable[frozenset[str]], with_all: Iterable[str]) -> None:
        """Replaces the whole allowed-collision matrix, but for the robot's own links."""
        with self._lock:
            pairs, with_all = set(pairs), set(with_all)
            links = set(self.links)
            for pair in {p for p in pairs ^ self.scene.allowed if len(p) == 2 and not p <= links}:
                a, b = sorted(pair)
                self.allow_collision(a, b, pair in pairs)
            for name in with_all ^ self.scene.allowed_with_all:
                self.allow_collision(name, None, name in with_all)

    def _names(self) -> list[str]:
        return [*self.links, *self.scene.objects, *self.scene.attached]

    # ---- questions about one state ---------------------------------------------------------

    def fk(self, q: Array) -> Pose:
        with self._lock:
            return self.kinematics.fk(q)

    def link_pose(self, q: Array, link: str) -> Pose:
        """Pose of a link in the base frame. :raises KeyError: if there is no such link."""
        with self._lock:
            if link not in self._contacts.all_links:
                raise KeyError(link)
            return self.kinematics.link_pose(q, link)

    def ik(self, pose: Pose, seed_q: Array, avoid_collisions: bool = False) -> Array | None:
        """Joint angles that reach the pose, near the seed; None if there are none."""
        with self._lock:
            q = self.kinematics.ik(pose, seed_q)
            if q is None or not avoid_collisions or not self._exact.collides(q):
                return q
            for q in self.kinematics.ik_solutions(pose, seed_q):
                if not self._exact.collides(q):
                    return q
            return None

    def in_collision(self, q: Array) -> bool:
        with self._lock:
            return self._exact.collides(np.asarray(q, dtype=np.float64))

    def contacts(self, q: Array) -> list[Contact]:
        """Pairs that touch at joint angles q."""
        with self._lock:
            if self._contacts.dirty:
                self._contacts.rebuild(self.scene.objects, self.scene.attached, self._may_touch)
            return self._contacts.find(np.asarray(q, dtype=np.float64))

    @staticmethod
    def _free(world: CollisionWorld, trajectory: Trajectory, step: float) -> bool:
        positions = trajectory.positions
        i = 0
        if world.collides(positions[0]):
            return False
        for j in range(1, len(positions)):
            if j < len(positions) - 1 and np.linalg.norm(positions[j] - positions[i]) < step:
                continue
            if world.collides_between(positions[i], positions[j], step):
                return False
            i = j
        return True

