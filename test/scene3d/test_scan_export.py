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


def test_moveit_gets_table_furniture_and_things(scene):
    moveit = pytest.importorskip("moveit_msgs.msg")
    from wm_ros.bridge.perceived import from_perceived

    message = from_perceived(scene, "world", grow=0.01)
    ids = [o.id for o in message.world.collision_objects]
    assert message.is_diff and len(ids) == len(set(ids)) == 2 + len(scene.things)
    for item in message.world.collision_objects:
        assert item.operation == moveit.CollisionObject.ADD and item.header.frame_id == "world"
        assert len(item.primitives) == len(item.primitive_poses) > 0
        assert all(v > 0 for p in item.primitives for v in p.dimensions)


def test_the_planning_nodes_furniture_file_says_the_same(scene, tmp_path):
    pytest.importorskip("moveit_msgs.msg")
    from wm_ros.bridge.furniture import from_yaml
    from wm_ros.bridge.perceived import from_perceived

    data = yaml.safe_load(export.write_furniture(scene, tmp_path).read_text())
    written, direct = from_yaml(data, "world"), from_perceived(scene, "world", things=False)
    for a, b in zip(written.world.collision_objects, direct.world.collision_objects, strict=True):
        assert a.id == b.id
        for p, q in zip(a.primitives, b.primitives, strict=True):
            np.testing.assert_allclose(p.dimensions, q.dimensions, atol=2e-4)
        for p, q in zip(a.primitive_poses, b.primitive_poses, strict=True):
            assert p.position.x == pytest.approx(q.position.x, abs=2e-4)


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
