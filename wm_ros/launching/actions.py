# SPDX-License-Identifier: Apache-2.0
"""Launch arguments, includes, nodes and commands as actions of ``launch``."""
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_context import LaunchContext
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EqualsSubstitution, LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from wm_ros import environment
from wm_ros.errors import UserError
from wm_ros.launching.arguments import Argument, checked, refuse_unknown
from wm_ros.launching.lifecycle import BringUp
from wm_ros.launching.system import installed
from wm_ros.nodes.node_list import PACKAGE, NodeSpec
from wm_ros.nodes.supervisor import WRONG_SETTINGS, child_environment
from wm_ros.paths import share

RESPAWN_DELAY = 1.0  # s


def declare(arguments: Iterable[Argument]) -> list[DeclareLaunchArgument]:
    """The arguments, each with its description and choices."""
    return [DeclareLaunchArgument(a.name, default_value=a.default, description=a.text)
            for a in arguments]


def values(context: LaunchContext, arguments: Iterable[Argument]) -> dict[str, str]:
    """What the arguments were set to."""
    arguments = list(arguments)
    return checked(arguments, {a.name: LaunchConfiguration(a.name).perform(context)
                               for a in arguments if a.name in context.launch_configurations})


def top(file: str, arguments: Sequence[Argument], reach: str = "LOCALHOST") -> list[Action]:
    """What a launch file begins with: its arguments, and a check of what was given.

    :param file: the launch file;  ``reach``: see :func:`wm_ros.environment.prepare`
    """
    environment.prepare(reach=reach)  # this process takes part in ROS too

    def check(context: LaunchContext) -> None:
        # inside another launch file the command line is that file's
        if Path(file).name in {Path(word).name for word in sys.argv}:
            refuse_unknown(arguments, context.argv)
        values(context, arguments)
    return [*declare(arguments), OpaqueFunction(function=check)]


def include(name: str, arguments: Mapping[str, Any], condition: Any = None) -> Action:
    """One of the parts in launch/include/, with this file's arguments and further ones.

    Read only when it is needed, so that ``--show-args`` tells this file's own arguments.
    """
    path = share() / "launch" / "include" / f"{name}.launch.py"

    def read(_context: LaunchContext) -> list[Action]:
        return [IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)),
                                         launch_arguments=dict(arguments).items())]
    return OpaqueFunction(function=read, condition=condition)


def passed(arguments: Iterable[Argument]) -> dict[str, Any]:
    """This file's arguments for an included file."""
    return {a.name: LaunchConfiguration(a.name) for a in arguments}


def when(name: str, value: str = "") -> IfCondition:
    """The condition that an argument has a value, or that it is true."""
    given = LaunchConfiguration(name)
    return IfCondition(EqualsSubstitution(given, value) if value else given)


def later(work: Callable[[LaunchContext], Sequence[Action] | None]) -> OpaqueFunction:
    """Actions that depend on what the arguments were set to."""
    return OpaqueFunction(function=work)


def own_environment(context: LaunchContext) -> dict[str, str]:
    """What this package's processes need beside the present environment."""
    wanted = child_environment()
    if any("launch-prefix" in name for name in context.launch_configurations):
        # with a debugger in between, this is not their parent
        wanted.pop(environment.SUPERVISOR, None)
    return {key: text for key, text in wanted.items() if os.environ.get(key) != text}


def node(context: LaunchContext, spec: NodeSpec, files: Sequence[str] = ()) -> Node:
    """One entry of the list of nodes.

    :param files: the user's parameter files, read after the package's own
    """
    parameters: dict[str, Any] = dict(spec.parameters)
    if spec.lifecycle:
        parameters["autostart"] = False
    common: dict[str, Any] = {
        "name": spec.name, "namespace": "", "exec_name": spec.name,
        "output": "screen", "respawn": spec.respawn,
        "respawn_delay": RESPAWN_DELAY, "parameters": [*spec.files(), *files, parameters],
        "additional_env": own_environment(context)}
    if not spec.files() and not files and not parameters:
        common.pop("parameters")
    if spec.command:
        common |= {"executable": spec.command[0], "arguments": list(spec.command[1:])}
    elif installed(spec.executable):
        common |= {"package": PACKAGE, "executable": spec.executable}
    else:
        common |= {"executable": sys.executable,
                   "arguments": ["-m", f"{PACKAGE}.nodes.{spec.executable}"]}
    return (LifecycleNode if spec.lifecycle else Node)(**common)


def bring_up(context: LaunchContext, specs: Sequence[NodeSpec],
             files: Sequence[str] = ()) -> list[Action]:
    """All nodes; those with a life cycle are brought to work by events."""
    made = [node(context, spec, files) for spec in specs]
    living = [action for action in made if isinstance(action, LifecycleNode)]
    ends = [RegisterEventHandler(OnProcessExit(target_action=action, on_exit=_refused))
            for action, spec in zip(made, specs, strict=True) if spec.safety]
    return [*ends, *made, BringUp(living)]


def _refused(event: Any, context: LaunchContext) -> list[Action]:
    if event.returncode != WRONG_SETTINGS:
        return []
    return end(context, f"{event.process_name} cannot work with its settings; it says why above")


def end(context: LaunchContext, reason: str) -> list[Action]:
    """End everything, unless it is ending."""
    return [] if context.is_shutdown else [EmitEvent(event=Shutdown(reason=reason))]


def command(context: LaunchContext, name: str, words: Sequence[str],
            end_all: bool = False) -> list[Action]:
    """A command beside the nodes.

    :param end_all: its end is the end of everything, and its failure the launch's
    """
    process = ExecuteProcess(cmd=list(words), name=name, output="screen",
                             additional_env=own_environment(context), sigterm_timeout="15")
    if not end_all:
        return [process]

    def ended(event: Any, context: LaunchContext) -> list[Action]:
        if event.returncode and not context.is_shutdown:
            # an error is the only way to a status other than 0 for the launch itself
            raise UserError(f"{name} ended with status {event.returncode}; it says why above.")
        return end(context, f"{name} has ended")
    return [RegisterEventHandler(OnProcessExit(target_action=process, on_exit=ended)), process]
