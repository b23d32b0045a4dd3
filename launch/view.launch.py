# SPDX-License-Identifier: Apache-2.0
"""Only what people look at, beside nodes that run already: the page, RViz, or both."""
from launch import LaunchDescription

from wm_ros.launching.actions import bring_up, include, later, passed, top, values, when
from wm_ros.launching.arguments import LOOK
from wm_ros.launching.system import page_address, user_file
from wm_ros.nodes.node_list import VIEW, VISUALIZATION
from wm_ros.view.guard import check_address


def start(context):
    """The page, and what draws for RViz."""
    value = values(context, LOOK)
    specs = []
    if value["view"] != "false":
        host, port = page_address(value)
        check_address(host, port)
        specs.append(VIEW.with_parameters(port=port))
    if value["rviz"] == "true":
        specs.append(VISUALIZATION)
    if value["use_sim_time"] == "true":
        specs = [spec.with_parameters(use_sim_time=True) for spec in specs]
    return bring_up(context, specs, user_file(value["config"]))


def generate_launch_description():
    """Entry point of ros2 launch."""
    return LaunchDescription([
        *top(__file__, LOOK), later(start),
        include("rviz", passed(LOOK), condition=when("rviz")),
    ])
