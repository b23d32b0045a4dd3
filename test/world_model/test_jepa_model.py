# SPDX-License-Identifier: Apache-2.0
"""The jepa family behind the common interface."""
from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_checkpoint import make_checkpoint, observation
from tiny_jepa import make_jepa

from wm_ros import world_model
from wm_ros.errors import UserError
from wm_ros.world_model import load_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_jepa(tmp_path_factory.mktemp("jepa"))


@pytest.fixture()
def model(folder: Path):
    return load_model(folder, candidates=40, elites=8, iterations=3)


def with_goal(model, seed: int = 1):
    state = model.observe(observation())
    model.set_goal(state, observation(seed))
    return state


def test_acting_without_a_goal_says_how_to_give_one(model):
    with pytest.raises(UserError, match="set_goal.*parameter dreamer"):
        model.act(model.observe(observation()), "open the drawer")


@pytest.mark.parametrize("method", ["cem", "mppi"])
def test_chunks_have_the_promised_shapes_and_keep_to_the_limits(folder, method):
    model = load_model(folder, method=method, candidates=40, elites=8, iterations=3)
    chunks = model.act(with_goal(model), n=3)
    assert chunks.position.shape == (3, 25, 3) and chunks.quaternion.shape == (3, 25, 4)
    assert chunks.gripper.shape == (3, 25) and chunks.success.shape == (3,)
    start = np.tile(observation().tcp_position, (3, 1, 1))
    way = np.diff(np.concatenate([start, chunks.position], 1), axis=1)
    assert np.linalg.norm(way, axis=2).max() <= 0.022 + 1e-6
    assert model.spec.horizon == 25 and model.spec.frame_steps == (5, 10, 15, 20, 25)


def test_a_plan_brings_the_foretold_latent_nearer_to_the_goal(folder):
    model = load_model(folder)
    state = model.observe(observation())
    goal = model.imagine(state, moved(model), "").latents[0, -1, 0]
    model.set_goal(state, goal)
    chunks = model.act(state)
    assert chunks.success[0] > 0.5, "a goal that can be reached is approached"


def moved(model):
    from wm_ros.world_model import ActionChunks
    o = observation()
    position = o.tcp_position + np.linspace(0.02, 0.5, 25)[:, None] * np.array([0.6, 0.5, -0.2])
    return ActionChunks(position[None], np.tile(o.tcp_quaternion, (1, 25, 1)),
                        np.full((1, 25), 0.08), 0.1, *[np.ones(1)] * 3)


def test_a_goal_stays_with_the_state_and_its_followers(model):
    state = with_goal(model)
    follower = model.observe(observation(2, stamp=0.5), state)
    assert model.act(follower).position.shape[0] == 1
    with pytest.raises(UserError):
        model.act(model.observe(observation(2)))
    model.set_goal(None, observation(1))
    assert len(model.act(model.observe(observation(2)), n=2)) == 2, "for callers without memory"


def test_the_pages_example_runs(folder, monkeypatch):
    page = (Path(__file__).resolve().parents[2] / "docs" / "jepa.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    monkeypatch.setattr(world_model, "load_model", lambda name: load_model(folder))
    exec(compile(code, "the page's example", "exec"), {
        "observation": observation(), "goal": observation(1), "newer": observation(2, stamp=0.5)})


def test_every_block_can_have_a_goal_of_its_own(model):
    state = model.observe(observation())
    model.set_goal(state, [observation(s) for s in (1, 2, 3)])
    assert state.memory["goal"].shape == (3, 16)
    latents = state.memory["goal"][[0, 1, 2, 2, 2]][None]
    assert float(model._cost(latents, state.memory["goal"])) == 0.0, "the last one holds on"
    assert float(model._cost(latents.flip(1), state.memory["goal"])) > 0.0


def test_the_next_search_starts_from_the_last_plan(model):
    state = with_goal(model)
    first = model.plan(state, state.memory["goal"])
    follower = model.observe(observation(stamp=0.5), state)
    assert follower.memory["plan"][0] == 0.0
    again = model.plan(follower, state.memory["goal"])
    assert again.mean.shape == first.mean.shape and follower.memory["plan"][0] == 0.5


def test_the_same_seed_gives_the_same_plan(folder):
    one, two = (load_model(folder, seed=4, candidates=40, elites=8, iterations=3)
                for _ in range(2))
    np.testing.assert_array_equal(one.act(with_goal(one)).position,
                                  two.act(with_goal(two)).position)


def test_what_was_seen_before_enters_the_prediction(model):
    def foretold(first_seed: int):
        state = model.observe(observation(first_seed))
        return model.imagine(model.observe(observation(5, stamp=0.5), state), moved(model)).latents

    assert np.abs(foretold(0) - foretold(3)).max() > 1e-5


def test_imagination_depends_on_the_actions_and_has_no_frames(model):
    state = model.observe(observation())
    chunks = moved(model)
    other = replace(chunks, position=chunks.position[:, ::-1].copy())
    a, b = model.imagine(state, chunks), model.imagine(state, other)
    assert a.frames is None and a.latents.shape == (1, 5, 1, 16)
    np.testing.assert_allclose(a.times, [0.5, 1.0, 1.5, 2.0, 2.5])
    assert np.abs(a.latents - b.latents).max() > 1e-3 and np.isnan(a.success).all()


def test_surprise_is_about_a_block_or_two_and_grows_with_the_difference(model, monkeypatch):
    state = model.observe(observation())
    new = observation(9)
    seen = model.encode(new.scene_rgb, new.wrist_rgb)
    error = torch.linspace(-1, 1, len(seen))

    def surprise(size: float, stamp: float = 0.5) -> float:
        with monkeypatch.context() as patch:
            patch.setattr(model, "_roll_blocks", lambda state, blocks: (
                (seen + size * error).expand(1, blocks.shape[1], -1)))
            return model.surprise(state, observation(9, stamp=stamp))

    assert surprise(0.0) == 0.0 and 0 < surprise(1.0) < surprise(2.0)
    assert surprise(1.0, 1.0) == pytest.approx(surprise(1.0) / 2**0.5), "two blocks"
    assert model.surprise(state, observation(9, stamp=3.0)) == 0.0, "too long ago to tell"
    assert model.surprise(state, observation(9, stamp=0.1)) == 0.0


def test_a_goal_can_come_from_the_words_through_the_video_family(folder, tmp_path):
    model = load_model(folder, dreamer=str(make_checkpoint(tmp_path)), candidates=20, elites=4,
                       iterations=1)
    chunks = model.act(model.observe(observation()), "Put the mug on the tray.")
    assert np.isfinite(chunks.position).all()
    with pytest.raises(UserError, match="know"):
        model.act(model.observe(observation()), "quantum chromodynamics lecture")


def test_a_dreamt_goal_judges_what_is_imagined_until_the_next_look(folder, tmp_path):
    model = load_model(folder, dreamer=str(make_checkpoint(tmp_path)), candidates=20, elites=4,
                       iterations=1)
    words = "Put the mug on the tray."
    state = model.observe(observation())
    chunks = model.act(state, words, 3)
    imagined = model.imagine(state, chunks, words)
    np.testing.assert_allclose(imagined.success, chunks.success, atol=1e-4)
    follower = model.observe(observation(2, stamp=0.5), state)
    assert np.isnan(model.imagine(follower, chunks, words).success).all()


def test_as_many_chunks_come_as_were_asked_for(model):
    for n in (20, 60):  # more than the elites, more than the candidates
        chunks = model.act(with_goal(model), n=n)
        assert len(chunks) == n and np.isfinite(chunks.position).all()


@pytest.mark.parametrize("goal", [np.full(16, np.nan), np.full(16, np.inf)])
def test_a_goal_that_is_nowhere_is_refused(model, goal):
    with pytest.raises(UserError, match="NaN"):
        model.set_goal(None, goal)


def test_a_look_that_is_written_over_brings_no_past_along(model):
    state = model.observe(observation(0))
    seen = observation(5, stamp=0.5)
    state = model.observe(seen, state)
    model.imagine(state, moved(model))
    seen.stamp = 9.0
    late = model.imagine(model.observe(seen, state), moved(model))
    alone = model.imagine(model.observe(observation(5, stamp=9.0)), moved(model))
    np.testing.assert_array_equal(late.latents, alone.latents)


def test_wrong_images_goals_and_checkpoints_get_one_sentence(model, folder, tmp_path):
    small = observation()
    small.scene_rgb = small.scene_rgb[:64, :64]
    with pytest.raises(UserError, match="perception"):
        model.observe(small)
    nan = observation()
    nan.tcp_position = np.array([np.nan, 0, 0])
    with pytest.raises(UserError, match="NaN"):
        model.observe(nan)
    with pytest.raises(UserError, match="goal's scene image"):
        model.set_goal(None, small)
    with pytest.raises(UserError, match="16 numbers"):
        model.set_goal(None, np.zeros(3))
    for file in ("model.safetensors", "config.yaml"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    config["family"] = "video"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError):
        load_model(tmp_path)
