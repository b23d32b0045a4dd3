# SPDX-License-Identifier: Apache-2.0
"""Things on the table in MoveIt's planning scene: seen, made way for, held, put down."""
from __future__ import annotations

import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from moveit_msgs.msg import AttachedCollisionObject, CollisionObject, PlanningScene
from rclpy.serialization import deserialize_message

from wm_ros.bridge import joints, seen, times
from wm_ros.errors import UserError
from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Array, Pose
from wm_ros.motion.seen import Box
from wm_ros.motion.urdf import moved_links
from wm_ros.msg import Observation
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode
from wm_ros.nodes.clients import StopFlag

NAME = "seen_"  # how the names of what was seen begin
REACH = 0.06  # m from the tool's way to a thing that it may be meant for
STALLED = 0.004  # m by which the opening stays wider than commanded around a held thing, and by
# which it gets wider than that thing when it is let go


class _Held(NamedTuple):
    """What the hand holds: its name, and tool's pose and opening (m) when it was taken."""

    name: str
    tool: Pose
    width: float


class SeenObjects:
    """What the scene camera saw before the instruction began, kept up with what the hand does.

    What the tool comes near to is no obstacle while it is near: it may be what the words mean.

    :param change: applies a planning-scene difference; whether MoveIt took it
    """

    def __init__(self, node: WmNode, kinematics: Kinematics,
                 change: Callable[[PlanningScene, StopFlag], bool]) -> None:
        self.node, self.robot = node, node.robot
        self._kinematics, self._change = kinematics, change
        self._boxes: dict[str, Box] = {}
        self._shown: set[str] = set()
        self._held: _Held | None = None
        self._newest: bytes | None = None
        moved = moved_links(ElementTree.parse(self.robot.urdf_path).getroot())
        self._links = [self.robot.base_link, *(moved[j] for j in self.robot.arm_joints),
                       self.robot.hand_link]
        self._touch = [self.robot.hand_link, self.robot.attach_link,
                       *(moved[j] for j in self.robot.finger_joints)]
        node.create_subscription(Observation, "/wm/observation", self._hear, qos.SENSOR, raw=True)

    @property
    def names(self) -> set[str]:
        """What is shown to MoveIt as obstacles."""
        return self._shown

    def _hear(self, data: bytes) -> None:
        self._newest = data

    # --- before an instruction
    def tidy(self, known: PlanningScene, width: float, q: Array, stop: StopFlag) -> None:
        """Take out of MoveIt's scene what was seen before, but what the hand still holds.

        :param known: what MoveIt has of it, perhaps from a planning node before this one
        :param width: opening of the gripper, m
        :param q: (J,) present joints of the arm, rad
        """
        self._shown = {item.id for item in known.world.collision_objects
                       if item.id.startswith(NAME)}
        gripper = self.robot.gripper
        between = gripper.closed_width + STALLED < width < gripper.open_width - STALLED
        for item in known.robot_state.attached_collision_objects:
            if self._held is None and item.object.id.startswith(NAME):
                self._take_over(item.object, width, q)
                if not between:  # fingers at an end of their way hold nothing
                    self._drop_held(stop)
        if self._let_go(width):
            self._drop_held(stop)
        self._show(set(), stop)

    def _take_over(self, thing: CollisionObject, width: float, q: Array) -> None:
        """The hand holds what another planning node took."""
        link = self._kinematics.link_pose(q, thing.header.frame_id)
        self._boxes[thing.id] = seen.box(thing, link)
        self._held = _Held(thing.id, self._kinematics.fk(q), width)

    def look(self, furniture: PlanningScene | None, stop: StopFlag) -> None:
        """Take in what stands on the table now."""
        kept = {} if self._held is None else {self._held.name: self._boxes[self._held.name]}
        self._boxes = kept  # what stood there before does not count, even if nothing is seen
        message = self._seen_now(stop)
        if message is None:
            self.node.complain("No observation came, so nothing on the table is an obstacle.")
            return
        q = joints.from_joint_state(message.joint_state, self.robot.arm_joints).position
        low, high = (np.array(self.node.value(f"safety.workspace_{end}")) for end in
                     ("min", "max"))
        low[2] = 0.0
        chain = [self._kinematics.link_pose(q, link).position for link in self._links]
        chain.append(self._kinematics.fk(q).position)
        try:
            found = seen.seen_boxes(message, chain, furniture, low, high)
        except UserError as error:
            self.node.complain(str(error))
            return
        names = (name for i in count() if (name := f"{NAME}{i}") not in kept)
        self._boxes = kept | dict(zip(names, found, strict=False))

    def _seen_now(self, stop: StopFlag) -> Any:
        """The first observation of the arm at rest, or None."""
        since, limit = self.node.now(), time.monotonic() + 2.0
        while time.monotonic() < limit:
            if self._newest is not None:
                message: Any = deserialize_message(self._newest, Observation)
                if times.seconds(message.header.stamp) >= since:
                    return message
            stop.sleep(0.05)
        return None

    # --- while it is carried out
    def make_way(self, way: list[Pose], stop: StopFlag) -> None:
        """Things near the tool's way are no obstacles, all others are."""
        held = "" if self._held is None else self._held.name
        self._show({name for name, box in self._boxes.items() if name != held and min(
            box.distance(pose.position) for pose in way) > REACH}, stop)

    def gripped(self, width: float, present: float, tool: Pose, stop: StopFlag) -> None:
        """The gripper was told to go to ``width`` (m, one that it has) and stands at ``present``
        (m)."""
        if self._held is not None:
            if self._let_go(width):
                self._put_down(tool, stop)
            return
        near = sorted((box.distance(tool.position), name) for name, box in self._boxes.items())
        if present > width + STALLED and near and near[0][0] < REACH:
            name = near[0][1]
            self._show(self._shown - {name}, stop)
            taken = seen.held(name, self._boxes[name], self.robot.base_link,
                              self.robot.hand_link, self._touch)
            if self._apply(PlanningScene(), [taken], stop):
                self._held = _Held(name, tool, present)

    def _let_go(self, width: float) -> bool:
        """Whether fingers that are so far (m) open no longer hold what they held, if anything.

        How far a hand opens says little: a model may never ask for as wide as the robot can.
        """
        return self._held is not None and width >= min(self._held.width + STALLED,
                                                       self.robot.gripper.open_width)

    def _put_down(self, tool: Pose, stop: StopFlag) -> None:
        """What was held now stands where the tool is; it becomes an obstacle when that leaves."""
        assert self._held is not None
        name, taken = self._held.name, self._held.tool
        box = self._boxes[name]
        moved = tool.compose(taken.inverse()).compose(box.pose)
        self._boxes[name] = box._replace(pose=moved)
        self._drop_held(stop)

    def _drop_held(self, stop: StopFlag) -> None:
        if self._held is None:
            return
        name, self._held = self._held.name, None
        gone = AttachedCollisionObject(link_name=self.robot.hand_link)
        gone.object.id, gone.object.operation = name, CollisionObject.REMOVE
        scene = PlanningScene()
        self._apply(scene, [gone], stop)
        # what MoveIt lets go of stays in its world
        scene.world.collision_objects = [self._gone(name)]
        self._apply(scene, [], stop)

    def _gone(self, name: str) -> CollisionObject:
        gone = CollisionObject(id=name, operation=CollisionObject.REMOVE)
        gone.header.frame_id = self.robot.base_link
        return gone

    def _show(self, names: set[str], stop: StopFlag) -> None:
        if names == self._shown:
            return
        scene = PlanningScene()
        scene.world.collision_objects = [
            *(self._gone(name) for name in sorted(self._shown - names)),
            *(seen.obstacle(name, self._boxes[name], self.robot.base_link)
              for name in sorted(names - self._shown))]
        if self._apply(scene, [], stop):
            self._shown = names

    def _apply(self, scene: PlanningScene, attached: list[AttachedCollisionObject],
               stop: StopFlag) -> bool:
        scene.is_diff = scene.robot_state.is_diff = True
        scene.robot_state.attached_collision_objects = attached
        taken = self._change(scene, stop)
        if not taken:
            self.node.complain("MoveIt refused what the camera sees as obstacles.")
        return taken
