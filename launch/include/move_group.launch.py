# SPDX-License-Identifier: Apache-2.0
"""MoveIt's own move_group for the robot, configured from the robot's YAML file."""
from launch import LaunchDescription
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from wm_ros import moveit_config
from wm_ros.launching.actions import declare, later, values
from wm_ros.launching.arguments import ROOM
from wm_ros.launching.gazebo import need, robot_name
from wm_ros.launching.system import own_topics, real_time
from wm_ros.robot import load_robot

MOVEIT = ("moveit_ros_move_group", "moveit_planners_ompl", "moveit_kinematics",
          "pilz_industrial_motion_planner", "moveit_simple_controller_manager")
ARGUMENTS = tuple(a for a in ROOM if a.name in ("sim", "config", "world", "use_sim_time"))


def start(context):
    """The actions for what the arguments were set to."""
    need(MOVEIT, "moveit:=move_group", "moveit:=embedded")
    value = values(context, ARGUMENTS)
    parameters = moveit_config.parameters(load_robot(robot_name(value["config"], value["world"])))
    for name in ("robot_description", "robot_description_semantic"):
        # else launch reads the XML as YAML
        parameters[name] = ParameterValue(parameters[name], value_type=str)
    # Gazebo's world names its own topics; without a name, or its controller manager takes it too
    states = own_topics(value["config"]).get("/joint_states") if value["sim"] != "gazebo" else None
    return [Node(package="moveit_ros_move_group", executable="move_group", output="screen",
                 respawn=True, respawn_delay=1.0,
                 remappings=[("/joint_states", states)] if states else None,
                 parameters=[parameters, {"use_sim_time": not real_time(value)}])]


def generate_launch_description():
    """Entry point of ros2 launch."""
    return LaunchDescription([*declare(ARGUMENTS), later(start)])
