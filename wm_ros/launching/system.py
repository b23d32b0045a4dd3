# SPDX-License-Identifier: Apache-2.0
"""From launch arguments to the nodes of :mod:`wm_ros.nodes.node_list`; needs no ``launch``."""
from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from wm_ros.errors import UserError
from wm_ros.launching.arguments import seconds, whole_number
from wm_ros.launching.spelling import misspelt
from wm_ros.nodes.node_list import DEFAULTS, GAZEBO, PACKAGE, PORT, SEED, NodeSpec, nodes
from wm_ros.paths import checkpoints, prefixes, share


@dataclass(frozen=True)
class Layout:
    """The room of a seed: the task that its words mean ("" for none) and the seed that fits."""

    room: str
    task: str
    seed: int
    held_out: bool


@cache
def layout(room: str, instruction: str, seed: str, held_out: str = "true") -> Layout:
    """The layout in which the instruction makes sense, the same as `wm demo` takes."""
    from wm_ros.sim.judging import task_for
    number = whole_number("seed", seed)
    meant = task_for(instruction.strip() or DEFAULTS.get(room, ""), room, number,
                     held_out == "true")
    task, number = meant or ("", number)
    return Layout(room, task, number, held_out == "true")


def wanted_layout(room: str, value: Mapping[str, str]) -> Layout:
    """The layout of the launch arguments; what they leave open is as the user's parameter file
    has it for the simulation, else as in `wm demo`.

    :raises UserError: when there is no such layout
    """
    own = own_parameters(value["config"], "simulation")
    seed = value["seed"] or str(own.get("seed", SEED))
    held_out = value["held_out"]
    if held_out == "auto":
        held_out = str(own.get("held_out", True)).lower()
    if "task" in own and not value["instruction"].strip():
        return Layout(room, str(own["task"]), whole_number("seed", seed), held_out == "true")
    return layout(room, value["instruction"], seed, held_out)


def checkpoint(model: str, option: str = "model:=") -> str:
    """The model's folder as the imagination node takes it; "" for the one that ships.

    :param option: what the user wrote before it
    :raises UserError: when there is no such folder
    """
    if not model:
        return ""
    for folder in (Path(model), checkpoints() / model):
        if folder.is_dir():
            return str(folder.resolve())
    raise UserError(f"{option}{model} is not possible; there is no such folder. Give one that "
                    "`wm train` wrote.")


def user_file(path: str, option: str = "config:=") -> list[str]:
    """The user's own parameter file as a list of none or one.

    :param option: what the user wrote before it
    :raises UserError: when it is not there, holds no node parameters, or misspells one
    """
    if not path:
        return []
    file, given = Path(path).resolve(), f"{option}{path} is not possible;"
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{given} the file cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{given} it is no YAML: {' '.join(str(error).split())}.") from error
    groups = data.values() if isinstance(data, dict) else []
    if not any(isinstance(group, dict) and "ros__parameters" in group for group in groups):
        raise UserError(f"{given} it needs node parameters, such as `/**:` and below it "
                        "`ros__parameters:` (see config/topics.yaml).")
    wrong = misspelt(data)
    if wrong:
        raise UserError(f"{given} {wrong}")
    mixed = _mixed(data)
    if mixed:
        raise UserError(f"{given} {mixed} mixes numbers with and without a point: write 0.0 for "
                        "0, or ROS cannot read the file.")
    return [str(file)]


def _mixed(data: Any, name: str = "") -> str:
    """The parameter whose list holds whole numbers beside others, "" for none; ROS reads no such
    list."""
    if isinstance(data, list):
        return name.split("ros__parameters.")[-1] if {int, float} <= set(map(type, data)) else ""
    entries = data.items() if isinstance(data, dict) else ()
    return next(filter(None, (_mixed(entry, f"{name}.{key}") for key, entry in entries)), "")


def shared_parameters(file: str) -> dict[str, Any]:
    """What a parameter file sets for all nodes (below ``/**``)."""
    groups = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    return dict((groups.get("/**") or {}).get("ros__parameters") or {})


def own_parameters(config: str, node: str) -> dict[str, Any]:
    """What the user's parameter file sets for a node, its own entry before the one for all nodes.

    :raises UserError: when the file cannot be read
    """
    found: dict[str, Any] = {}
    for file in user_file(config):
        groups = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        for name in ("/**", node, f"/{node}"):
            found |= (groups.get(name) or {}).get("ros__parameters") or {}
    return found


def own_topics(config: str) -> dict[str, str]:
    """This package's names of sensor topics that the user's parameter file changes: own names.

    :raises UserError: when the file cannot be read
    """
    usual = shared_parameters(str(share() / "config" / "topics.yaml"))["topics"]
    changed: dict[str, str] = {}
    for file in user_file(config):
        own = shared_parameters(file)
        topics = {**(own.get("topics") or {}), **{key.removeprefix("topics."): name for key, name
                                                  in own.items() if key.startswith("topics.")}}
        changed |= {usual[key]: str(name) for key, name in topics.items()
                    if key in usual and name and name != usual[key]}
    return changed


def real_time(value: Mapping[str, str]) -> bool:
    """Whether the nodes take their time from the machine and not from /clock."""
    wish = value["use_sim_time"]
    return wish == "false" or (wish == "auto" and value.get("sim") != "gazebo")


def page_address(value: Mapping[str, str]) -> tuple[str, int]:
    """Host and port of the page: the launch argument, else as the user's parameter file has them.

    :raises UserError: when the port is none
    """
    own = own_parameters(value["config"], "view")
    port = whole_number("port", value["port"] or str(own.get("port", PORT)), 1, 65535)
    return str(own.get("host", "127.0.0.1")), port


def system(room: str | None, value: Mapping[str, str]) -> list[NodeSpec]:
    """The nodes that the arguments ask for.

    :param room: the room; None for a real robot
    :param value: the launch arguments
    """
    own = room is not None and value["sim"] == "mujoco"
    seen = value["headless"] == "false"
    view, rviz = (seen and value[name] == "true" for name in ("view", "rviz"))
    simulation: dict[str, Any] = {}
    if own:
        chosen = wanted_layout(str(room), value)
        simulation = {"task": chosen.task, "seed": chosen.seed, "held_out": chosen.held_out}
    specs = nodes(room if own else None, view=view, rviz=rviz,
                  moveit=value["moveit"] == "move_group", **simulation)
    if room is not None and value["sim"] == "gazebo":
        specs.insert(0, GAZEBO)
    more: dict[str, dict[str, Any]] = {"view": {"port": page_address(value)[1]}}
    folder = checkpoint(value["model"])
    if folder:
        more["imagination"] = {"checkpoint": folder}
    specs = [spec.with_parameters(**more.get(spec.name, {})) for spec in specs]
    if not real_time(value):
        # the embedded simulator makes the time, so it cannot wait for it
        specs = [spec if spec.name == "simulation" else spec.with_parameters(use_sim_time=True)
                 for spec in specs]
    return specs


def installed(name: str) -> bool:
    """Whether ``lib/wm_ros/<name>`` is to be started, or the module of this very checkout."""
    if (share() / "setup.py").is_file():
        return False
    return any((prefix / "lib" / PACKAGE / name).is_file() for prefix in prefixes())


def wm(*words: str) -> list[str]:
    """A ``wm`` command."""
    return [sys.executable, "-m", f"{PACKAGE}.cli", *words]


def display(name: str) -> str:
    """The RViz display of a room or robot.

    :raises UserError: when it is not installed
    """
    file = share() / "config" / "rviz" / f"{name}.rviz"
    if not file.is_file():
        raise UserError(f"There is no display {file} for RViz; leave rviz:=true out.")
    return str(file)


def record_command(value: Mapping[str, str]) -> list[str]:
    """The command of the recorder; [] without."""
    wish = value["record"].strip()
    if wish.lower() in ("", "false"):
        return []
    command = wm("record")
    if wish.lower() == "true":
        return command
    if Path(wish).exists():
        raise UserError(f"record:={wish} is not possible; it exists already, and a recording "
                        "never overwrites anything. Give a new folder.")
    return [*command, "--out", str(Path(wish).resolve())]


def instruction(room: str | None, value: Mapping[str, str]) -> str:
    """What is to be done: the launch argument; without one, in a simulated room that nobody looks
    at, what the room is laid out for, and "" elsewhere.
    """
    from wm_ros.sim.tasks import task_class
    words = value["instruction"].strip()
    if words or room is None or value["sim"] == "none" or value["headless"] == "false":
        return words
    chosen = wanted_layout(room, value)
    if not chosen.task:
        return DEFAULTS[room]
    split = "held_out" if chosen.held_out else "train"
    return task_class(chosen.task)(chosen.seed, split).instruction()


def instruct_command(room: str | None, value: Mapping[str, str],
                     specs: list[NodeSpec]) -> list[str]:
    """The command that has the instruction done once all nodes work; [] without.

    :raises UserError: when the time limit is none, or something is said of an instruction that
        there is not
    """
    words, limit = instruction(room, value), value["time_limit"]
    own = ["--time-limit", str(seconds("time_limit", limit))] if limit else []
    if not words:
        for name in ("time_limit", "once"):
            if value[name] not in ("", "false"):
                raise UserError(f"{name}:={value[name]} is not possible without an instruction; "
                                "add instruction:=\"what to do\", or leave it out.")
        return []
    required = [spec.name for spec in specs if spec.safety]
    return wm("instruct", words, *own, "--nodes", *required)


def replay_command(value: Mapping[str, str]) -> list[str]:
    """The command behind replay.launch.py.

    :raises UserError: when there is no such bag
    """
    if not value["bag"]:
        raise UserError("Say which bag to replay: bag:=FOLDER.")
    if not Path(value["bag"]).exists():
        raise UserError(f"bag:={value['bag']} is not possible; there is no such file or folder.")
    command = wm("replay", str(Path(value["bag"]).resolve()))
    if value["out"]:
        command += ["--out", str(Path(value["out"]).resolve())]
    for name in ("model", "proposer"):
        if value[name]:
            command += [f"--{name}", checkpoint(value[name], f"{name}:=")]
    if value["instruction"].strip():
        command += ["--instruction", value["instruction"].strip()]
    for name in ("topics", "baseline"):
        if value[name]:
            if not Path(value[name]).is_file():
                raise UserError(f"{name}:={value[name]} is not possible; there is no such file.")
            command += [f"--{name}", str(Path(value[name]).resolve())]
    return [*command, *(f"--{name}" for name in ("rectified", "realtime")
                        if value[name] == "true")]
