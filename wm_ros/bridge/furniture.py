# SPDX-License-Identifier: Apache-2.0
"""The fixed furniture of a room as MoveIt's planning scene."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from moveit_msgs.msg import CollisionObject, PlanningScene
from shape_msgs.msg import SolidPrimitive

from wm_ros.bridge import times
from wm_ros.bridge.poses import to_pose
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose
from wm_ros.sim.solids import fixed_solids

SHAPES = {"box": SolidPrimitive.BOX, "sphere": SolidPrimitive.SPHERE,
          "cylinder": SolidPrimitive.CYLINDER}
SIZES = {"box": "x y z", "sphere": "radius", "cylinder": "radius length"}


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
    if not isinstance(data, Mapping):
        raise UserError("Furniture is written as `name: [{box: [x, y, z], position: ...}]`.")
    for name, entries in data.items():
        if not isinstance(entries, list):
            raise UserError(f"The furniture {name} must be a list of parts, such as "
                            "[{box: [x, y, z], position: [x, y, z]}].")
        parts = [_part(entry, f"Part {number} of the furniture {name}")
                 for number, entry in enumerate(entries, 1)]
        message.world.collision_objects.append(collision_object(str(name), frame, parts))
    return message


def _part(entry: Any, which: str) -> tuple[str, tuple[float, ...], Pose]:
    """Shape, size and pose of one part; ``which`` begins the sentence of an error."""
    shape = next((s for s in SHAPES if s in entry), None) if isinstance(entry, Mapping) else None
    if shape is None or "position" not in entry:
        raise UserError(f"{which} needs a shape ({', '.join(SHAPES)}) and a position.")
    size = _numbers(entry, shape, SIZES[shape], which)
    if min(size) <= 0.0:
        raise UserError(f"{which}: sizes must be more than 0 m, not {shape}: {entry[shape]}.")
    half = 0.5 * (_numbers(entry, "yaw", "yaw", which)[0] if "yaw" in entry else 0.0)
    turn = (_numbers(entry, "quaternion", "x y z w", which) if "quaternion" in entry
            else (0.0, 0.0, float(np.sin(half)), float(np.cos(half))))
    if not np.linalg.norm(turn) > 1e-9:
        raise UserError(f"{which}: the quaternion has no length.")
    return shape, size, Pose.of(_numbers(entry, "position", "x y z", which), turn)


def _numbers(entry: Mapping[str, Any], key: str, names: str, which: str) -> tuple[float, ...]:
    """The numbers of an entry, as many as there are names."""
    given = entry[key] if isinstance(entry[key], list) else [entry[key]]
    try:
        numbers = tuple(float(value) for value in given)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != len(names.split()) or not np.isfinite(numbers).all():
        raise UserError(f"{which} needs {key}: [{', '.join(names.split())}] (m, rad), not "
                        f"{entry[key]}.")
    return numbers


def stamped(scene: PlanningScene, stamp: Time) -> PlanningScene:
    """The same scene, its objects stamped with when the room was laid out."""
    for item in scene.world.collision_objects:
        item.header.stamp = stamp
    return scene


def laid_out(scene: PlanningScene) -> float:
    """When a scene was laid out (s, ROS clock); 0 where it does not say."""
    return max((times.seconds(item.header.stamp) for item in scene.world.collision_objects),
               default=0.0)
