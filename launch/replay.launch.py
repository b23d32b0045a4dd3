# SPDX-License-Identifier: Apache-2.0
"""A recorded bag runs through perception and imagination; the same as `wm replay`."""
from launch import LaunchDescription

from wm_ros.launching.actions import command, later, top, values
from wm_ros.launching.arguments import REPLAY
from wm_ros.launching.system import replay_command


def start(context):
    """The command for what the arguments were set to."""
    return command(context, "replay", replay_command(values(context, REPLAY)), end_all=True)


def generate_launch_description():
    """Entry point of ros2 launch."""
    return LaunchDescription([*top(__file__, REPLAY), later(start)])
