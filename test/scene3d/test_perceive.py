# SPDX-License-Identifier: Apache-2.0
"""The map becomes a table, furniture and things."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_room import BALL, BALL_AT, BLOCK, BLOCK_AT, BOX, BOX_AT, BOX_YAW

from wm_ros.errors import UserError
from wm_ros.world_model.scene3d import perceived
from wm_ros.world_model.scene3d.boxes import cover
from wm_ros.world_model.scene3d.fitting import fit
from wm_ros.world_model.scene3d.perceive import perceive
from wm_ros.world_model.scene3d.surface import Points
from wm_ros.world_model.scene3d.tsdf import Volume


def test_the_table_is_found_to_a_millimetre(scene):
    assert abs(scene.height) < 0.001
    low, high = scene.table.bounds()
    assert high[2] == pytest.approx(scene.height, abs=1e-6)
    assert low[0] < 0.2 and high[0] > 0.9


def test_things_have_their_pose_shape_and_size(scene):
    assert len(scene.things) == 2
    box = min(scene.things, key=lambda t: np.linalg.norm(t.solid.pose.position - BOX_AT))
    ball = min(scene.things, key=lambda t: np.linalg.norm(t.solid.pose.position - BALL_AT))
    assert box.solid.shape == "box" and ball.solid.shape == "sphere"
    assert np.linalg.norm(box.solid.pose.position - BOX_AT) < 0.004
    assert np.allclose(box.solid.size, BOX, atol=0.007)
    along = box.solid.pose.rotation()[:, 0]
    assert np.degrees(abs(np.arctan2(along[1], along[0]) - BOX_YAW)) < 3
    assert np.linalg.norm(ball.solid.pose.position - BALL_AT) < 0.004
    assert ball.solid.size[0] == pytest.approx(BALL, abs=0.004)


def test_colours_and_mass_classes_are_plausible(scene):
    box = min(scene.things, key=lambda t: np.linalg.norm(t.solid.pose.position - BOX_AT))
    assert box.rgb[0] > 0.5 > box.rgb[1] and box.mass_class == "medium"
    assert [perceived.mass_class(m) for m in (0.03, 0.2, 0.9)] == ["light", "medium", "heavy"]


def test_what_no_hand_moves_is_furniture_and_filled_where_unseen(scene):
    assert len(scene.furniture) == 1
    low, high = scene.furniture[0].bounds()
    assert np.linalg.norm(0.5 * (low + high) - BLOCK_AT) < 0.02
    volume = sum(b.volume() for b in scene.furniture[0].boxes)
    assert volume == pytest.approx(float(np.prod(BLOCK)), rel=0.2)


def test_a_thing_keeps_its_name_and_what_pushes_told_of_it(volume, scene):
    from dataclasses import replace

    first = scene.things[0]
    known = replace(scene, things=(replace(first, name="mug", mass=0.7, friction=0.3,
                                           pushed=True), *scene.things[1:]))
    again = perceive(volume, known, least_weight=0.2, furniture=False).thing("mug")
    assert again.mass == 0.7 and again.friction == 0.3
    assert np.allclose(again.solid.pose.position, first.solid.pose.position, atol=0.003)


def test_a_scene_comes_back_from_its_file(scene, tmp_path):
    perceived.save(scene, tmp_path / "scene.json")
    again = perceived.load(tmp_path / "scene.json")
    assert [t.name for t in again.things] == [t.name for t in scene.things]
    assert np.allclose(again.things[0].solid.pose.position, scene.things[0].solid.pose.position,
                       atol=1e-5)
    assert again.height == scene.height and len(again.table.boxes) == len(scene.table.boxes)


def test_a_damaged_scene_gets_one_sentence(tmp_path):
    path = tmp_path / "scene.json"
    for text in ("", "{}", '{"format": 9}', "[1]"):
        path.write_text(text)
        with pytest.raises(UserError, match="scan again"):
            perceived.load(path)


def test_an_empty_map_is_a_bare_table():
    scene = perceive(Volume((0, -0.5, -0.05), (1, 0.5, 0.3)))
    assert not scene.things and not scene.furniture and scene.table.boxes


def _surface(shape: str, yaw: float, rng: np.random.Generator) -> Points:
    """Points on the upper part of a cylinder (r 0.03, h 0.08) or lying capsule (r 0.02, 0.08)."""
    n, turn = 900, rng.uniform(0, 2 * np.pi, 900)
    if shape == "cylinder":
        z, r = rng.uniform(0.006, 0.08, n), np.full(n, 0.03)
        top = np.arange(n) % 4 == 0
        z[top], r[top] = 0.08, 0.03 * np.sqrt(rng.uniform(size=top.sum()))
        p = np.stack([r * np.cos(turn), r * np.sin(turn), z], 1)
        normal = np.stack([np.cos(turn), np.sin(turn), np.zeros(n)], 1)
        normal[top] = (0, 0, 1)
    else:
        along = rng.uniform(-0.04, 0.04, n)
        normal = np.stack([np.zeros(n), np.cos(turn), np.sin(turn)], 1)
        p = np.stack([along, 0.02 * np.cos(turn), 0.02 + 0.02 * np.sin(turn)], 1)
        spin = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        p, normal = p @ spin.T, normal @ spin.T
    p += rng.normal(size=p.shape) * 0.0007 + (0.5, 0.1, 0.0)
    keep = p[:, 2] > 0.006
    return Points(p[keep].astype(np.float32), normal[keep].astype(np.float32),
                  np.zeros((int(keep.sum()), 3), np.uint8))


def test_cylinders_and_lying_capsules_are_told_apart():
    rng = np.random.default_rng(1)
    can = fit(_surface("cylinder", 0.0, rng), 0.0)
    assert can.solid.shape == "cylinder"
    assert np.allclose(can.solid.size, (0.03, 0.08), atol=0.002)
    banana = fit(_surface("capsule", -0.7, rng), 0.0)
    assert banana.solid.shape == "capsule"
    axis = banana.solid.pose.rotation()[:, 2]
    assert abs(abs(axis @ (np.cos(0.7), -np.sin(0.7), 0)) - 1) < 0.005
    assert banana.solid.pose.position[2] == pytest.approx(0.02, abs=0.003)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 6)] * 3))
def test_boxes_cover_what_is_solid_and_nothing_else(seed, shape):
    grid = np.random.default_rng(seed).random(shape) < 0.6
    count = np.zeros(shape, int)
    for low, high in cover(grid):
        count[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] += 1
    np.testing.assert_array_equal(count, grid.astype(int))
