# SPDX-License-Identifier: Apache-2.0
"""docs/ros_names.md says what the code does, and every name reaches its other end."""
from __future__ import annotations

from pathlib import Path

import pytest

from wm_ros.nodes import write_names
from wm_ros.nodes.node_list import nodes
from wm_ros.nodes.ros_names import NodeNames, record
from wm_ros.robot import load_robot

#: heard from others: MoveIt's clients, a person's button, a test's hand
FROM_OUTSIDE = {"/collision_object", "/attached_collision_object", "/planning_scene", "/wm/stop",
                "/wm/move_object"}


@pytest.fixture(scope="module")
def found() -> list[NodeNames]:
    return record()


def test_the_page_of_names_is_not_stale(found: list[NodeNames], root: Path) -> None:
    page = (root / write_names.PAGE).read_text(encoding="utf-8")
    assert page == write_names.page(found, load_robot(), root), (
        "run `python -m wm_ros.nodes.write_names`")


def test_every_name_is_explained(found: list[NodeNames]) -> None:
    assert not write_names.unexplained(found, load_robot()), (
        "explain them in wm_ros/nodes/meanings.py")


def test_every_node_of_the_list_is_on_the_page(found: list[NodeNames]) -> None:
    assert {spec.name for spec in nodes("home", view=True, rviz=True)} <= {n.node for n in found}


def test_every_topic_that_is_heard_comes_with_its_type_and_quality(
        found: list[NodeNames]) -> None:
    offered = {name.name: (name, node.node) for node in found for name in node.publishes}
    assert {wanted.name for node in found for wanted in node.hears} - set(offered) == FROM_OUTSIDE
    for node in found:
        for wanted in node.hears:
            if wanted.name in FROM_OUTSIDE:
                continue
            offer, sender = offered[wanted.name]
            assert offer.type == wanted.type, (wanted.name, sender, node.node)
            assert offer.quality is not None and wanted.quality is not None
            assert offer.quality.serves(wanted.quality), (wanted.name, sender, node.node)


def test_units_are_read_from_descriptions() -> None:
    assert write_names.unit("A trajectory may end late (s); 0: any.") == "s"
    assert write_names.unit("Images (Hz of simulated time).") == "Hz"
    assert write_names.unit("Room to simulate, by name (config/rooms/).") == ""
