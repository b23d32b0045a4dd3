# SPDX-License-Identifier: Apache-2.0
"""Things that the scene camera sees, as collision objects."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from moveit_msgs.msg import AttachedCollisionObject, CollisionObject, PlanningScene
from shape_msgs.msg import SolidPrimitive

from wm_ros.bridge import observations, poses
from wm_ros.bridge.furniture import collision_object
from wm_ros.errors import UserError
from wm_ros.motion.pose import Array, Pose
from wm_ros.motion.seen import Box, boxes, counted, inside, near_chain
from wm_ros.msg import Observation

ARM = 0.13  # m around the lines between the joints that belong to the robot
FURNITURE = 0.02  # m around furniture whose points are not taken for things
FOOT = 0.008  # m by which a held thing's box is lifted off what it stood on


def seen_boxes(message: Observation, chain: Sequence[Array], furniture: PlanningScene | None,
               low: Array, high: Array) -> list[Box]:
    """Boxes of what stands free on the table.

    :param chain: positions (3,) m of the robot's joints, from the base to the tool
    :param low: lowest x, y, z that counts, in the base frame (m); ``high``: the highest
    :raises UserError: when no camera gives depth
    """
    cloud = observations.cloud(message)
    if cloud is None:
        raise UserError("No camera gives depth, so nothing on the table can be seen.")
    points = cloud.points
    points = points[counted(points, low, high)]
    points = points[~near_chain(points, chain, ARM)]
    for item in (furniture.world.collision_objects if furniture is not None else ()):
        base = poses.from_pose(item.pose)
        for shape, pose in zip(item.primitives, item.primitive_poses, strict=True):
            place = base.compose(poses.from_pose(pose))
            points = points[~inside(points, place, extent(shape), FURNITURE)]
    return boxes(points, np.asarray(low), np.asarray(high))


def extent(shape: SolidPrimitive) -> Array:
    """(3,) sizes (m) of the box around a primitive."""
    size = np.array(shape.dimensions, dtype=float)
    if shape.type == SolidPrimitive.BOX:
        return size
    if shape.type == SolidPrimitive.SPHERE:
        return np.full(3, 2 * size[0])
    return np.array([2 * size[1], 2 * size[1], size[0]])  # cylinder and cone: height, radius


def obstacle(name: str, box: Box, frame: str) -> CollisionObject:
    """A box as an obstacle."""
    return collision_object(name, frame, [("box", tuple(box.size), box.pose)])


def box(thing: CollisionObject, frame: Pose) -> Box:
    """The box that an obstacle is.

    :param frame: pose of the obstacle's own frame
    """
    place = poses.from_pose(thing.pose).compose(poses.from_pose(thing.primitive_poses[0]))
    return Box(frame.compose(place), np.array(thing.primitives[0].dimensions, dtype=float))


def held(name: str, box: Box, frame: str, link: str,
         touch_links: Sequence[str]) -> AttachedCollisionObject:
    """A box that the hand holds, where it is now."""
    lifted = box.pose.position + [0.0, 0.0, FOOT / 2]
    size = np.maximum(box.size - [0.0, 0.0, FOOT], 0.005)
    thing = obstacle(name, Box(box.pose._replace(position=lifted), size), frame)
    return AttachedCollisionObject(link_name=link, object=thing, touch_links=list(touch_links))
