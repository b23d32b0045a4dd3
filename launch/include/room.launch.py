# SPDX-License-Identifier: Apache-2.0
"""Everything of a room, made of the other parts."""
from launch import LaunchDescription

from wm_ros.launching.actions import declare, include, passed, when
from wm_ros.launching.arguments import ROOM, Argument

ARGUMENTS = (Argument("room", "home", "which room", ("home", "office")), *ROOM)


def generate_launch_description():
    """Entry point of ros2 launch."""
    given = passed(ARGUMENTS)
    return LaunchDescription([
        *declare(ARGUMENTS),
        include("gazebo", given, condition=when("sim", "gazebo")),
        include("move_group", given, condition=when("moveit", "move_group")),
        include("nodes", given),
        include("rviz", {**given, "display": given["room"]},
                condition=when("rviz")),
    ])
