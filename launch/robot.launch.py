# SPDX-License-Identifier: Apache-2.0
"""All nodes for a real robot; name your robot's topics and limits in config:=my_robot.yaml."""
from launch import LaunchDescription

from wm_ros.launching.actions import include, passed, top, when
from wm_ros.launching.arguments import ROBOT


def generate_launch_description():
    """Entry point of ros2 launch."""
    given = {**passed(ROBOT), "room": "", "sim": "none", "seed": "0", "held_out": "true",
             "world_parameters": ""}
    return LaunchDescription([
        *top(__file__, ROBOT, reach="SUBNET"),  # drivers may run elsewhere
        include("nodes", given),
        include("rviz", {**given, "display": "robot"},
                condition=when("rviz")),
    ])
