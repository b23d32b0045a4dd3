# SPDX-License-Identifier: Apache-2.0
"""Every argument of every launch file: its default, what it means, what it may be."""
from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wm_ros.errors import UserError
from wm_ros.nodes.node_list import DEFAULTS

BOOL = ("true", "false")


@dataclass(frozen=True)
class Argument:
    """One launch argument; ``choices`` are its only values, or () for any text."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The description with the choices."""
        choices = f" ({', '.join(self.choices)})" if self.choices else ""
        return self.description + choices

    def read(self, value: str) -> str:
        """The value as it is meant; a shell leaves the ``~`` of a folder after ``:=`` as it is.

        :raises UserError: when it is none of the choices
        """
        if set(BOOL) <= set(self.choices):  # as ROS launch itself reads them
            value = {"1": "true", "0": "false"}.get(value, value.lower())
        if self.choices and value not in self.choices:
            raise UserError(f"{self.name}:={value} is not possible; choose one of "
                            f"{', '.join(self.choices)}.")
        return os.path.expanduser(value)


def _switch(name: str, default: str, description: str) -> Argument:
    return Argument(name, default, description, BOOL)


SIM = Argument("sim", "mujoco", "what the arm lives in: this package's own simulator, Gazebo, or "
               "nothing where a robot or a simulator runs already",
               ("mujoco", "gazebo", "none"))
MOVEIT = Argument("moveit", "embedded", "who plans motions: this package's own planner behind "
                  "MoveIt's interfaces, or MoveIt's move_group",
                  ("embedded", "move_group"))
MODEL = Argument("model", "", "name or folder of the trained world model; empty: the one that "
                 "ships")
INSTRUCTION = Argument("instruction", "", "what to do as soon as everything is ready, in plain "
                       "words; empty: wait for goals on /wm/execute_instruction, but in a "
                       "simulated room with headless:=true do what the room is laid out for ("
                       + ", ".join(f"{room}: {words}" for room, words in DEFAULTS.items()) + ")")
TIME_LIMIT = Argument("time_limit", "", "seconds for the instruction; empty: the planning node's "
                      "time_limit, which config:= may set")
ONCE = _switch("once", "false", "end everything when the instruction has ended")
SEED = Argument("seed", "", "number of the room's layout, colours, light and camera poses; "
                "empty: what config:= says, else 101")
HELD_OUT = Argument("held_out", "auto", "take a layout that training never saw, auto meaning what "
                    "config:= says, else true", ("auto", *BOOL))
RECORD = Argument("record", "false", "keep all topics in a bag: true for a new folder in "
                  "out/bags, or the name of a new folder; false: no bag")
HEADLESS = _switch("headless", "false", "open no window and serve no page")
RVIZ = _switch("rviz", "false", "start RViz with this package's display")
VIEW = _switch("view", "true", "serve a page with the robot, the camera and what is imagined")
PORT = Argument("port", "", "port of the page; empty: what config:= says, else 8080")
CONFIG = Argument("config", "", "YAML file with parameters of the nodes, read after this "
                  "package's own files")
USE_SIM_TIME = Argument("use_sim_time", "auto", "take the time from /clock, auto meaning with "
                        "Gazebo only", ("auto", *BOOL))
WORLD = Argument("world", "", "with Gazebo: folder of a world made by `wm world`; empty: make the "
                 "one of the seed")

ROOM = (SIM, MOVEIT, MODEL, INSTRUCTION, TIME_LIMIT, ONCE, SEED, HELD_OUT, RECORD, HEADLESS, RVIZ,
        VIEW, PORT, CONFIG, USE_SIM_TIME, WORLD)
ROBOT = (Argument("config", "", "YAML file of your robot: its topics, frames, limits and the name "
                  "of its robot file (docs/own_robot.md); empty: the Panda"),
         Argument("moveit", "move_group", "who plans motions: your robot's move_group, which you "
                  "start, or this package's own planner behind MoveIt's interfaces",
                  ("move_group", "embedded")),
         MODEL, INSTRUCTION, TIME_LIMIT, ONCE, RECORD, HEADLESS, RVIZ, VIEW, PORT,
         Argument("use_sim_time", "false", "take the time from /clock", BOOL))
LOOK = (Argument("display", "home", "which display RViz opens", ("home", "office", "robot")),
        RVIZ, VIEW, PORT, CONFIG,
        Argument("use_sim_time", "false", "take the time from /clock", BOOL))
REPLAY = (Argument("bag", "", "the bag to replay: a folder, or an .mcap or .db3 file"),
          Argument("out", "", "new folder for metrics and report; empty: out/replay and the time"),
          MODEL,
          Argument("topics", "", "YAML file that says which topic carries what, as "
                   "config/bag_topics.yaml does; empty: the names of config/topics.yaml"),
          Argument("instruction", "", "what the arm was asked to do; empty: what /wm/instruction "
                   "says in the bag"),
          Argument("proposer", "", "who proposes, for a model that only foresees: its name or "
                   "folder; empty: nobody"),
          _switch("rectified", "false", "the images are rectified: P of camera_info counts "
                  "instead of K and D"),
          Argument("baseline", "", "metrics.json of an earlier replay; worse than it is an error"),
          _switch("realtime", "false", "as fast as it was recorded, not as fast as possible"))
FILES = {"home": ROOM, "office": ROOM, "robot": ROBOT, "view": LOOK, "replay": REPLAY}


def checked(arguments: Iterable[Argument], values: Mapping[str, str]) -> dict[str, str]:
    """All values, the defaults among them.

    :raises UserError: when a value is none of the choices
    """
    return {a.name: a.read(values.get(a.name, a.default)) for a in arguments}


def refuse_unknown(arguments: Iterable[Argument], given: Iterable[str]) -> None:
    """Catch misspelt names, which ROS launch itself passes over in silence.

    :param given: words such as ``sim:=gazebo`` from the command line
    :raises UserError: for a name that is no argument
    """
    known = [argument.name for argument in arguments]
    for word in given:
        name = word.split(":=", 1)[0]
        if ":=" not in word or name in known or name.startswith("launch-prefix"):
            continue
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}:=?" if near else f"there are {', '.join(known)}."
        raise UserError(f"There is no argument {name}:= here; {hint}")


def whole_number(name: str, text: str, low: int = 0, high: float = math.inf) -> int:
    """An argument as a whole number.

    :raises UserError: when it is none, smaller than ``low`` or larger than ``high``
    """
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        end = "on" if high == math.inf else f"to {high}"
        raise UserError(f"{name}:={text} is not possible; give a whole number from {low} {end}.")
    return number


def seconds(name: str, text: str) -> float:
    """An argument as a positive duration (s).

    :raises UserError: when it is none
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise UserError(f"{name}:={text} is not possible; give seconds, more than 0.")
    return number
