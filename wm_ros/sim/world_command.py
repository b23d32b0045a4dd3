# SPDX-License-Identifier: Apache-2.0
"""``wm world``: a room of a seed for Gazebo, in one folder with all that its ROS side needs."""
from __future__ import annotations

import argparse
import os
from pathlib import Path

from wm_ros.errors import UserError
from wm_ros.files import write_text
from wm_ros.robot import load_robot

HELP = "Write the room of a seed as a Gazebo world, with robot, controllers and bridge."
FILES = ("world.sdf", "robot.urdf", "robot.yaml", "controllers.yaml", "bridge.yaml",
         "furniture.yaml", "parameters.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--room", default="home", help="home or office")
    parser.add_argument("--task", default="", help="task, or words such as 'open the cabinet "
                        "door', that the room is laid out for (default: any layout)")
    parser.add_argument("--seed", type=int, default=100,
                        help="number of layout, colours, light and camera poses")
    parser.add_argument("--train", action="store_true",
                        help="a layout of those that training sees (default: held out)")
    parser.add_argument("--robot", default="panda", help="robot by name or path of its YAML file")
    parser.add_argument("--out", type=Path,
                        help="folder (default: one of its own under out/worlds)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from wm_ros.sim.judging import task_for
    from wm_ros.sim.rooms import load_room
    from wm_ros.sim.tasks import TASKS
    load_room(args.room)
    if args.seed < 0:
        raise UserError("--seed must be at least 0.")
    task, seed = args.task, args.seed
    if task and task not in TASKS:
        meant = task_for(task, args.room, seed, not args.train)
        if meant is None:
            raise UserError(f"No task of the {args.room} is meant by {task!r}; there are "
                            f"{', '.join(n for n, k in TASKS.items() if k.room == args.room)}.")
        task, seed = meant
    folder = args.out or Path("out/worlds") / name_of(args.room, task, seed, not args.train)
    write(folder, args.room, task, seed, not args.train, args.robot)
    print(f"{folder}: {args.room} of seed {seed}{f', laid out for {task}' if task else ''}.\n"
          f"ros2 launch wm_ros {args.room}.launch.py sim:=gazebo world:={folder.resolve()}")
    return 0


def folder_of(room: str, task: str, seed: int, held_out: bool) -> Path:
    """Where the worlds that launch files and resets make are kept."""
    home = Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser()
    return home / "wm_ros" / "worlds" / name_of(room, task, seed, held_out)


def name_of(room: str, task: str, seed: int, held_out: bool) -> str:
    """What tells a world from others."""
    return f"{room}_{task or 'any'}_{seed}{'' if held_out else '_train'}"


def write(folder: Path, room: str, task: str, seed: int, held_out: bool,
          robot: str = "panda") -> None:
    """Write all files of a world; the same arguments give the same files.

    :param task: name of the task that the room is laid out for; "" for any layout
    :raises UserError: when the task is of another room, or the folder cannot be written
    """
    from wm_ros.sim import gazebo_config as config
    from wm_ros.sim.env import make_scene
    from wm_ros.sim.gazebo_robot import robot_urdf
    from wm_ros.sim.randomize import randomize
    from wm_ros.sim.rooms import load_room
    from wm_ros.sim.sdf_emitter import world_xml
    split = "held_out" if held_out else "train"
    if task:
        made, scene = make_scene(task, seed, split)
        if made.room != room:
            raise UserError(f"The task {task} belongs to the {made.room}, not to the {room}.")
    else:
        scene = randomize(load_room(room), seed, split)
    model = load_robot(robot)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "world.sdf").exists():
        raise UserError(f"{folder} holds something that is no world: name a new or an empty "
                        "folder with --out.")
    texts = {"world.sdf": world_xml(scene),
             "robot.urdf": robot_urdf(model, scene, folder / "controllers.yaml"),
             "robot.yaml": config.dump(config.robot_file(robot)),
             **config.files(model),
             "furniture.yaml": config.dump(config.furniture(scene)),
             "parameters.yaml": config.dump(config.parameters(folder, room))}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_text(folder / name, text)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); name another folder with "
                        "--out.") from error
