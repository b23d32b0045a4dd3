# SPDX-License-Identifier: Apache-2.0
"""The scene3d family behind the common interface; what the video family promises, it keeps."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_room import BOX_AT, chunks, observation

from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose, top_down
from wm_ros.robot import load_robot
from wm_ros.world_model import WorldModel, load_model
from wm_ros.world_model.scene3d.perceived import Solid, Thing


@pytest.fixture()
def model():
    made = load_model("scene3d")
    yield made
    made.close()


def push(model, state, length: float = 0.06):
    """One chunk that pushes the box along -y, and one that stays away."""
    out = chunks(2)
    x, y = BOX_AT[0], BOX_AT[1]
    start = y + 0.09
    line = np.linspace(start, start - 0.025 - length, 16)
    out.position[0] = np.stack([np.full(16, x), line, np.full(16, 0.03)], 1)
    out.quaternion[0] = top_down(np.zeros(3), 0.5 * np.pi).quaternion
    out.position[1], out.quaternion[1] = out.position[0] + (0, 0.1, 0.15), out.quaternion[0]
    out.gripper[:] = 0.0
    from wm_ros.motion.kinematics import Kinematics

    kinematics = Kinematics(model.robot)
    state.observation.q = kinematics.ik(Pose(out.position[0, 0], out.quaternion[0, 0]),
                                        model.robot.home)
    state.observation.gripper = 0.0
    return out


def test_it_answers_the_common_interface(model):
    assert isinstance(model, WorldModel) and model.spec.family == "scene3d"


def test_things_are_seen_at_the_first_look(model):
    scene = model.observe(observation()).memory["scene"]
    nearest = min(scene.things, key=lambda t: np.linalg.norm(t.solid.pose.position - BOX_AT))
    assert np.linalg.norm(nearest.solid.pose.position[:2] - BOX_AT[:2]) < 0.02


def test_a_moved_thing_is_followed_by_its_name(model):
    state = model.observe(observation())
    for _ in range(3):
        state = model.observe(observation(stamp=0.5, shift=-0.015), state)
    names = [t.name for t in state.memory["scene"].things]
    assert len(names) == len(set(names))
    nearest = min(state.memory["scene"].things, key=lambda t: abs(t.base[0] - BOX_AT[0])
                  + abs(t.base[1] - BOX_AT[1] + 0.015))
    assert abs(nearest.base[1] - (BOX_AT[1] - 0.015)) < 0.012


def test_without_a_proposer_it_says_that_it_has_no_policy(model):
    with pytest.raises(UserError, match="no policy.*parameter proposer") as caught:
        model.act(model.observe(observation()), "put the mug on the tray")
    assert "\n" not in str(caught.value)


def test_a_push_moves_the_thing_and_a_chunk_far_away_does_not(model):
    state = model.observe(observation())
    told = model.imagine(state, push(model, state), "")
    things = state.memory["scene"].things
    i = min(range(len(things)), key=lambda k: np.linalg.norm(
        things[k].solid.pose.position - BOX_AT))
    assert told.latents.shape == (2, 2, len(things), 7)
    pushed, spared = told.latents[0, -1, i, 1], told.latents[1, -1, i, 1]
    assert pushed < spared - 0.03 and abs(spared - things[i].solid.pose.position[1]) < 0.004
    assert (told.success >= 0).all() and (told.success <= 1).all()


def test_imagined_frames_depend_on_the_actions(model):
    state = model.observe(observation())
    told = model.imagine(state, push(model, state), "")
    assert told.frames.shape == (2, 2, 96, 96, 3) and told.frames.dtype == np.uint8
    assert (told.frames[0] != told.frames[1]).any()
    np.testing.assert_allclose(told.times, [0.8, 1.6])


def test_nothing_is_rendered_when_nobody_looks(model):
    state = model.observe(observation())
    assert model.imagine(state, chunks(), "", render=False).frames is None


def test_the_same_calls_give_the_same_future(model):
    state = model.observe(observation())
    given = push(model, state)
    one, two = (model.imagine(state, given, "", render=False).latents for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_a_chunk_out_of_reach_is_judged_worse(model):
    state = model.observe(observation())
    far = chunks(2)
    far.position[1] = (3.0, 0.0, 0.5)
    told = model.imagine(state, far, "", render=False)
    assert told.success[1] < 0.5 * told.success[0]


def test_surprise_is_zero_without_imagination_and_grows_when_a_thing_is_moved(model):
    state = model.observe(observation())
    assert model.surprise(state, observation(stamp=0.8)) == 0.0
    model.imagine(state, chunks(1), "")
    same = model.surprise(state, observation(stamp=0.8))
    moved = model.surprise(state, observation(stamp=0.8, shift=0.12))
    gone = model.surprise(state, observation(stamp=0.8, things=False))
    assert same < 0.3 and moved > 1.0 and gone > 1.0
    assert model.surprise(state, observation(stamp=5.0)) == 0.0


def test_a_future_surprises_after_other_looks_too(model):
    state = model.observe(observation())
    model.imagine(state, chunks(1), "")
    gone = observation(stamp=0.8, things=False)
    at_once = model.surprise(state, gone)
    assert model.surprise(model.observe(observation(stamp=0.4), state), gone) == at_once > 1.0


def test_colours_and_light_do_not_surprise(model):
    state = model.observe(observation())
    model.imagine(state, chunks(1), "")
    dark = observation(stamp=0.8)
    dark.scene_rgb = (dark.scene_rgb[..., ::-1] * 0.4).astype(np.uint8)
    assert model.surprise(state, dark) == model.surprise(state, observation(stamp=0.8))


@pytest.mark.parametrize("field", ["q", "tcp_position"])
def test_nan_never_reaches_the_physics(model, field):
    bad = observation()
    getattr(bad, field)[0] = np.nan
    with pytest.raises(UserError, match="NaN"):
        model.observe(bad)


def test_nan_in_a_chunk_is_refused(model):
    bad = chunks()
    bad.position[0, 3] = np.nan
    with pytest.raises(UserError, match="NaN"):
        model.imagine(model.observe(observation()), bad, "")


def test_the_robot_that_runs_is_the_one_that_is_masked_and_rolled_out():
    ur5 = load_robot("ur5")
    made = load_model("scene3d", robot=ur5)
    seen = observation()
    seen.q = np.asarray(ur5.home)
    told = made.imagine(made.observe(seen), chunks(1), "", render=False)
    made.close()
    assert made.robot is ur5 and np.isfinite(told.success).all()


def test_joints_of_another_arm_get_one_sentence(model):
    seen = observation()
    seen.q = seen.q[:6]
    with pytest.raises(UserError, match="6 joints, but scene3d was loaded for the panda") as told:
        model.observe(seen)
    assert "\n" not in str(told.value)


def test_an_image_of_another_size_or_without_depth_is_refused(model):
    bad = observation()
    bad.scene_rgb = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(UserError, match="resize"):
        model.observe(bad)
    blind = observation()
    blind.scene_depth = np.zeros_like(blind.scene_depth)
    with pytest.raises(UserError, match="depth"):
        model.observe(blind)


def test_what_moves_by_itself_in_the_twin_is_not_foretold_to_move(model):
    """A shape that does not stand as the thing does falls, with or without the arm."""
    from wm_ros.world_model.scene3d.perceived import empty
    from wm_ros.world_model.scene3d.twin import Twin

    state = model.observe(observation())
    given = push(model, state)
    falling = Solid("box", (0.05, 0.05, 0.05), Pose.of((0.3, -0.4, 0.3)))
    twin = Twin(replace(empty(), things=(
        Thing("box", Solid("box", (0.08, 0.05, 0.06), Pose.of(BOX_AT)), (1, 0, 0), 0.1, 0.6, 0.0,
              99),
        Thing("falling", falling, (1, 0, 0), 0.1, 0.6, 0.0, 99))),
        model.robot, state.observation.q, 0.0)
    futures = twin.roll(given.position[:1], given.quaternion[:1], given.gripper[:1], 0.1)
    idle = np.stack([twin.poses(s) for s in twin.idle(16, 0.1)])
    twin.close()
    assert np.ptp(futures.poses[0, :, 1, 2]) > 0.1  # it falls
    moved = futures.moved(0, 16, idle)
    assert len(moved) == 17 and np.abs(moved[:, :2] - BOX_AT[:2]).max() < 0.15  # the pushed one


def test_pushes_tell_how_heavy_a_thing_is(model):
    """The twin with a heavier thing stands for the world."""
    from wm_ros.world_model.scene3d.identify import (
        Trial,
        holds,
        identified,
        mean_push,
        replay,
        updated,
    )
    from wm_ros.world_model.scene3d.perceived import empty
    from wm_ros.world_model.scene3d.twin import Twin

    state = model.observe(observation())
    given = push(model, state)
    solid = Solid("box", (0.08, 0.05, 0.06), Pose.of(BOX_AT))
    guess = replace(empty(), things=(Thing("box", solid, (1, 0, 0), 0.15, 0.6, 0.0, 99),))
    heavy = replace(guess, things=(replace(guess.things[0], mass=0.375, friction=0.6),))
    o = state.observation
    twin = Twin(heavy, model.robot, o.q, 0.0)
    real = twin.roll(given.position[:1], given.quaternion[:1], given.gripper[:1], 0.1,
                     forces=True)
    twin.close()
    way = np.array([0.0, -1.0])
    trial = Trial(guess, o.q, 0.0, given.position[0], given.quaternion[0], given.gripper[0],
                  0.1, real.poses[0, -1, 0, :3] - real.poses[0, 0, 0, :3], way,
                  mean_push(real.force[0], way))
    told = replay("box", trial, model.robot)
    assert holds([told, replace(told)]) and not holds([told])  # one push is no proof
    found = identified(guess.thing("box"), [told])
    assert found.misfit <= found.misfit_before
    assert found.friction * found.mass * 9.81 == pytest.approx(0.375 * 0.6 * 9.81, rel=0.4)
    learned = updated(guess, "box", found).thing("box")
    assert learned.pushed and learned.mass == found.mass and learned.friction == found.friction
