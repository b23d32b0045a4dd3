# SPDX-License-Identifier: Apache-2.0
"""The nodes of this package, the recorder and the instruction."""
from launch import LaunchDescription

from wm_ros import environment
from wm_ros.launching.actions import bring_up, command, declare, later, values
from wm_ros.launching.arguments import ROOM, Argument
from wm_ros.launching.gazebo import robot_name
from wm_ros.launching.system import (
    instruct_command,
    page_address,
    record_command,
    system,
    user_file,
)
from wm_ros.robot import load_robot
from wm_ros.view.guard import check_address

ROOM_NAME = Argument("room", "", "home, office, or empty for a real robot", ("home", "office", ""))
WORLD = Argument("world_parameters", "", "YAML file with parameters of the nodes for one world")
ARGUMENTS = (ROOM_NAME, WORLD, *(a for a in ROOM if a.name != "world"))


def start(context):
    """The actions for what the arguments were set to."""
    value = values(context, ARGUMENTS)
    room = value["room"] or None
    if room is None:
        environment.prepare(reach="SUBNET")  # a real robot's drivers may run elsewhere
    load_robot(robot_name(value["config"]))  # refuses a wrong one before anything starts
    specs = system(room, value)
    if any(spec.name == "view" for spec in specs):
        check_address(*page_address(value))
    # the world was made for the robot, so its file comes last
    files = [*user_file(value["config"]), *filter(None, [value["world_parameters"]])]
    actions = bring_up(context, specs, files)
    recorder = record_command(value)
    if recorder:
        actions += command(context, "record", recorder)
    words = instruct_command(room, value, specs)
    if words:
        actions += command(context, "instruct", words, end_all=value["once"] == "true")
    return actions


def generate_launch_description():
    """Entry point of ros2 launch."""
    return LaunchDescription([*declare(ARGUMENTS), later(start)])
