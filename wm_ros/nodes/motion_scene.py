# SPDX-License-Identifier: Apache-2.0
"""The planning scene as MoveIt's messages tell and ask it; a sentence says what went wrong."""

from __future__ import annotations

from collections.abc import Callable

from moveit_msgs.msg import (
    AttachedCollisionObject,
    CollisionObject,
    LinkPadding,
    LinkScale,
    PlanningScene,
    PlanningSceneComponents,
)

from wm_ros.bridge import moveit, poses
from wm_ros.errors import UserError
from wm_ros.motion.planner import Planner
from wm_ros.motion.pose import Array
from wm_ros.motion.urdf import disabled_pairs
from wm_ros.robot import RobotConfig

C = PlanningSceneComponents


class SceneKeeper:
    """Applies planning-scene messages to the planner and tells its scene."""

    def __init__(
        self,
        robot: RobotConfig,
        planner: Planner,
        frames: moveit.Frames,
        present: Callable[[], Array],
    ) -> None:
        """:param present: arm joints now, for what is attached and detached."""
        self.robot, self.planner, self.frames, self.present = robot, planner, frames, present
        self.own_allowed = {frozenset(pair) for pair in disabled_pairs(robot.srdf_path)}
        self.name = "(noname)+"

    # ---- in
    def change_object(self, message: CollisionObject) -> None:
        """One operation on an obstacle.

        :raises UserError: if it cannot be done; the scene is as before.
        """
        operation = message.operation
        if operation == CollisionObject.REMOVE:
            self._remove(message.id)
        elif operation in (CollisionObject.ADD, CollisionObject.APPEND):
            self._add(message, append=operation == CollisionObject.APPEND)
        elif operation == CollisionObject.MOVE:
            self._move(message)
        else:
            raise UserError(f"Collision object {message.id}: unknown operation {operation[0]}.")

    def _known(self, id: str) -> None:
        if id not in self.planner.scene.objects:
            raise UserError(f"There is no collision object {id!r} in the planning scene.")

    def _remove(self, id: str) -> None:
        if not id:
            for other in list(self.planner.scene.objects):
                self.planner.forget_object(other)
            return
        self._known(id)
        self.planner.forget_object(id)

    def _add(self, message: CollisionObject, append: bool) -> None:
        obj = moveit.from_object(message, self.frames)
        try:
            if append and obj.id in self.planner.scene.objects:
                old = self.planner.scene.objects[obj.id].pose
                to_old = old.inverse().compose(obj.pose)
                parts = [type(p)(p.shape, to_old.compose(p.pose)) for p in obj.parts]
                self.planner.append_object(obj.id, parts)
            else:
                self.planner.add_object(obj)
        except ValueError as error:
            raise UserError(f"{error}.") from error

    def _move(self, message: CollisionObject) -> None:
        self._known(message.id)
        if moveit.has_shapes(message):
            raise UserError(f"Collision object {message.id}: MOVE must not bring shapes.")
        pose = moveit.object_pose(message, self.frames)
        if not message.primitive_poses and not message.mesh_poses:
            self.planner.move_object(message.id, pose)
            return
        # Older clients move the parts: the object goes where its first part is wanted.
        places = [*message.primitive_poses, *message.mesh_poses]
        wanted = pose.compose(poses.from_pose(places[0]))
        part = self.planner.scene.objects[message.id].parts[0]
        self.planner.move_object(message.id, wanted.compose(part.pose.inverse()))

    def change_attached(self, message: AttachedCollisionObject) -> None:
        """Takes an object into the hand or lets it go.

        :raises UserError: if it cannot be done; the scene is as before.
        """
        obj, planner = message.object, self.planner
        if obj.operation == CollisionObject.REMOVE:
            for id in [obj.id] if obj.id else list(planner.scene.attached):
                if id not in planner.scene.attached:
                    raise UserError(f"No object {id!r} is attached to the robot.")
                planner.detach(id, self.present())
            return
        link = message.link_name or self.robot.hand_link
        try:
            planner.link_pose(self.present(), link)
        except KeyError as error:
            raise UserError(f"The robot has no link {link!r} to attach {obj.id} to.") from error
        shaped = moveit.from_object(obj, self.frames) if moveit.has_shapes(obj) else None
        if shaped is None:
            if obj.id in planner.scene.attached:
                return
            self._known(obj.id)
        if not planner.moves_with_hand(link):
            raise UserError(f"The link {link!r} does not move with the hand, and {obj.id} would: "
                            f"attach it to {self.robot.hand_link}, or add it to the world.")
        planner.attach(obj.id, self.present(), link, list(message.touch_links), shaped)

    def apply(self, message: PlanningScene) -> list[str]:
        """Applies a planning scene, whole for whoever plans meanwhile; what could not be done, one
        sentence each."""
        with self.planner.at_once():
            return self._apply(message)

    def _apply(self, message: PlanningScene) -> list[str]:
        problems: list[str] = []

        def attempt(change: Callable[..., None], item: object) -> None:
            try:
                change(item)
            except (UserError, ValueError) as error:
                problems.append(str(error))

        if not message.is_diff:
            self.planner.clear()
            self.planner.set_allowed(set(), set())
        if message.name:
            self.name = message.name
        for held in message.robot_state.attached_collision_objects:
            attempt(self.change_attached, held)
        for obj in message.world.collision_objects:
            attempt(self.change_object, obj)
        if message.allowed_collision_matrix.entry_names or (
            message.allowed_collision_matrix.default_entry_names
        ):
            attempt(self._set_allowed, message.allowed_collision_matrix)
        if message.world.octomap.octomap.data:
            problems.append("Octomaps are not supported by this planner; send boxes or meshes.")
        return problems

    def _set_allowed(self, message: object) -> None:
        self.planner.set_allowed(*moveit.from_matrix(message))  # type: ignore[arg-type]

    # ---- out
    def tell(self, components: int, q: Array | None, width: float) -> PlanningScene:
        """The scene's asked components; 0 asks for all of them."""
        components = components or 1023
        planner, robot = self.planner, self.robot
        message = PlanningScene(name=self.name, robot_model_name=robot.model_name)
        if q is not None and components & C.ROBOT_STATE:
            message.robot_state = moveit.to_state(q, robot, width)
        if components & C.ROBOT_STATE_ATTACHED_OBJECTS:
            message.robot_state.attached_collision_objects = [
                moveit.to_attached(held, robot) for held in list(planner.scene.attached.values())
            ]
        if components & (C.WORLD_OBJECT_NAMES | C.WORLD_OBJECT_GEOMETRY):
            geometry = bool(components & C.WORLD_OBJECT_GEOMETRY)
            message.world.collision_objects = [
                moveit.to_object(obj, robot.base_link, geometry)
                for obj in list(planner.scene.objects.values())
            ]
        if components & C.ALLOWED_COLLISION_MATRIX:
            names = [*planner.links, *planner.scene.objects, *planner.scene.attached]
            allowed = self.own_allowed | planner.scene.allowed
            message.allowed_collision_matrix = moveit.to_matrix(
                names, allowed, planner.scene.allowed_with_all
            )
        if components & C.LINK_PADDING_AND_SCALING:
            message.link_padding = [LinkPadding(link_name=n, padding=0.0) for n in planner.links]
            message.link_scale = [LinkScale(link_name=n, scale=1.0) for n in planner.links]
        return message
