# SPDX-License-Identifier: Apache-2.0
"""What the user set wrongly is told once; no node is started again and again for it."""
from __future__ import annotations

import argparse
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wm_ros import demo
from wm_ros.errors import UserError
from wm_ros.nodes.moveit_body import MoveItBody
from wm_ros.nodes.node_list import NodeSpec
from wm_ros.nodes.supervisor import Supervisor
from wm_ros.robot import load_robot


def ending(name: str, status: int) -> NodeSpec:
    words = (sys.executable, "-c", f"print('begun'); raise SystemExit({status})")
    return NodeSpec(name, "none", parameter_files=(), command=words)


def test_only_a_node_that_its_settings_do_not_end_is_started_again(tmp_path: Path) -> None:
    died: list[tuple[str, int]] = []
    specs = [ending("unlucky", 1), ending("misled", 2)]
    with Supervisor(specs, tmp_path, lambda name, status: died.append((name, status))):
        limit = time.monotonic() + 30.0
        while died.count(("unlucky", 1)) < 3 and time.monotonic() < limit:
            time.sleep(0.05)
    assert died.count(("unlucky", 1)) >= 3 and died.count(("misled", 2)) == 1
    assert (tmp_path / "misled.log").read_text() == "begun\n"


def test_ones_own_furniture_is_found_at_home_and_a_wrong_file_is_named(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    node = SimpleNamespace(text=lambda _: "~/room.yaml")
    body: Any = SimpleNamespace(node=node, robot=load_robot())
    file = tmp_path / "room.yaml"
    file.write_text("post: [{cylinder: [0.02, 0.5], position: [0.4, 0.3, 0.25]}]\n")
    scene = MoveItBody._own_furniture(body)
    assert scene is not None and scene.world.collision_objects[0].id == "post"
    file.write_text(file.read_text().replace("[0.02, 0.5]", "0.02"))
    with pytest.raises(UserError, match="~/room.yaml cannot be read: Part 1 of .* post"):
        MoveItBody._own_furniture(body)


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("given", ["option", "file"])
def test_demo_refuses_a_taken_port_before_it_starts_anything(given: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own = tmp_path / "mine.yaml"
        own.write_text(f"view: {{ros__parameters: {{port: {port}}}}}\n")
        words = ["--port", str(port)] if given == "option" else ["--config", str(own)]
        with pytest.raises(UserError, match=rf"127.0.0.1:{port} .* another port \(--port, or po"):
            demo.run(parsed("--out", str(out), *words))
    assert not out.exists()


def test_demo_refuses_a_misspelt_parameter(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("planing: {ros__parameters: {horizon: 8}}\n")
    with pytest.raises(UserError, match="--config .* not possible; there is no node planing"):
        demo.run(parsed("--out", str(tmp_path / "out"), "--config", str(own)))
