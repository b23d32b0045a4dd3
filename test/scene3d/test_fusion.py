# SPDX-License-Identifier: Apache-2.0
"""Pictures become a metric map."""
from __future__ import annotations

import time

import numpy as np
import pytest
from synthetic_room import EYES, distance, view

from wm_ros.errors import UserError
from wm_ros.world_model.scene3d.raycast import raycast
from wm_ros.world_model.scene3d.surface import surface_points, triangles
from wm_ros.world_model.scene3d.tsdf import Volume
from wm_ros.world_model.scene3d.view import View, noisy

LOW, HIGH = (0.0, -0.7, -0.06), (1.0, 0.7, 0.3)


@pytest.fixture(scope="module")
def volume() -> Volume:
    out = Volume(LOW, HIGH)
    for eye in EYES:
        out.integrate(view(eye))
    return out


def error(points: np.ndarray) -> np.ndarray:
    return np.abs(np.min(list(distance(points.astype(float)).values()), axis=0))


def test_surfaces_lie_within_millimetres_of_the_truth(volume):
    points = surface_points(volume, least_weight=0.2)
    assert len(points) > 20_000
    off = error(points.position)
    assert np.sqrt(np.square(off).mean()) < 0.003 and np.median(off) < 0.001


def test_a_noisy_camera_is_averaged_out(volume):
    fused, rng = Volume(LOW, HIGH), np.random.default_rng(0)
    for eye in EYES:
        fused.integrate(noisy(view(eye), rng))
    off = error(surface_points(fused, least_weight=0.2).position)
    assert np.sqrt(np.square(off).mean()) < 0.006


def test_normals_point_out_of_things(volume):
    points = surface_points(volume, least_weight=0.2)
    flat = (np.abs(points.position[:, 2]) < 0.003) & (points.position[:, 0] < 0.3)
    assert points.normal[flat, 2].mean() > 0.99


def test_colours_stay_on_their_surfaces(volume):
    points = surface_points(volume, least_weight=0.2)
    on_ball = points.where(distance(points.position.astype(float))["ball"] < 0.002)
    on_ball = on_ball.where(on_ball.position[:, 2] > 0.03)
    assert np.abs(np.median(on_ball.rgb, axis=0) - (30, 160, 40)).max() < 25


def test_triangles_are_the_same_surface_and_face_outwards(volume):
    mesh = triangles(volume, least_weight=0.2)
    assert len(mesh.faces) > 10_000
    assert np.percentile(error(mesh.vertices), 95) < 0.004
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    normal, middle = np.cross(b - a, c - a), (a + b + c) / 3
    table = (np.abs(middle[:, 2]) < 0.002) & (middle[:, 0] < 0.3)
    assert (normal[table, 2] > 0).mean() > 0.99


def test_what_was_taken_away_vanishes_from_the_map():
    volume = Volume(LOW, HIGH)
    for eye in EYES:
        volume.integrate(view(eye))

    def left() -> int:
        near = surface_points(volume, (0.38, -0.22, 0.0), (0.52, -0.08, 0.09), 0.03)
        return int((near.position[:, 2] > 0.02).sum())

    before = left()
    for _ in range(3):
        volume.integrate(view(EYES[0], things=False), forget=True)
    assert before > 300 and left() < 0.35 * before


def test_the_robots_own_pixels_are_not_fused():
    seen = view(EYES[0])
    own = View(seen.rgb, seen.depth, seen.K, seen.pose, np.ones(seen.depth.shape, bool))
    volume = Volume(LOW, HIGH)
    assert volume.integrate(own) == 0 and len(surface_points(volume, least_weight=0.0)) == 0


def test_a_camera_without_depth_adds_nothing():
    seen = view(EYES[0])
    for bad in (0.0, np.nan, np.inf):
        blind = View(seen.rgb, np.full_like(seen.depth, bad), seen.K, seen.pose)
        assert Volume(LOW, HIGH).integrate(blind) == 0


def test_a_camera_sees_the_map_as_it_saw_the_room(volume):
    seen = view(EYES[1])
    rgb, depth = raycast(volume, seen.K, seen.pose, (96, 96))
    both = np.isfinite(depth) & np.isfinite(seen.depth)
    assert both.mean() > 0.5
    assert np.median(np.abs(depth[both] - seen.depth[both])) < 0.004
    assert np.abs(rgb[both].astype(int) - seen.rgb[both]).mean() < 25


def test_a_map_comes_back_from_its_file(volume, tmp_path):
    volume.save(tmp_path / "map.npz")
    again = Volume.load(tmp_path / "map.npz")
    a, b = surface_points(volume), surface_points(again)
    assert abs(len(a) - len(b)) < 0.01 * len(a)
    again.integrate(view(EYES[0]))  # a loaded map goes on


def test_a_damaged_map_gets_one_sentence(volume, tmp_path):
    path = tmp_path / "map.npz"
    volume.save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="scan again"):
        Volume.load(path)
    with pytest.raises(UserError, match="scan again"):
        Volume.load(tmp_path / "none.npz")


def test_fusing_keeps_up_with_a_camera(volume):
    seen = view(EYES[0], size=128)
    busy = time.process_time()
    for _ in range(5):
        volume.integrate(seen)
    assert (time.process_time() - busy) / 5 < 0.4, "s of computing a picture, twice the bar"
