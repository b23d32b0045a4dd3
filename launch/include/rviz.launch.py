# SPDX-License-Identifier: Apache-2.0
"""RViz with the display of a room or robot."""
from launch import LaunchDescription
from launch_ros.actions import Node

from wm_ros.launching.actions import declare, later, values
from wm_ros.launching.arguments import CONFIG, LOOK, WORLD, Argument
from wm_ros.launching.gazebo import need, robot_name
from wm_ros.launching.system import display, own_topics, real_time
from wm_ros.robot import load_robot

HEADLESS = Argument("headless", "false", "open no window", ("true", "false"))
SIM = Argument("sim", "", "gazebo takes the time from /clock by default")
TIME = Argument("use_sim_time", "auto", "take the time from /clock", ("auto", "true", "false"))
ARGUMENTS = (LOOK[0], HEADLESS, SIM, TIME, CONFIG, WORLD)


def start(context):
    """The actions for what the arguments were set to."""
    value = values(context, ARGUMENTS)
    if value["headless"] == "true":
        return []
    need(("rviz2",), "rviz:=true", "rviz:=false")
    robot = load_robot(robot_name(value["config"], value["world"]))
    return [Node(package="rviz2", executable="rviz2", name="rviz", output="log",
                 arguments=["-d", display(value["display"]), "--fixed-frame", robot.base_link],
                 # the display names this package's topics, the robot may have others
                 remappings=list(own_topics(value["config"]).items()),
                 parameters=[{"use_sim_time": not real_time(value)}])]


def generate_launch_description():
    """Entry point of ros2 launch."""
    return LaunchDescription([*declare(ARGUMENTS), later(start)])
