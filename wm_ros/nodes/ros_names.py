# SPDX-License-Identifier: Apache-2.0
"""Every topic, service, action and parameter of the nodes, as the nodes themselves create them.

Each node is configured once in this process, without its model, its physics and its page, and
asked what it has made. So the answer cannot differ from the code.
"""
from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import rclpy
from rclpy.action import ActionClient, ActionServer
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from wm_ros import nodes as nodes_package
from wm_ros.errors import UserError

# What every ROS node has; its names say nothing about the suite.
EVERYWHERE = ("/parameter_events", "/rosout")
ACTION = "_wm_ros_name"


@dataclass(frozen=True)
class Quality:
    """The part of a quality of service that decides whether two ends hear each other."""

    reliable: bool
    latched: bool
    depth: int

    @classmethod
    def of(cls, profile: QoSProfile) -> Quality:
        """From rclpy's profile."""
        return cls(profile.reliability == ReliabilityPolicy.RELIABLE,
                   profile.durability == DurabilityPolicy.TRANSIENT_LOCAL, int(profile.depth))

    def serves(self, wanted: Quality) -> bool:
        """Whether a publisher of this quality is heard by a subscription that wants ``wanted``."""
        return self.reliable >= wanted.reliable and self.latched >= wanted.latched

    def __str__(self) -> str:
        words = ["reliable" if self.reliable else "best effort"]
        words += ["latched"] if self.latched else []
        return f"{', '.join(words)}, {self.depth}"


@dataclass(frozen=True)
class Name:
    """One name that a node gives to others or uses: its type as in ``ros2 topic info``."""

    name: str
    type: str
    quality: Quality | None = None


@dataclass(frozen=True)
class Setting:
    """One parameter with its default; ``low`` and ``high`` bound a number."""

    name: str
    type: str
    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    read_only: bool = False


@dataclass
class NodeNames:
    """All that one node creates."""

    node: str
    executable: str
    purpose: str
    publishes: list[Name]
    hears: list[Name]
    serves: list[Name]
    asks: list[Name]
    acts: list[Name]
    wants: list[Name]
    settings: list[Setting]


def node_classes() -> list[tuple[str, type[Node]]]:
    """(program, class) of every node in ``wm_ros.nodes`` that starts without arguments."""
    found: list[tuple[str, type[Node]]] = []
    for module in pkgutil.iter_modules(nodes_package.__path__):
        if not module.name.endswith("_node"):
            continue
        code = importlib.import_module(f"{nodes_package.__name__}.{module.name}")
        if hasattr(code, "NODE"):  # it runs in a child process of this program
            code = importlib.import_module(code.NODE)
        if hasattr(code, "main"):
            found += [(module.name, kind) for kind in vars(code).values()
                      if inspect.isclass(kind) and issubclass(kind, Node)
                      and kind.__module__ == code.__name__
                      and not inspect.signature(kind).parameters]
    return found


def _noted(side: type) -> Any:
    """An action's end keeps its name and type, which rclpy's does not tell."""
    create = side.__init__  # type: ignore[misc]

    def init(self: Any, node: Node, action_type: Any, action_name: str, *args: Any,
             **more: Any) -> None:
        create(self, node, action_type, action_name, *args, **more)
        setattr(self, ACTION, (action_name, action_type))
    return mock.patch.object(side, "__init__", init)


@contextmanager
def _without_weight() -> Iterator[None]:
    """Nodes come without what takes long or opens ports: it creates no names."""
    with ExitStack() as stack:
        for target in ("wm_ros.nodes.simulation_loop.Loop.start",
                       "wm_ros.nodes.imagination.ImaginationNode._load",
                       "viser.ViserServer"):
            stack.enter_context(mock.patch(target))
        for side in (ActionServer, ActionClient):
            stack.enter_context(_noted(side))
        yield


def record() -> list[NodeNames]:
    """What every node creates, sorted by the nodes' names."""
    context = Context()
    rclpy.init(args=[], context=context)
    try:
        with _without_weight(), mock.patch("rclpy.node.get_default_context",
                                           lambda **_: context):
            made = [_record(program, kind) for program, kind in node_classes()]
    finally:
        context.try_shutdown()
    return sorted(made, key=lambda names: names.node)


def _record(program: str, kind: type[Node]) -> NodeNames:
    node = kind()  # type: ignore[call-arg]
    configure = getattr(node, "configure", None)
    if configure is not None:
        try:
            configure()
        except UserError as error:
            raise UserError(f"{program} cannot be configured to ask for its names: "
                            f"{error}") from error
    own = f"/{node.get_name()}/"
    seen = [end for end in node.waitables if hasattr(end, ACTION)]

    def names(things: list[tuple[str, Any, Any]]) -> list[Name]:
        kept = {Name(name, type_name(kind), None if profile is None else Quality.of(profile))
                for name, kind, profile in things
                if not name.startswith(own) and name not in EVERYWHERE}
        return sorted(kept, key=lambda n: n.name)

    def actions(side: type) -> list[Name]:
        return names([(*getattr(end, ACTION), None) for end in seen if isinstance(end, side)])
    result = NodeNames(
        node.get_name(), program, (inspect.getdoc(kind) or "").split("\n")[0],
        publishes=names([(p.topic_name, p.msg_type, p.qos_profile) for p in node.publishers]),
        hears=names([(s.topic_name, s.msg_type, s.qos_profile) for s in node.subscriptions]),
        serves=names([(_full(s.srv_name), s.srv_type, None) for s in node.services]),
        asks=names([(_full(c.srv_name), c.srv_type, None) for c in node.clients]),
        acts=actions(ActionServer), wants=actions(ActionClient),
        settings=_settings(node))
    if hasattr(node, "_workers"):
        node._workers.shutdown(wait=False)
    return result


def _full(name: str) -> str:
    return name if name.startswith("/") else f"/{name}"


def type_name(kind: Any) -> str:
    """The name of an interface's class, such as ``sensor_msgs/msg/Image``."""
    package, part = kind.__module__.split(".")[:2]
    return f"{package}/{part}/{kind.__name__}"


TYPES = {1: "bool", 2: "integer", 3: "number", 4: "text", 6: "booleans", 7: "integers",
         8: "numbers", 9: "texts"}


def _settings(node: Node) -> list[Setting]:
    own = [name for name in node._parameters
           if name not in ("use_sim_time", "start_type_description_service")]
    found = []
    for told in node.describe_parameters(own):
        spans = [*told.floating_point_range, *told.integer_range]
        low, high = (spans[0].from_value, spans[0].to_value) if spans else (None, None)
        found.append(Setting(told.name, TYPES[told.type], node.get_parameter(told.name).value,
                             told.description, low, high, told.read_only))
    return found
