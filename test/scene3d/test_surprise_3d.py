# SPDX-License-Identifier: Apache-2.0
"""What of a measured depth nobody foretold."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wm_ros.motion.pose import Pose
from wm_ros.world_model.scene3d.imagery import Picture
from wm_ros.world_model.scene3d.surprise import different, in_hand, lost, unexplained
from wm_ros.world_model.scene3d.view import View, noisy

SIZE, FOCAL = 96, 110.0
K = np.array([[FOCAL, 0, 47.5], [0, FOCAL, 47.5], [0, 0, 1]])
AWAY = np.array([[5.0, 5.0, 1.0]])  # the tool is elsewhere


def seen(depth: np.ndarray) -> View:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    return View(image, depth.astype(np.float32), K, Pose.identity(),
                np.zeros((SIZE, SIZE), bool))


def told(depth: np.ndarray, robot: np.ndarray | None = None) -> Picture:
    image, nowhere = np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((SIZE, SIZE), bool)
    return Picture(image, depth.astype(np.float32), nowhere if robot is None else robot, nowhere)


def table(marker: int | None = None) -> np.ndarray:
    """A camera 1.2 m over a table; a marker of two by twelve pixels, 2 cm tall, in a column."""
    depth = np.full((SIZE, SIZE), 1.2)
    if marker is not None:
        depth[40:52, marker:marker + 2] -= 0.02
    return depth


def test_a_thin_thing_that_vanishes_is_seen_and_one_at_a_pixels_edge_is_not():
    assert unexplained(told(table(30)), seen(table()), AWAY) == 24
    assert unexplained(told(table()), seen(table(30)), AWAY) == 24
    assert unexplained(told(table(30)), seen(table(31)), AWAY) == 0


def test_what_begins_at_the_hand_is_its_own_work():
    at = 1.18 * np.array([[(31 - 47.5) / FOCAL, (46 - 47.5) / FOCAL, 1.0]])
    assert unexplained(told(table(30)), seen(table()), at) == 0


def test_arm_and_unknown_depth_say_nothing():
    where = np.zeros((SIZE, SIZE), bool)
    where[38:54, 28:34] = True
    unknown = np.where(where, np.nan, table(30))
    assert not different(told(unknown), seen(table())).any()
    assert not different(told(table(30), where), seen(table())).any()
    assert not different(told(table(30)), replace(seen(table()), ignore=where)).any()
    assert not different(told(table(30)), seen(np.where(where, 0.0, table()))).any()


@pytest.mark.parametrize("distance", [0.8, 1.5, 3.0])
def test_the_noise_of_a_depth_camera_is_no_surprise(distance):
    rng, flat = np.random.default_rng(0), np.full((SIZE, SIZE), distance)
    then, now = (noisy(seen(flat), rng) for _ in range(2))
    assert unexplained(told(then.depth), now, AWAY) == 0


def carrying(column: int = 40) -> np.ndarray:
    """A thing of six by six pixels that a hand holds 20 cm over the table."""
    depth = table()
    depth[40:46, column:column + 6] = 1.0
    return depth


def test_what_the_hand_carries_is_lost_only_where_nothing_of_it_is_left():
    before = seen(carrying())
    points = before.surface(before.depth, carrying() == 1.0)
    assert lost(points, seen(table())) == 36
    assert lost(points, seen(carrying(44))) == 0  # it has slipped
    hidden = np.zeros((SIZE, SIZE), bool)
    hidden[40:46, 40:46] = True
    assert lost(points, replace(seen(table()), ignore=hidden)) == 0  # the arm is before it
    assert lost(np.empty((0, 3)), seen(table())) == 0


def test_in_the_hand_is_what_is_seen_at_the_fingers_and_not_the_table():
    view = replace(seen(carrying()), pose=Pose.of((0, 0, 1.2), (1, 0, 0, 0)))  # looks down
    middle = view.surface(view.depth, carrying() == 1.0).mean(0)
    tool = Pose.of(middle, (1, 0, 0, 0))
    held = in_hand(view, tool, 0.05, 0.0)
    assert len(held) == 36 and np.abs(held[:, 2]).max() < 1e-3
    low = Pose.of((*middle[:2], 0.02), (1, 0, 0, 0))
    assert not len(in_hand(replace(view, depth=table().astype(np.float32)), low, 0.05, 0.0))
