# SPDX-License-Identifier: Apache-2.0
"""Imports between the package's folders point one way, as docs/architecture.md tells."""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from wm_ros.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
#: room -> the rooms that it may import
MAY: dict[str, set[str]] = {
    "motion": set(),
    "world_model": set(),
    "report": set(),
    "sim": {"motion"},
    "world_model/scene3d": {"world_model", "motion", "sim"},
    "data": {"sim"},
    "view": {"motion", "sim"},
    "bridge": {"motion", "sim", "data", "view"},
    "training": {"world_model", "data"},
    "evaluation": {"world_model", "world_model/scene3d", "motion", "sim", "data", "training",
                   "report"},
    "nodes": {"bridge", "world_model", "motion", "sim", "data", "report", "view"},
    "convert": {"bridge", "data", "motion"},
    "replay": {"bridge", "nodes", "world_model", "motion", "data", "evaluation", "report"},
    "launching": {"nodes", "sim"},
}
#: what any room may import: modules beside the rooms, and the generated interfaces
GROUND = {"errors", "files", "paths", "environment", "progress", "robot", "moveit_config", "msg",
          "srv", "action"}
#: a command of `wm` stands above the rooms
ABOVE = {ROOT.joinpath(*module.split(".")).with_suffix(".py") for module in COMMANDS.values()}


def room_of(module: str) -> str:
    """The room of a module of the package; its own name where it lies beside the rooms."""
    parts = module.split(".")[1:]
    return "/".join(parts[:2]) if parts[:2] == ["world_model", "scene3d"] else parts[0]


def imported(file: Path) -> Iterator[str]:
    """The package's own modules that a file imports, at its head or within a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("wm_ros."))
        elif isinstance(node, ast.ImportFrom) and node.module == "wm_ros":
            yield from (f"wm_ros.{a.name}" for a in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wm_ros."):
            yield str(node.module)


def test_every_room_is_in_the_table() -> None:
    folders = {p.parent.name for p in (ROOT / "wm_ros").glob("*/__init__.py")}
    assert folders | {"world_model/scene3d"} == set(MAY)
    table = (ROOT / "docs" / "architecture.md").read_text()
    rows = {room for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
            for room in re.findall(r"`([\w/]+)/`", row)}
    assert rows == set(MAY)


def test_rooms_do_not_import_each_other_in_a_ring() -> None:
    TopologicalSorter(MAY).prepare()


@pytest.mark.parametrize("room", MAY)
def test_a_room_imports_only_what_lies_further_in(room: str) -> None:
    for file in sorted((ROOT / "wm_ros" / room).rglob("*.py")):
        own = room_of(".".join(file.relative_to(ROOT).with_suffix("").parts))
        if own != room or file in ABOVE:
            continue
        wrong = {module for module in imported(file)
                 if room_of(module) not in MAY[room] | GROUND | {room}}
        assert not wrong, f"{file.relative_to(ROOT)} imports {sorted(wrong)}"
