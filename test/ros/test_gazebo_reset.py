# SPDX-License-Identifier: Apache-2.0
"""Beside Gazebo a seed changes the room as it does in the embedded simulator."""
from __future__ import annotations

import os
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from moveit_msgs.msg import PlanningScene
from std_msgs.msg import String

from wm_ros.bridge.furniture import laid_out
from wm_ros.errors import UserError
from wm_ros.nodes import gazebo_node, qos
from wm_ros.nodes.demo_client import DemoClient
from wm_ros.nodes.node_list import GAZEBO
from wm_ros.nodes.supervisor import Supervisor
from wm_ros.robot import load_robot
from wm_ros.sim import gazebo_swap, world_command
from wm_ros.srv import ResetSimulation

# the program `gz` as far as it is called here: it notes down what it is asked and answers
GZ = '''#!/bin/sh
printf '%s\\n' "$*" >> "{log}"
case "$*" in
*--info) echo "{info}" ;;
*) {answer} ;;
esac
'''
YES, NO = "echo data: true", "echo"
SERVED = "Service providers [Address, Request Message Type, Response Message Type]:"
MISSING = "No service providers on service"


def put_gz(folder: Path, answer: str = YES, info: str = SERVED) -> Path:
    folder.mkdir(exist_ok=True)
    program, log = folder / "gz", folder / "calls"
    program.write_text(GZ.format(log=log, answer=answer, info=info))
    program.chmod(0o755)
    return log


@pytest.fixture
def worlds(tmp_path: Path) -> list[Path]:
    folders = [tmp_path / "first", tmp_path / "second"]
    for seed, folder in enumerate(folders, 1):
        world_command.write(folder, "home", "", seed, True)
    return folders


def names(folder: Path) -> set[str]:
    root = ET.parse(folder / "world.sdf").getroot()
    return {str(m.get("name")) for m in root.iter("model")} - {"scene_camera"}


@pytest.mark.parametrize("ending", ["/blocking", ""])
def test_every_model_is_replaced_and_the_camera_stays(worlds: list[Path], ending: str) -> None:
    calls: list[tuple[str, str, str]] = []

    def call(*words: str) -> bool:
        calls.append(words)
        return "create" in words[0]  # whoever removed a model before is not minded

    gazebo_swap.swap("home", *worlds, call=call, served=lambda name: bool(ending))
    removed = [c for c in calls if c[0] == f"/world/home/remove{ending}"]
    assert {c[2] for c in removed} == {f'name: "{n}" type: MODEL' for n in names(worlds[0])}
    (created,) = (c for c in calls if c not in removed)
    assert calls[-1] == created and created[:2] == (f"/world/home/create_multiple{ending}",
                                                    "gz.msgs.EntityFactory_V")
    for name in names(worlds[1]):
        file = worlds[1] / "models" / f"{name}.sdf"
        assert f'name: "{name}" sdf_filename: "{file}"' in created[2]
        model = ET.parse(file).getroot().find("model")
        assert model is not None and model.get("name") == name


def test_gazebos_no_is_said_in_one_sentence(
        tmp_path: Path, worlds: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    put_gz(tmp_path / "bin", NO)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UserError, match="Gazebo refused /world/home/create_multiple/blocking"):
        gazebo_swap.swap("home", *worlds)
    for words in ("echo Service call timed out >&2", "echo Service call failed"):
        put_gz(tmp_path / "bin", words)
        with pytest.raises(UserError, match="/world/home/remove .*is it running with this room"):
            gazebo_swap.gz_call("/world/home/remove", "gz.msgs.Entity", 'name: "x" type: MODEL')
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="gz is not found"):
        gazebo_swap.gz_call("/world/home/remove", "gz.msgs.Entity", 'name: "x" type: MODEL')


def test_an_older_gazebo_is_asked_by_the_plain_names(
        tmp_path: Path, worlds: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    log = put_gz(tmp_path / "bin", YES, MISSING)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    gazebo_swap.swap("home", *worlds)
    asked = [line for line in log.read_text().splitlines() if "--req" in line]
    assert asked and not any("blocking" in line for line in asked)


@pytest.mark.ros
def test_reset_service_changes_gazebos_room_and_tells_the_new_furniture(
        ros: None, tmp_path: Path, worlds: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    log = put_gz(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros"))
    spec = GAZEBO.with_parameters(room="home", world=str(worlds[0]),
                                  robot=str(worlds[0] / "robot.yaml"))
    heard: list[Any] = []
    events: list[Any] = []
    with Supervisor([spec], tmp_path / "logs"):
        client = DemoClient(load_robot())
        try:
            client.create_subscription(PlanningScene, "/wm/furniture", heard.append, qos.LATCHED)
            client.create_subscription(String, "/trajectory_execution_event", events.append,
                                       qos.EVENT)
            assert client.reset("home", "open_door", 5, True) == "open the cabinet"
            limit = time.monotonic() + 30.0
            while len(heard) < 2 and time.monotonic() < limit:
                time.sleep(0.05)
            assert len(heard) >= 2, "the new furniture was not told"
            assert [laid_out(m) > 0.0 for m in (heard[0], heard[-1])] == [False, True]
            assert [m.data for m in events] == ["stop"], "the motion in the old room went on"
            with pytest.raises(UserError, match="Gazebo runs the home"):
                client.reset("office", "", 5, True)
        finally:
            client.close()
            client.destroy_node()
    made = tmp_path / "ros/wm_ros/worlds/home_open_door_5"
    assert "create_multiple" in log.read_text()
    assert {o.id for o in heard[-1].world.collision_objects} <= names(made)
    places = [{o.id: [round(p.position.x, 4) for p in o.primitive_poses]
               for o in m.world.collision_objects} for m in (heard[0], heard[-1])]
    assert places[0]["cabinet"] != places[1]["cabinet"]


def test_what_moves_is_stopped_before_the_room_changes(
        ros: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros"))
    monkeypatch.setattr(gazebo_node, "write", lambda *_: None)
    monkeypatch.setattr(gazebo_node, "swap", lambda *_: done.append("swap"))
    node = gazebo_node.GazeboNode()
    try:
        node.configure()
        node.text = {"room": "home", "world": "first", "robot": ""}.get  # type: ignore
        node._event_out.publish = lambda message: done.append(message.data)
        node._tell = lambda since: done.append("furniture" if since.sec else "unknown")
        with pytest.raises(UserError, match="Gazebo runs the home"):
            node._change(ResetSimulation.Request(room="office"))
        assert not done, "nothing changed, so nothing is to end"
        node._change(ResetSimulation.Request(room="home"))
        assert done == ["stop", "furniture", "swap"], "the run that has yet to move ends, too"
    finally:
        node.stop()
        node.destroy_node()
