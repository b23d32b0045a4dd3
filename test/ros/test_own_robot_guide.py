# SPDX-License-Identifier: Apache-2.0
"""docs/own_robot.md: what a reader copies from it works."""
from __future__ import annotations

import re
from pathlib import Path

import yaml
from parameter_tree import flat

from wm_ros.bridge import furniture
from wm_ros.cli import COMMANDS
from wm_ros.nodes.parameters import COMMON, PERCEPTION, PLANNING, SAFETY, TOPICS


def blocks(root: Path, kind: str) -> list[str]:
    text = (root / "docs" / "own_robot.md").read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, re.S)


def test_parameters_in_the_guide_exist(root: Path) -> None:
    shared = {p.name for p in (*COMMON, *TOPICS, *SAFETY)}
    known = {"/**": shared, "planning": shared | {p.name for p in PLANNING},
             "perception": shared | {p.name for p in PERCEPTION}}
    found = [data for data in map(yaml.safe_load, blocks(root, "yaml")) if "/**" in data]
    assert len(found) == 2
    for data in found:
        for node, entry in data.items():
            assert set(flat(entry["ros__parameters"])) <= known[node], node


def test_furniture_in_the_guide_is_read_as_it_says(root: Path) -> None:
    (data,) = (data for data in map(yaml.safe_load, blocks(root, "yaml")) if "/**" not in data)
    things = {o.id: o for o in furniture.from_yaml(data, "base").world.collision_objects}
    assert set(things) == {"table", "shelf", "lamp"}
    height, radius = things["shelf"].primitives[1].dimensions
    assert (height, radius) == (0.4, 0.02) and things["shelf"].header.frame_id == "base"
    (top,) = things["table"].primitives
    assert things["table"].primitive_poses[0].position.z + top.dimensions[2] / 2 == 0.0


def test_robot_entries_in_the_guide_are_those_of_a_robots_file(root: Path) -> None:
    text = (root / "docs" / "own_robot.md").read_text(encoding="utf-8")
    table = text.split("## 3. YAML")[1].split("## 4.")[0]
    told = {name for row in table.splitlines() if row.startswith("| `")
            for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    for robot in ("panda", "ur5"):
        keys = set(yaml.safe_load((root / f"config/robots/{robot}.yaml").read_text()))
        assert told <= keys
        assert keys - told <= {"name", "group_aliases"}


def test_commands_in_the_guide_exist(root: Path) -> None:
    lines = [line for block in blocks(root, "sh") for line in block.splitlines()]
    commands = {line.split()[1] for line in lines if line.startswith("wm ")}
    assert commands and commands <= set(COMMANDS)
    launched = {line.split()[3] for line in lines if line.startswith("ros2 launch")}
    assert launched and all((root / "launch" / name).is_file() for name in launched)
