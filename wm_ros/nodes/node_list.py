# SPDX-License-Identifier: Apache-2.0
"""The one list of nodes that `wm demo` and the launch files start."""
from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wm_ros.paths import config

PACKAGE = "wm_ros"
SHARED = ("topics.yaml", "safety.yaml", "nodes.yaml")
# a room's instruction where none is given: what the shipped checkpoint was seen to do at the seed
DEFAULTS = {"home": "put the mug on the tray", "office": "open the drawer"}
SEED, PORT = 101, 8080  # of the layout, and of the page


@dataclass(frozen=True)
class NodeSpec:
    """One node as a process.

    :param executable: program in ``lib/wm_ros`` and module in ``wm_ros.nodes``
    :param parameter_files: YAML files in config/
    :param parameters: single parameters that overrule the files
    :param respawn: start it again when it ends by itself
    :param lifecycle: it has a life cycle (and starts itself while ``autostart`` is true)
    :param safety: without it the arm must not move
    :param command: another command line in place of the module's, for stand-ins
    """

    name: str
    executable: str
    parameter_files: tuple[str, ...] = SHARED
    parameters: Mapping[str, Any] = field(default_factory=dict)
    respawn: bool = True
    lifecycle: bool = True
    safety: bool = True
    command: tuple[str, ...] = ()

    def files(self) -> list[str]:
        """Paths of the parameter files."""
        return [str(config(name)) for name in self.parameter_files]

    def with_parameters(self, **parameters: Any) -> NodeSpec:
        """The same node with some parameters set."""
        return replace(self, parameters={**self.parameters, **parameters})

    def command_line(self, own: Sequence[str] = ()) -> list[str]:
        """Command that starts the node as a Python module.

        :param own: the user's parameter files, read after the package's
        """
        line = list(self.command) or [sys.executable, "-m", f"{PACKAGE}.nodes.{self.executable}"]
        line += ["--ros-args"]
        for path in [*self.files(), *own]:
            line += ["--params-file", path]
        for name, value in self.parameters.items():
            # with the node's name, or the files' entries for the node would win
            line += ["-p", f"{self.name}:{name}:={_yaml(value)}"]
        return line


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    # quotes keep words like 1_000 or yes from being read as something else
    return f"'{value}'" if isinstance(value, str) else str(value)  # a list prints as YAML reads it


SIMULATION = NodeSpec("simulation", "simulation_node")
# in place of SIMULATION where Gazebo runs; its parameters are in the world's own file
GAZEBO = NodeSpec("gazebo", "gazebo_node", safety=False)
MOTION = NodeSpec("move_group", "motion_node", (*SHARED, "motion.yaml"))
PERCEPTION = NodeSpec("perception", "perception_node")
IMAGINATION = NodeSpec("imagination", "imagination_node")
PLANNING = NodeSpec("planning", "planning_node")
MONITOR = NodeSpec("monitor", "monitor_node")
VISUALIZATION = NodeSpec("visualization", "visualization_node", safety=False)
VIEW = NodeSpec("view", "view_node", lifecycle=False, safety=False)


def nodes(room: str | None = "home", view: bool = False, moveit: bool = False,
          rviz: bool = False, **simulation: Any) -> list[NodeSpec]:
    """The nodes of a scene.

    :param room: room to simulate; None for a real robot
    :param view: the page in the browser too
    :param rviz: the node that draws for RViz too
    :param moveit: MoveIt's own move_group runs, so the motion node is not needed
    :param simulation: further parameters of the simulation node (task, seed, held_out)
    """
    required = ["perception", "imagination", "planning"]
    chosen = [PERCEPTION, IMAGINATION, PLANNING]
    if not moveit:
        required.append("move_group")
        chosen.insert(0, MOTION)
    if room is not None:
        required.append("simulation")
        chosen.insert(0, SIMULATION.with_parameters(room=room, **simulation))
    # the monitor must know which nodes this system has
    chosen.append(MONITOR.with_parameters(**{"safety.nodes": required}))
    if rviz:
        chosen.append(VISUALIZATION)
    if view:
        chosen.append(VIEW)
    return chosen
