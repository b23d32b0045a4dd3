# SPDX-License-Identifier: Apache-2.0
"""Gazebo with a room, the robot in it with its controllers, and the bridge to ROS."""
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, RegisterEventHandler, SetLaunchConfiguration
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from wm_ros.launching.actions import declare, later, values
from wm_ros.launching.arguments import ROOM, Argument
from wm_ros.launching.gazebo import GAZEBO, gz_arguments, need, world_folder
from wm_ros.launching.system import own_topics
from wm_ros.robot import load_robot
from wm_ros.sim.gazebo_robot import spawn_pose

ARGUMENTS = (Argument("room", "home", "which room", ("home", "office")), *ROOM)
TIME = {"use_sim_time": True}
# s of wall time; the first pictures of a busy machine hold the simulation for long
PATIENCE = ["--switch-timeout", "120", "--service-call-timeout", "130"]


def server(folder, headless):
    """The simulator itself; everything ends with it."""
    file = Path(get_package_share_directory("ros_gz_sim"), "launch", "gz_sim.launch.py")
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(file)),
        launch_arguments={"gz_args": gz_arguments(folder, headless),
                          "on_exit_shutdown": "true"}.items())


def start(context):
    """The actions for what the arguments were set to."""
    need(GAZEBO, "sim:=gazebo", "sim:=mujoco")
    value = values(context, ARGUMENTS)
    folder = world_folder(value["room"], value)
    robot = load_robot(str(folder / "robot.yaml"))
    description = ParameterValue((folder / "robot.urdf").read_text(), value_type=str)
    spawn = Node(package="ros_gz_sim", executable="create", name="spawn_robot", output="screen",
                 arguments=["-world", value["room"], "-file", str(folder / "robot.urdf"),
                            "-name", robot.name, *spawn_pose(robot)], parameters=[TIME])
    controllers = Node(package="controller_manager", executable="spawner", output="screen",
                       arguments=["joint_state_broadcaster", robot.controllers.arm,
                                  robot.controllers.gripper, *PATIENCE], parameters=[TIME])
    return [
        SetLaunchConfiguration("world_parameters", str(folder / "parameters.yaml")),
        server(folder, value["headless"] == "true"),
        Node(package="robot_state_publisher", executable="robot_state_publisher", output="screen",
             respawn=True, parameters=[{"robot_description": description, **TIME}]),
        Node(package="ros_gz_bridge", executable="parameter_bridge", name="bridge",
             output="screen", respawn=True,
             parameters=[{"config_file": str(folder / "bridge.yaml"), **TIME}],
             # the file names this package's topics, the user's parameters may name others
             remappings=list(own_topics(value["config"]).items())),
        RegisterEventHandler(OnProcessExit(target_action=spawn, on_exit=[controllers])),
        spawn,
    ]


def generate_launch_description():
    """Entry point of ros2 launch."""
    return LaunchDescription([*declare(ARGUMENTS), later(start)])
