# SPDX-License-Identifier: Apache-2.0
"""The office: simulator or Gazebo, motion planning, the world model, and an instruction."""
from launch import LaunchDescription

from wm_ros.launching.actions import include, passed, top
from wm_ros.launching.arguments import ROOM


def generate_launch_description():
    """Entry point of ros2 launch."""
    return LaunchDescription([*top(__file__, ROOM),
                              include("room", {"room": "office", **passed(ROOM)})])
