# SPDX-License-Identifier: Apache-2.0
"""Everything of a room, made of the other parts."""
from launch import LaunchDescription

from wm_ros.launching.actions import declare, include, later, passed, values, when
from wm_ros.launching.arguments import ROOM, Argument
from wm_ros.launching.gazebo import refuse_unused_world

ARGUMENTS = (Argument("room", "home", "which room", ("home", "office")), *ROOM)


def generate_launch_description():
    """Entry point of ros2 launch."""
    given = passed(ARGUMENTS)
    return LaunchDescription([
        *declare(ARGUMENTS),
        later(lambda context: refuse_unused_world(values(context, ARGUMENTS))),
        include("gazebo", given, condition=when("sim", "gazebo")),
        include("move_group", given, condition=when("moveit", "move_group")),
        include("nodes", given),
        include("rviz", {**given, "display": given["room"]},
                condition=when("rviz")),
    ])
