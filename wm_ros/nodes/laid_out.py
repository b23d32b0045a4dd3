# SPDX-License-Identifier: Apache-2.0
"""Since when the simulated room is as /wm/furniture tells it: the stamp of its objects."""
from __future__ import annotations

from builtin_interfaces.msg import Time
from moveit_msgs.msg import PlanningScene

from wm_ros.bridge import times


def stamped(scene: PlanningScene, stamp: Time) -> PlanningScene:
    """The same scene, laid out then."""
    for item in scene.world.collision_objects:
        item.header.stamp = stamp
    return scene


def laid_out(scene: PlanningScene) -> float:
    """When a scene was laid out (s, ROS clock); 0 where it does not say."""
    return max((times.seconds(item.header.stamp) for item in scene.world.collision_objects),
               default=0.0)
