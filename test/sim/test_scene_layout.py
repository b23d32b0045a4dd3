# SPDX-License-Identifier: Apache-2.0
"""Scenes: what a task asks for is there, in reach, the same for the same seed."""

from __future__ import annotations

from itertools import combinations
from math import hypot

import mujoco
import numpy as np
import pytest
import yaml
from hand import robot, simulator

from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose, quaternion_from_rotvec
from wm_ros.sim.kinds import _load as read_kind
from wm_ros.sim.kinds import kinds
from wm_ros.sim.mujoco_emitter import FURNITURE, ROBOT, THING
from wm_ros.sim.placement import Footprint, overlap
from wm_ros.sim.randomize import _held_out_cell, randomize
from wm_ros.sim.rooms import load_room
from wm_ros.sim.schema import ObjectRequest, Requirements
from wm_ros.sim.simulator import Simulator

ROOMS = ("home", "office")
NEEDS = {
    "home": Requirements(objects=("mug", "bowl", "bowl"), furniture=("tray",), clutter=(2, 4)),
    "office": Requirements(objects=("paper_ball", "marker"), furniture=("bin", "button_panel"),
                           clutter=(2, 4)),
}


def test_there_are_at_least_25_kinds_and_each_fits_the_gripper():
    assert len(kinds()) >= 25
    for kind in kinds().values():
        assert 0.005 <= kind.grasp.width <= 0.062, kind.name
        low, high = kind.extent()
        assert low[2] == pytest.approx(0.0, abs=2e-3), f"{kind.name} does not stand on its base"
        assert kind.grasp.position[2] >= 0.012, f"{kind.name}: fingertips would hit the table"


@pytest.mark.parametrize("where", ["colors: [red, BAD]", "held_out_colors: [BAD]",
                                   "parts: [{sphere: [0.02], color: BAD}]"])
def test_a_colour_outside_the_palette_is_refused_with_the_known_words(tmp_path, where):
    path = tmp_path / "candle.yaml"
    good = {"rooms": [], "mass": 0.1, "colors": ["red"], "parts": [{"sphere": [0.02]}],
            "grasp": {"position": [0, 0, 0.02], "yaw": [], "width": 0.04}}
    path.write_text(yaml.safe_dump(good | yaml.safe_load(where.replace("BAD", "turquoise"))))
    with pytest.raises(UserError, match="'turquoise'.*teal, brown"):
        read_kind(path)


@pytest.mark.parametrize("room", ROOMS)
def test_same_seed_gives_the_same_scene_and_other_seeds_others(room):
    task = NEEDS[room]
    first = randomize(load_room(room), 7, "train", task)
    assert first == randomize(load_room(room), 7, "train", task)
    assert first != randomize(load_room(room), 8, "train", task)
    assert first.objects != randomize(load_room(room), 7, "held_out", task).objects


@pytest.mark.parametrize("room", ROOMS)
def test_required_things_are_in_reach_and_only_held_out_layouts_use_held_out_places(room):
    reach = load_room(room).reach
    held_out = [o.position[:2] for seed in range(25)
                for o in randomize(load_room(room), seed, "held_out", NEEDS[room]).objects
                if o.required]
    assert any(_held_out_cell(*place) for place in held_out)
    for seed in range(25):
        scene = randomize(load_room(room), seed, "train", NEEDS[room])
        required = [o for o in scene.objects if o.required]
        assert len(required) == len(NEEDS[room].objects)
        for thing in required:
            x, y, _ = thing.position
            assert reach[0] <= hypot(x, y) <= reach[1] and abs(y) <= 0.45
            assert not _held_out_cell(x, y)
        assert len({o.name for o in scene.objects}) == len(scene.objects)
        spare = [o.kind for o in scene.objects if not o.required]
        assert not set(spare) & {o.kind for o in required}, "the instruction would be ambiguous"


def test_a_task_can_name_colour_place_joint_and_container():
    task = Requirements(
        objects=(ObjectRequest("mug", color="red", zone=(0.4, 0.5, -0.2, 0.2)),
                 ObjectRequest("apple", inside="tray")),
        furniture=("tray", "cabinet"), joints={"door": (1.2, 1.5)}, clutter=(0, 0))
    sim = Simulator(randomize(load_room("home"), 3, "held_out", task), robot())
    mug = sim.scene.object("mug")
    assert mug.color == "red" and 0.4 <= mug.position[0] <= 0.5
    assert 1.2 <= sim.joint_value("door") <= 1.5
    assert sim.contains("tray", "apple") and not sim.contains("tray", "mug")


def test_impossible_wishes_are_answered_in_one_sentence():
    for task in (Requirements(objects=("elephant",)), Requirements(furniture=("piano",)),
                 Requirements(objects=(ObjectRequest("mug", zone="cellar"),)),
                 Requirements(objects=("plate",) * 30)):
        with pytest.raises(UserError):
            randomize(load_room("home"), 0, "train", task)
    with pytest.raises(UserError):
        load_room("garage")


def test_footprints_know_when_they_overlap():
    a = Footprint(0, 0, 0.1, 0.05, 0.0)
    assert overlap(a, Footprint(0.16, 0, 0.05, 0.05, 0.78), 0.0)
    assert not overlap(a, Footprint(0.19, 0, 0.05, 0.05, 0.78), 0.0)
    assert overlap(a, Footprint(0.19, 0, 0.05, 0.05, 0.78), 0.05)


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("seed", range(6))
def test_nothing_overlaps_at_the_start_and_things_rest_where_they_were_put(room, seed):
    scene = randomize(load_room(room), seed, "train", NEEDS[room])
    sim = Simulator(scene, robot())
    depth = sim.data.contact.dist
    assert depth.size == 0 or depth.min() > -1.5e-3
    assert sim.robot_furniture_contacts() == 0
    assert not any(sim.touching("robot", name) for name in scene.object_names())
    for a, b in combinations(scene.object_names(), 2):
        assert not sim.touching(a, b)
    before = {name: sim.object_pose(name).position for name in scene.object_names()}
    sim.advance(2.0)
    for name, at in before.items():
        assert np.linalg.norm(sim.object_pose(name).position - at) < 2e-3, name


def test_every_kind_stands_on_the_table_alone():
    for kind in kinds().values():
        sim = simulator(kind.rooms[0], 1, objects=(kind.name,), clutter=(0, 0))
        start = sim.object_pose(kind.name)
        sim.advance(1.0)
        end = sim.object_pose(kind.name)
        assert np.linalg.norm(start.position - end.position) < 2e-3, kind.name
        assert abs(start.quaternion @ end.quaternion) > 0.9995, f"{kind.name} fell over"


def test_every_geom_says_what_it_is():
    sim = simulator("office", 2, furniture=("switch",))
    meaning = sim.model.geom_user[:, 0]
    assert set(np.unique(meaning)) >= {FURNITURE, ROBOT, THING}
    assert (meaning > 0).all()
    assert sim.model.opt.timestep == pytest.approx(0.002)
    assert sim.model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC


def test_a_container_holds_a_ball_however_it_is_turned():
    task = Requirements(objects=("orange", "bowl"), clutter=(0, 0))
    sim = Simulator(randomize(load_room("home"), 3, "held_out", task), robot())
    inside = sim.object_pose("bowl").position + np.array([0.0, 0.0, 0.012])
    for roll in np.linspace(0, np.pi, 7):
        turn = quaternion_from_rotvec((roll, 0.5 * roll, 0.0))
        lowest = sim.scene.object("orange").size[2] / 2
        middle = Pose.of((0, 0, lowest))
        sim.set_object_pose("orange", Pose.of(inside + (0, 0, lowest), turn).compose(
            middle.inverse()))
        assert sim.contains("bowl", "orange"), roll
