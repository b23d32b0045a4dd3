# SPDX-License-Identifier: Apache-2.0
"""A scanned room as MoveIt's planning scene."""
from __future__ import annotations

from moveit_msgs.msg import PlanningScene

from wm_ros.bridge.furniture import collision_object
from wm_ros.motion.pose import Pose
from wm_ros.world_model.scene3d.perceived import PerceivedScene, Solid


def _part(solid: Solid, grow: float) -> tuple[str, tuple[float, ...], Pose]:
    size = solid.size
    if solid.shape == "box":
        return "box", tuple(v + 2 * grow for v in size), solid.pose
    if solid.shape == "sphere":
        return "sphere", (size[0] + grow,), solid.pose
    ends = size[0] if solid.shape == "capsule" else 0.0
    return "cylinder", (size[0] + grow, size[1] + 2 * (ends + grow)), solid.pose


def from_perceived(scene: PerceivedScene, frame: str, grow: float = 0.0, things: bool = True
                   ) -> PlanningScene:
    """Table, furniture and things as a planning-scene difference.

    :param grow: each part is made larger by this on every side, m
    :param things: whether movable things are obstacles too
    """
    message = PlanningScene(is_diff=True)
    message.robot_state.is_diff = True
    for piece in (scene.table, *scene.furniture):
        parts = [_part(b, 0.0 if piece is scene.table else grow) for b in piece.boxes]
        message.world.collision_objects.append(collision_object(piece.name, frame, parts))
    for thing in scene.things if things else ():
        message.world.collision_objects.append(
            collision_object(thing.name, frame, [_part(thing.solid, grow)]))
    return message
