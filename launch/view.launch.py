# SPDX-License-Identifier: Apache-2.0
"""Only what people look at, beside nodes that run already: the page, RViz, or both."""
from launch import LaunchDescription

from wm_ros.launching.actions import include, later, node, passed, top, values, when
from wm_ros.launching.arguments import LOOK, whole_number
from wm_ros.launching.system import user_file
from wm_ros.nodes.node_list import VIEW


def start(context):
    """The page."""
    value = values(context, LOOK)
    if value["view"] == "false":
        return []
    spec = VIEW.with_parameters(port=whole_number("port", value["port"], 1))
    if value["use_sim_time"] == "true":
        spec = spec.with_parameters(use_sim_time=True)
    return [node(context, spec, user_file(value["config"]))]


def generate_launch_description():
    """Entry point of ros2 launch."""
    return LaunchDescription([
        *top(__file__, LOOK), later(start),
        include("rviz", passed(LOOK), condition=when("rviz")),
    ])
