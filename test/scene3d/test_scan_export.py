# SPDX-License-Identifier: Apache-2.0
"""A scanned room is used elsewhere: Gazebo, MoveIt, viewers."""
from __future__ import annotations

import json
import shutil
import subprocess
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import trimesh
import yaml
from synthetic_room import BLOCK_AT

from wm_ros.motion.pose import Pose
from wm_ros.world_model.scene3d import export


def test_gazebo_gets_furniture_as_meshes_and_things_that_move(scene, volume, tmp_path):
    path = export.write_world(scene, volume, tmp_path)
    world = ET.parse(path).getroot().find("world")
    models = {m.get("name"): m for m in world.findall("model")}
    piece = models["furniture_0"]
    assert piece.findtext("static") == "true"
    uri = piece.findtext("link/collision/geometry/mesh/uri")
    mesh = trimesh.load(tmp_path / uri)
    assert np.linalg.norm(mesh.bounds.mean(0) - BLOCK_AT) < 0.02
    for thing in scene.things:
        assert models[thing.name].find("static") is None
        assert float(models[thing.name].findtext("link/inertial/mass")) == pytest.approx(
            thing.mass, rel=1e-3)


@pytest.mark.parametrize("meshes", [True, False])
def test_sdformat_accepts_the_scanned_world(scene, volume, tmp_path, meshes):
    if shutil.which("ign") is None:
        pytest.skip("no `ign` (apt-get install libsdformat-dev ignition-tools)")
    path = export.write_world(scene, volume if meshes else None, tmp_path)
    done = subprocess.run(["ign", "sdf", "-k", str(path)], capture_output=True, text=True,
                          timeout=60)
    if "not an ign" in done.stderr or "ign sdf" in done.stderr:
        pytest.skip("`ign` has no sdf command (apt-get install libsdformat-dev)")
    noise = [line for line in done.stderr.splitlines()
             if line.strip() and "libignition-tools-backward" not in line]
    assert done.returncode == 0 and "Valid" in done.stdout and not noise, done.stderr


def test_moveit_gets_table_and_furniture_from_the_planning_nodes_file(scene, tmp_path):
    pytest.importorskip("moveit_msgs.msg")
    from wm_ros.bridge.furniture import from_yaml

    data = yaml.safe_load(export.write_furniture(scene, tmp_path).read_text())
    objects = from_yaml(data, "world").world.collision_objects
    pieces = (scene.table, *scene.furniture)
    assert [o.id for o in objects] == [piece.name for piece in pieces] and len(pieces) == 2
    for item, piece in zip(objects, pieces, strict=True):
        assert item.header.frame_id == "world"
        for shape, pose, box in zip(item.primitives, item.primitive_poses, piece.boxes,
                                    strict=True):
            np.testing.assert_allclose(shape.dimensions, box.size, atol=2e-4)
            place = pose.position
            np.testing.assert_allclose([place.x, place.y, place.z], box.pose.position, atol=2e-4)


def test_the_planner_keeps_away_from_the_scanned_block(scene):
    from wm_ros.motion.planner import Planner
    from wm_ros.motion.pose import top_down
    from wm_ros.motion.shapes import Box, Part, SceneObject
    from wm_ros.robot import load_robot

    planner = Planner(load_robot())
    inside = planner.kinematics.ik(top_down((0.60, 0.36, 0.06)), planner.robot.home)
    assert inside is not None and not planner.in_collision(inside)
    for piece in scene.furniture:
        parts = tuple(Part(Box(b.size), b.pose) for b in piece.boxes)
        planner.add_object(SceneObject(piece.name, parts, Pose.identity()))
    assert planner.in_collision(inside)


def test_viewers_get_coloured_meshes(volume, tmp_path):
    glb, ply = export.write_meshes(volume, tmp_path)
    mesh = trimesh.load(ply)
    assert len(mesh.faces) > 10_000 and mesh.visual.kind == "vertex"
    assert abs(mesh.bounds[0][2]) < 0.06 < mesh.bounds[1][2]
    scene = trimesh.load(glb)
    assert scene.bounds[1][1] > 0.1, "glTF has y up"


def test_splats_have_the_layout_that_viewers_read(volume, tmp_path):
    path = export.write_splats(volume, tmp_path)
    head, _, body = path.read_bytes().partition(b"end_header\n")
    count = int(head.split(b"element vertex ")[1].split()[0])
    rows = np.frombuffer(body, "<f4").reshape(count, 17)
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(np.linalg.norm(rows[:, 13:], axis=1), 1, atol=1e-5)


@pytest.mark.timeout(900)
def test_a_scan_of_a_simulated_room_is_a_checkpoint(tmp_path):
    """A short scan, small pictures: what `wm scan` writes is what load_model reads."""
    from wm_ros.cli import main
    from wm_ros.evaluation.closed_loop import to_observation
    from wm_ros.sim.env import TaskEnv
    from wm_ros.world_model import load_model

    assert main(["scan", "--scene", "home", "--seed", "100", "--size", "64", "--seconds", "8",
                 "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["robot_seconds"] <= 8.01 and result["furniture_touched"] == 0
    assert result["errors"]["rmse"] < 0.010
    for name in ("scan.png", "room.glb", "room.ply", "world.sdf", "furniture.yaml"):
        assert (tmp_path / name).stat().st_size > 1000
    model = load_model(tmp_path)
    env = TaskEnv("put_mug_on_tray", 100, "held_out")
    scene = model.observe(to_observation(env.observe())).memory["scene"]
    truth = env.sim.object_pose("mug").position
    assert min(np.linalg.norm(t.base - truth) for t in scene.things) < 0.03
    model.close()
    env.close()


def test_a_scan_that_cannot_be_is_refused_in_one_sentence(capsys):
    from wm_ros.cli import main

    assert main(["scan", "--size", "5"]) == 2 and main(["scan", "--seconds", "1"]) == 2
    assert "pixels" in capsys.readouterr().err
