# SPDX-License-Identifier: Apache-2.0
"""The video family behind the common interface."""
from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_checkpoint import make_checkpoint, observation

from wm_ros.errors import UserError
from wm_ros.world_model import WorldModel, load_model
from wm_ros.world_model.interface import Finder, new_room
from wm_ros.world_model.video.config import VideoConfig
from wm_ros.world_model.video.network import VideoNetwork

WORDS = "Put the mug on the tray."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture()
def model(folder: Path):
    return load_model(folder)


def test_it_answers_the_common_interface(model):
    assert isinstance(model, WorldModel)


def test_chunks_have_the_promised_shapes_and_lie_in_range(model):
    chunks = model.act(model.observe(observation()), WORDS, 3)
    assert chunks.position.shape == (3, 16, 3) and chunks.quaternion.shape == (3, 16, 4)
    np.testing.assert_allclose(np.linalg.norm(chunks.quaternion, axis=-1), 1, atol=1e-5)
    assert (chunks.gripper >= 0).all() and (chunks.gripper <= 0.08).all()
    assert np.isfinite(chunks.position).all() and chunks.success.shape == (3,)


def test_the_same_seed_gives_the_same_chunks(folder):
    a, b = (load_model(folder, seed=4) for _ in range(2))
    one, two = (m.act(m.observe(observation()), WORDS, 2) for m in (a, b))
    np.testing.assert_array_equal(one.position, two.position)


def test_it_says_where_the_next_grasps_are(model):
    seen = observation()
    position, quaternion = model.locate(model.observe(seen), WORDS)
    assert isinstance(model, Finder)
    assert position.shape == (2, 3) and quaternion.shape == (2, 4)
    np.testing.assert_allclose(np.linalg.norm(quaternion, axis=1), 1, atol=1e-5)
    seen.tcp_position = seen.tcp_position + [0.0, 0.0, 0.05]
    moved, _ = model.locate(model.observe(seen), WORDS)
    assert not np.allclose(moved, position)


def test_words_change_what_is_done(model):
    network, text = model.network, torch.randn(2, 384)
    state = model.observe(observation())
    _, words = model._context(state, WORDS)
    inputs = [torch.randn(2, 3, 96, 96), torch.randn(2, 96, 96, 3), torch.randn(2, 3, 96, 96),
              torch.zeros(2, 19)]
    inputs = [x[:1].expand(2, *x.shape[1:]) for x in inputs]
    with torch.inference_mode():
        c = network.observe(*inputs, text)
        flow = network(c, text, torch.zeros(2, 16, 7), torch.ones(2)).action
    assert (flow[0] - flow[1]).abs().max() > 1e-3


def test_imagined_frames_depend_on_the_actions(model):
    state = model.observe(observation())
    chunks = model.act(state, WORDS, 2)
    chunks.position[1] = chunks.position[0] + np.array([0.1, 0, 0])
    chunks.quaternion[1], chunks.gripper[1] = chunks.quaternion[0], chunks.gripper[0]
    imagined = model.imagine(state, chunks, WORDS)
    assert imagined.frames.shape == (2, 2, 96, 96, 3) and imagined.frames.dtype == np.uint8
    assert np.abs(imagined.latents[0] - imagined.latents[1]).max() > 1e-3
    np.testing.assert_allclose(imagined.times, [0.8, 1.6])


def test_the_video_mode_needs_no_actions(model):
    state = model.observe(observation())
    dreamt = model.generate(state, WORDS, 2)
    assert dreamt.frames.shape == (2, 2, 96, 96, 3)
    assert np.abs(dreamt.latents[0] - dreamt.latents[1]).max() > 1e-3, "two futures, not one"


def test_inverse_dynamics_reads_the_actions_off_the_frames(model):
    state = model.observe(observation())
    frames = np.stack([observation(s).scene_rgb for s in (1, 2, 3, 4)]).reshape(2, 2, 96, 96, 3)
    latents = model.encode_frames(frames)
    assert latents.shape == (2, 2, 36, model.config.latent_channels)
    assert model.infer_actions(state, latents, WORDS).position.shape == (2, 16, 3)
    answers = []
    for some in (latents[:1], latents[1:]):
        model._generator.manual_seed(0)
        answers.append(model.infer_actions(state, some, WORDS).position)
    assert np.abs(answers[0] - answers[1]).max() > 1e-6


def test_actions_are_read_off_the_frames_without_words_too(model):
    state = model.observe(observation())
    latents = model.encode_frames(np.stack([observation(s).scene_rgb for s in (1, 2)])[None])
    free, asked = (model.infer_actions(state, latents, words) for words in ("", WORDS))
    assert np.isnan(free.success).all() and np.isfinite(asked.success).all()
    assert np.isfinite(free.position).all() and not np.array_equal(free.position, asked.position)


def test_the_best_guess_at_the_actions_does_not_hang_on_chance(model):
    state = model.observe(observation())
    latents = model.encode_frames(np.stack([observation(s).scene_rgb for s in (1, 2)])[None])
    one, two = (model.infer_actions(state, latents, WORDS).position for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_a_picture_that_is_written_over_is_seen_anew(model):
    seen = observation()
    chunks = model.act(model.observe(seen), WORDS, 1)
    model.imagine(model.observe(seen), chunks, WORDS)
    seen.scene_rgb[:] = observation(7).scene_rgb
    fresh = dataclasses.replace(observation(), scene_rgb=observation(7).scene_rgb)
    told = [model.imagine(model.observe(o), chunks, WORDS).latents for o in (seen, fresh)]
    np.testing.assert_array_equal(*told)


@pytest.mark.parametrize("steps", ["action_steps", "video_steps"])
def test_no_steps_at_all_are_refused(folder, steps):
    with pytest.raises(UserError, match="at least 1"):
        load_model(folder, **{steps: 0})


def test_chunks_and_futures_come_together_in_the_joint_mode(model):
    state = model.observe(observation())
    chunks, imagined = model.dream(state, WORDS, 3)
    assert chunks.position.shape == (3, 16, 3) and imagined.frames.shape[:2] == (3, 2)
    assert model.surprise(state, observation(stamp=0.8)) > 0, "its future is kept"


def test_the_twin_acts_but_foresees_nothing(tmp_path):
    twin = load_model(make_checkpoint(tmp_path, "twin"))
    assert isinstance(twin, WorldModel) and twin.spec.family == "twin"
    state = twin.observe(observation())
    chunks = twin.act(state, WORDS, 2)
    imagined = twin.imagine(state, chunks, WORDS)
    np.testing.assert_array_equal(imagined.frames[1, 1], observation().scene_rgb)
    assert np.isfinite(imagined.success).all()
    assert twin.surprise(state, observation(1, stamp=0.8)) == 0.0
    for mode in (lambda: twin.generate(state, WORDS), lambda: twin.dream(state, WORDS),
                 lambda: twin.infer_actions(state, imagined.latents, WORDS)):
        with pytest.raises(UserError, match="imagines nothing"):
            mode()


def test_nothing_is_rendered_when_nobody_looks(model):
    state = model.observe(observation())
    assert model.imagine(state, model.act(state, WORDS), WORDS, render=False).frames is None


def test_surprise_is_zero_without_imagination_and_grows_with_the_error(model):
    state = model.observe(observation())
    assert model.surprise(state, observation(stamp=0.8)) == 0.0
    imagined = model.imagine(state, model.act(state, WORDS), WORDS)
    near, far = observation(stamp=0.8), observation(stamp=0.8)
    near.latent = imagined.latents[0, 0] + 0.01
    far.latent = imagined.latents[0, 0] + 1.0
    assert model.surprise(state, near) < 0.1 < model.surprise(state, far)
    late = observation(stamp=5.0)
    assert model.surprise(state, late) == 0.0


@pytest.mark.parametrize("words", ["", "   ", "fly to the moon"])
def test_unknown_words_get_one_sentence(model, words, monkeypatch):
    monkeypatch.setattr(type(model.text), "_forward",
                        lambda self, s: torch.eye(384)[:len(s)])
    with pytest.raises(UserError) as caught:
        model.act(model.observe(observation()), words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["q", "tcp_position"])
def test_nan_never_reaches_the_network(model, field):
    bad = observation()
    getattr(bad, field)[0] = np.nan
    with pytest.raises(UserError, match="NaN"):
        model.observe(bad)


def test_an_image_of_another_size_is_refused(model):
    bad = observation()
    bad.scene_rgb = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(UserError, match="resize"):
        model.observe(bad)


def test_a_broken_checkpoint_gets_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no checkpoint"):
        load_model(tmp_path / "nowhere")
    folder = make_checkpoint(tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be read"):
        load_model(folder)
    folder = make_checkpoint(tmp_path / "family")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"family": "oracle"}))
    with pytest.raises(UserError, match="oracle"):
        load_model(folder)
    (folder / "config.yaml").write_text(yaml.safe_dump(
        config | {"network": config["network"] | {"width": 64}}))
    with pytest.raises(UserError, match="do not fit"):
        load_model(folder)


def test_context_is_computed_once_for_all_candidates(model):
    state = model.observe(observation())
    model.act(state, WORDS, 1)
    kept = state.memory[f"context of {WORDS}"]
    model.act(state, WORDS, 4)
    assert state.memory[f"context of {WORDS}"] is kept


def test_the_shipped_size_fits_its_budget():
    from wm_ros.training.config import load

    network = VideoNetwork(load("video_small")[1])
    assert sum(p.numel() for p in network.parameters()) * 2 < 22e6, "bf16 bytes"
    with pytest.raises(UserError):
        VideoConfig(width=100, heads=3)


def test_what_would_place_nothing_is_refused(model):
    look = observation()
    half = model.config.image_size // 2
    for wrong in ({"scene_K": np.zeros((3, 3))}, {"scene_K": np.full((3, 3), np.nan)},
                  {"scene_quaternion": np.zeros(4)}, {"tcp_quaternion": np.full(4, np.nan)},
                  {"scene_depth": np.ones((half, half), np.float32)},
                  {"scene_depth": np.zeros_like(look.scene_depth)}, {"wrench": np.zeros(3)}):
        with pytest.raises(UserError):
            model.observe(dataclasses.replace(look, **wrong))


def test_broken_chunks_are_not_imagined(model):
    look = observation()
    state = model.observe(look)
    chunks = model.act(state, WORDS)
    nan = dataclasses.replace(chunks, position=chunks.position * np.nan)
    short = dataclasses.replace(chunks, position=chunks.position[:, :-1])
    for broken, said in ((nan, "NaN"), (short, "steps")):
        with pytest.raises(UserError, match=said):
            model.imagine(state, broken, WORDS)


def test_a_new_room_begins_the_noise_anew(model):
    look = observation()
    chunks = []
    for _ in range(2):
        new_room(model)
        chunks.append(model.act(model.observe(look), WORDS, n=3).position)
    np.testing.assert_array_equal(*chunks)
