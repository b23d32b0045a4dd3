# SPDX-License-Identifier: Apache-2.0
"""Which world Gazebo loads and which ROS packages that needs; needs no ``launch``."""
from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from wm_ros.errors import UserError
from wm_ros.launching.system import shared_parameters, user_file, wanted_layout
from wm_ros.paths import prefixes
from wm_ros.sim.world_command import FILES, folder_of, write

GAZEBO = ("ros_gz_sim", "ros_gz_bridge", "gz_ros2_control", "robot_state_publisher",
          "controller_manager", "joint_state_broadcaster", "joint_trajectory_controller",
          "gripper_controllers")


def need(packages: Iterable[str], argument: str, instead: str) -> None:
    """Refuse an argument whose ROS packages are not installed.

    :raises UserError: with the command that installs them
    """
    marker = Path("share", "ament_index", "resource_index", "packages")
    missing = [name for name in packages
               if not any((prefix / marker / name).exists() for prefix in prefixes())]
    if missing:
        distribution = os.environ.get("ROS_DISTRO", "jazzy")
        apt = " ".join(f"ros-{distribution}-{name.replace('_', '-')}" for name in missing)
        raise UserError(f"{argument} needs ROS packages that are not installed; run `sudo apt "
                        f"install {apt}`, or take {instead}.")


def robot_name(config: str, world: str = "") -> str:
    """The robot of the world that is named, else of the user's parameter file, else the package's
    own."""
    for file in [f"{world}/parameters.yaml"] if world else user_file(config):
        return str(shared_parameters(file).get("robot", "panda"))
    return "panda"


def refuse_unused_world(value: Mapping[str, str]) -> None:
    """Refuse a world that nothing would load.

    :raises UserError: when one is named without Gazebo
    """
    if value["world"] and value["sim"] != "gazebo":
        raise UserError(f"world:={value['world']} is for Gazebo alone; add sim:=gazebo, or leave "
                        "it out.")


def world_folder(room: str, value: Mapping[str, str]) -> Path:
    """The folder of the world: the one that is named, or a new one for the seed.

    :raises UserError: when the named one is not whole, or of another room
    """
    if value["world"]:
        folder = Path(value["world"]).resolve()
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise UserError(f"world:={value['world']} is not possible; {missing[0]} is not in it. "
                            "Make a world with `wm world`.")
        data = yaml.safe_load((folder / "parameters.yaml").read_text(encoding="utf-8"))
        made = data.get("gazebo", {}).get("ros__parameters", {}).get("room", room)
        if made != room:
            raise UserError(f"world:={value['world']} is not possible; it is a world of the "
                            f"{made}: start {made}.launch.py for it.")
        return folder
    chosen = wanted_layout(room, value)
    folder = folder_of(room, chosen.task, chosen.seed, chosen.held_out)
    write(folder, room, chosen.task, chosen.seed, chosen.held_out, robot_name(value["config"]))
    return folder


def gz_arguments(folder: Path, headless: bool) -> str:
    """The command line of ``gz sim``; sensors render without a screen where there is none."""
    server = "-s --headless-rendering " if headless else ""
    return f"-r {server}{shlex.quote(str(folder / 'world.sdf'))}"
