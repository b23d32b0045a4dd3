# SPDX-License-Identifier: Apache-2.0
"""Pictures: not black, metric depth, known camera poses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np
import pytest
from hand import above, go, grasp_pose, robot, simulator

from wm_ros.sim.mujoco_emitter import HIDDEN_GROUP
from wm_ros.sim.randomize import randomize
from wm_ros.sim.rooms import load_room
from wm_ros.sim.schema import Requirements
from wm_ros.sim.simulator import Simulator


def _ray_depth(sim, frame, u, v):
    """Depth along the optical axis at pixel (u, v), by ray casting."""
    direction = np.linalg.inv(frame.K) @ [u, v, 1.0]
    ray = frame.pose.rotation() @ direction
    groups = np.array([1, 1, 1, 0, 0, 0], np.uint8)
    geom = np.zeros(1, np.int32)
    distance = mujoco.mj_ray(sim.model, sim.data, frame.pose.position, ray / np.linalg.norm(ray),
                             groups, 1, -1, geom)
    return distance / np.linalg.norm(direction)


@pytest.mark.parametrize("room", ["home", "office"])
@pytest.mark.parametrize("camera", ["scene", "wrist"])
def test_pictures_show_something_and_depth_is_metric(room, camera):
    sim = simulator(room, 6, clutter=(3, 4))
    frame = sim.render(camera, depth=True)
    assert frame.rgb.shape == (96, 96, 3) and frame.rgb.dtype == np.uint8
    assert frame.depth.shape == (96, 96) and frame.depth.dtype == np.float32
    assert 40 < frame.rgb.mean() < 220 and frame.rgb.std() > 15
    errors = []
    for v in range(4, 92, 8):
        for u in range(4, 92, 8):
            patch = frame.depth[v - 1:v + 2, u - 1:u + 2]
            if patch.max() - patch.min() < 0.02:  # away from edges
                errors.append(abs(_ray_depth(sim, frame, u, v) - frame.depth[v, u]))
    assert len(errors) > 40
    assert np.percentile(errors, 95) < 5e-3


def test_a_known_point_lands_on_its_pixel():
    """Extrinsics and intrinsics agree with the picture: the mug is where they say."""
    for seed in (1, 2, 3):
        sim = simulator("home", seed, objects=("mug",), clutter=(0, 0))
        frame = sim.render("scene", depth=True)
        middle = sim.object_pose("mug").position + np.array([0.0, 0.0, 0.02])
        u, v, w = frame.K @ frame.pose.inverse().apply(middle)
        owner = sim.visible_bodies("scene", frame.rgb.shape[1::-1])
        assert owner[round(v / w), round(u / w)] == sim.model.body("mug").id
        assert abs(frame.depth[round(v / w), round(u / w)] - w) < 0.08


def test_the_wrist_camera_sees_what_the_fingers_will_grasp():
    sim = simulator("home", 3, objects=("mug",), clutter=(0, 0))
    go(sim, above(grasp_pose(sim, "mug"), 0.06))
    with_mug = sim.render("wrist").rgb.astype(int)
    sim.model.geom_group[sim.model.geom_bodyid == sim.model.body("mug").id] = HIDDEN_GROUP
    without = sim.render("wrist").rgb.astype(int)
    seen = np.abs(with_mug - without).max(axis=2) > 25
    assert seen.mean() > 0.04
    assert np.abs(np.argwhere(seen)[:, 1].mean() - 47.5) < 12, "between the fingers"


@pytest.mark.parametrize("room", ["home", "office"])
def test_splits_and_seeds_look_different(room):
    pictures = [Simulator(randomize(load_room(room), seed, split, Requirements()), robot())
                .render("scene").rgb.astype(int)
                for split, seed in (("train", 0), ("train", 1), ("held_out", 0))]
    for i in range(3):
        assert np.abs(pictures[i] - pictures[i - 1]).mean() > 5


def test_many_simulators_in_turn_free_what_they_drew():
    for seed in range(12):
        sim = simulator("home", seed, clutter=(0, 1))
        assert sim.render("scene").rgb.mean() > 20
        sim.close()


def test_threads_render_beside_each_other():
    first = simulator("home", 3)
    with ThreadPoolExecutor(1) as other:
        second = other.submit(simulator, "home", 3).result()
        for _ in range(2):
            mine = first.render("scene").rgb
            theirs = other.submit(second.render, "scene").result().rgb
            np.testing.assert_array_equal(mine, theirs)
        other.submit(second.close).result()
    first.close()
