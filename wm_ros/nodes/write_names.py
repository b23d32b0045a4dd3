# SPDX-License-Identifier: Apache-2.0
"""Writes docs/ros_names.md from the nodes themselves: python -m wm_ros.nodes.write_names."""
from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from wm_ros import environment
from wm_ros.nodes import meanings, parameters
from wm_ros.nodes.ros_names import Name, NodeNames, Setting
from wm_ros.paths import share
from wm_ros.robot import RobotConfig, load_robot

PAGE = Path("docs") / "ros_names.md"
UNITS = ("s", "m", "m/s", "Hz", "N", "rad", "pixels")
SHARED = {"Every node": parameters.COMMON, "`config/topics.yaml`": parameters.TOPICS,
          "`config/safety.yaml`": parameters.SAFETY}
LONG = 60  # characters of a default that fit into the table

HEADER = """# ROS names

Every topic, service, action and parameter, its type, unit and quality of service. Written from the
code by `python -m wm_ros.nodes.write_names`; do not edit it by hand. Units are SI and radians,
quaternions x y z w; poses are in the robot's base frame unless the header says otherwise.

Topics with a parameter's name beside them can be renamed under `topics:` of the file that you give
as `config:=` or `--config` (defaults: `config/topics.yaml`). `<arm>` and `<gripper>` are the
controllers' names in the robot's YAML file ({arm} and {gripper} for the {robot}). In the column
*quality*, *latched* means transient local, and the number is the depth of the queue; of publishers
first, of subscriptions after *heard*.

The node in `motion_node` is called `move_group` because it stands in for MoveIt's own, which
serves the same names where it runs; that of `simulation_node` stands in for the robot's drivers.
"""


def page(found: Iterable[NodeNames], robot: RobotConfig, interfaces: Path) -> str:
    """The page as Markdown.

    :param interfaces: folder with msg/, srv/ and action/
    """
    nodes = list(found)
    plain = _plain(robot)
    parts = [HEADER.format(arm=f"`{robot.controllers.arm}`", robot=robot.name,
                           gripper=f"`{robot.controllers.gripper}`"),
             "## Nodes\n", _table(("node", "program", "what it does"),
                                  [(f"`{n.node}`", f"`{n.executable}`", n.purpose)
                                   for n in nodes]),
             "## Topics\n", _topics(nodes, plain),
             "## Services\n", _calls(nodes, plain, "serves", "asks", meanings.SERVICES),
             "## Actions\n", _calls(nodes, plain, "acts", "wants", meanings.ACTIONS),
             "## Parameters\n", *_parameters(nodes),
             "## The suite's own types\n", *_types(interfaces)]
    return "\n".join(parts)


def unexplained(found: Iterable[NodeNames], robot: RobotConfig) -> set[str]:
    """Names that `meanings.py` does not explain."""
    plain = _plain(robot)
    nodes = list(found)
    topics = {plain(n.name) for node in nodes for n in (*node.publishes, *node.hears)}
    calls = {plain(n.name) for node in nodes for n in (*node.serves, *node.asks)}
    actions = {plain(n.name) for node in nodes for n in (*node.acts, *node.wants)}
    known = {_default(key): key for key in meanings.TOPICS}
    return ((topics - set(known)) | (calls - set(meanings.SERVICES))
            | (actions - set(meanings.ACTIONS)))


class _plain:
    """Turns the names of a robot's controllers into <arm> and <gripper>."""

    def __init__(self, robot: RobotConfig) -> None:
        self._names = {robot.controllers.arm: "<arm>", robot.controllers.gripper: "<gripper>"}

    def __call__(self, name: str) -> str:
        return "/".join(self._names.get(part, part) for part in name.split("/"))


def _default(key: str) -> str:
    """A topic's name by the key of its meaning, which may be a parameter."""
    return next((str(p.default) for p in parameters.TOPICS if p.name == key), key)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [" | ".join(head), " | ".join("---" for _ in head),
             *(" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def _nodes_of(names: Iterable[tuple[str, Name]]) -> str:
    return ", ".join(sorted({node for node, _ in names}))


def _qualities(names: Iterable[tuple[str, Name]]) -> str:
    return "; ".join(sorted({str(name.quality) for _, name in names}))


def _topics(nodes: list[NodeNames], plain: _plain) -> str:
    out: dict[str, list[tuple[str, Name]]] = defaultdict(list)
    heard: dict[str, list[tuple[str, Name]]] = defaultdict(list)
    for node in nodes:
        for name in node.publishes:
            out[plain(name.name)].append((node.node, name))
        for name in node.hears:
            heard[plain(name.name)].append((node.node, name))
    keys = {_default(key): key for key in meanings.TOPICS}
    rows = []
    for topic in sorted({*out, *heard}):
        key = keys.get(topic, topic)
        shown = f"`{topic}`" + (f" (`{key}`)" if key != topic else "")
        kind = (out[topic] or heard[topic])[0][1].type
        quality = _qualities(out[topic])
        if heard[topic]:
            quality += ("; " if quality else "") + f"heard {_qualities(heard[topic])}"
        rows.append((shown, f"`{kind}`", quality, _nodes_of(out[topic]), _nodes_of(heard[topic]),
                     meanings.TOPICS.get(key, "")))
    return _table(("topic", "type", "quality", "from", "to", "carries"), rows)


def _calls(nodes: list[NodeNames], plain: _plain, server: str, client: str,
           known: Mapping[str, str]) -> str:
    found: dict[str, tuple[str, set[str], set[str]]] = {}
    for node in nodes:
        for index, side in ((1, server), (2, client)):
            for name in getattr(node, side):
                entry = found.setdefault(plain(name.name), (name.type, set(), set()))
                entry[index].add(node.node)  # type: ignore[union-attr]
    rows = [(f"`{name}`", f"`{kind}`", ", ".join(sorted(servers)), ", ".join(sorted(clients)),
             known.get(name, "")) for name, (kind, servers, clients) in sorted(found.items())]
    return _table(("name", "type", "served by", "used by", "what for"), rows)


def _parameters(nodes: list[NodeNames]) -> list[str]:
    shared = {p.name for group in SHARED.values() for p in group}
    known = {s.name: s for node in reversed(nodes) for s in node.settings}
    parts = ["Ranges are inclusive; *fixed* ones cannot be changed while the node runs.\n"]
    for title, group in SHARED.items():
        users = [n.node for n in nodes
                 if {p.name for p in group if p.name != "robot"} & {s.name for s in n.settings}]
        who = "" if title == "Every node" else f" (read by {', '.join(users)})"
        parts += [f"### {title}{who}\n", _settings(known[p.name] for p in group)]
    for node in nodes:
        own = [s for s in node.settings if s.name not in shared]
        if own:
            parts += [f"### `{node.node}`\n", _settings(own)]
    return parts


def _settings(settings: Iterable[Setting]) -> str:
    rows = []
    for s in settings:
        span = "" if s.low is None else f"{_number(s.low)} to {_number(s.high)}"
        span += " fixed" if s.read_only else ""
        rows.append((f"`{s.name}`", s.type, _shown(s), unit(s.description), span.strip(),
                     s.description))
    return _table(("parameter", "type", "default", "unit", "range", "meaning"), rows)


def unit(description: str) -> str:
    """The unit that a parameter's description gives in brackets; empty for none."""
    brackets = re.findall(r"\(([^()]*)\)", description)
    return next((b.split()[0] for b in brackets if b and b.split()[0] in UNITS), "")


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(setting: Setting) -> str:
    value = setting.default
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        text = "[" + ", ".join(str(v) for v in value) + "]"
    else:
        text = _number(value)
    if setting.type == "text" and not text:
        return "empty"
    return "" if setting.type == "text" and len(text) > LONG else f"`{text}`"


def _types(interfaces: Path) -> list[str]:
    parts = []
    for kind in ("msg", "srv", "action"):
        for file in sorted((interfaces / kind).glob(f"*.{kind}")):
            parts += [f"### `wm_ros/{kind}/{file.stem}`\n",
                      f"```\n{file.read_text(encoding='utf-8').strip()}\n```\n"]
    return parts


def main(path: Path | None = None) -> None:
    """Write the page."""
    environment.prepare()
    from wm_ros.nodes.ros_names import record
    path = path or share() / PAGE
    path.write_text(page(record(), load_robot(), share()), encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
