# SPDX-License-Identifier: Apache-2.0
"""The fixed furniture of a room as MoveIt's planning scene."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from moveit_msgs.msg import CollisionObject, PlanningScene
from shape_msgs.msg import SolidPrimitive

from wm_ros.bridge.poses import to_pose
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose
from wm_ros.sim.solids import fixed_solids

SHAPES = {"box": SolidPrimitive.BOX, "sphere": SolidPrimitive.SPHERE,
          "cylinder": SolidPrimitive.CYLINDER}


def collision_object(name: str, frame: str,
                     parts: Iterable[tuple[str, tuple[float, ...], Pose]]) -> CollisionObject:
    """An object made of parts.

    :param parts: shape, its size (m; box x y z; cylinder radius, length; sphere radius) and pose
    """
    message = CollisionObject(id=name, operation=CollisionObject.ADD)
    message.header.frame_id = frame
    message.pose.orientation.w = 1.0
    for shape, size, pose in parts:
        primitive = SolidPrimitive(type=SHAPES[shape])
        # MoveIt wants a cylinder's height before its radius
        order = [size[1], size[0]] if shape == "cylinder" else list(size)
        primitive.dimensions = [float(v) for v in order]
        message.primitives.append(primitive)
        message.primitive_poses.append(to_pose(pose))
    return message


def from_scene(scene: Any, frame: str, grow: float = 0.0) -> PlanningScene:
    """The parts of a simulated room that never move, as a planning-scene difference.

    Moving parts (drawers, doors, buttons) are left out: touching them is the task.

    :param grow: each part is made larger by this on every side (m), for what the arm's tracking
        error may be
    """
    message = PlanningScene(is_diff=True)
    message.robot_state.is_diff = True
    for furniture in scene.furnishings:
        parts = list(fixed_solids(furniture.body, Pose.identity(), grow))
        if parts:
            message.world.collision_objects.append(
                collision_object(furniture.name, frame, parts))
    return message


def from_yaml(data: Mapping[str, Any], frame: str) -> PlanningScene:
    """Furniture that a user wrote down: ``name: [{box: [x, y, z], position: ..., yaw: ...}]``.

    :raises UserError: when an entry cannot be read
    """
    message = PlanningScene(is_diff=True)
    message.robot_state.is_diff = True
    for name, entries in data.items():
        parts = []
        for entry in entries:
            shape = next((s for s in SHAPES if s in entry), None)
            if shape is None or "position" not in entry:
                raise UserError(f"The furniture {name} needs a shape ({', '.join(SHAPES)}) and a "
                                "position in each part.")
            half = 0.5 * float(entry.get("yaw", 0.0))
            turn = entry.get("quaternion", [0.0, 0.0, float(np.sin(half)), float(np.cos(half))])
            size = entry[shape]
            parts.append((shape, tuple(size) if isinstance(size, list) else (float(size),),
                          Pose.of(entry["position"], turn)))
        message.world.collision_objects.append(collision_object(str(name), frame, parts))
    return message
