# SPDX-License-Identifier: Apache-2.0
"""What a caller may rely on, whichever family answers."""
from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoint import make_checkpoint
from tiny_jepa import make_jepa

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scene3d"))

from synthetic_room import observation  # noqa: E402

from wm_ros.errors import UserError  # noqa: E402
from wm_ros.world_model import ActionChunks, WorldModel, load_model  # noqa: E402

WORDS = "Put the mug on the tray."


@pytest.fixture(scope="module", params=["video", "twin", "scene3d", "jepa"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "jepa":
        made = load_model(make_jepa(folder), candidates=30, elites=5, iterations=2)
        made.set_goal(None, observation(shift=0.05))
        return made
    if request.param == "scene3d":  # it has no policy of its own
        return load_model("scene3d", proposer=str(make_checkpoint(folder)))
    return load_model(make_checkpoint(folder, request.param))


def test_it_answers_the_common_interface(model):
    assert isinstance(model, WorldModel) and model.spec.dt == 0.1


def test_chunks_are_of_the_promised_shape_and_in_range(model):
    chunks = model.act(model.observe(observation()), WORDS, 3)
    n, horizon = 3, model.spec.horizon
    assert isinstance(chunks, ActionChunks) and len(chunks) == n
    assert chunks.position.shape == (n, horizon, 3)
    np.testing.assert_allclose(np.linalg.norm(chunks.quaternion, axis=-1), 1, atol=1e-5)
    assert (chunks.gripper >= 0).all() and (chunks.gripper <= 0.08 + 1e-6).all()
    for values in (chunks.success, chunks.progress, chunks.uncertainty):
        assert values.shape == (n,) and np.isfinite(values).all()


def test_futures_come_at_the_promised_times(model):
    state = model.observe(observation())
    imagined = model.imagine(state, model.act(state, WORDS, 2), WORDS)
    np.testing.assert_allclose(imagined.times,
                               np.array(model.spec.frame_steps) * model.spec.dt)
    assert imagined.latents.shape[:2] == (2, len(imagined.times))


def test_what_chunks_lead_to_is_told_without_words(model):
    state = model.observe(observation())
    imagined = model.imagine(state, model.act(state, WORDS, 2), "")
    assert np.isfinite(imagined.latents).all() and imagined.latents.shape[0] == 2
    if model.spec.family in ("video", "twin"):  # no task, no success at it
        assert np.isnan(imagined.success).all() and np.isnan(imagined.progress).all()
        with pytest.raises(UserError, match="is empty"):
            model.act(state, " ")


def test_surprise_is_a_number_at_least_zero(model):
    state = model.observe(observation())
    model.imagine(state, model.act(state, WORDS), WORDS)
    late = float(model.spec.frame_steps[0] * model.spec.dt)
    assert model.surprise(state, observation(stamp=late, shift=0.05)) >= 0.0


def test_an_image_of_the_wrong_size_gets_one_sentence(model):
    wrong = observation()
    wrong.scene_rgb = wrong.scene_rgb[:50]
    with pytest.raises(UserError, match="perception"):
        model.observe(wrong)


def test_colours_and_depths_of_another_kind_are_not_taken_for_black_or_kilometres(model):
    seen = observation()
    with pytest.raises(UserError, match="from 0 to 255"):
        model.observe(replace(seen, scene_rgb=(seen.scene_rgb / 255).astype(np.float32)))
    if model.spec.family != "jepa":  # takes no depth
        with pytest.raises(UserError, match="divide millimetres"):
            model.observe(replace(seen, scene_depth=(1000 * seen.scene_depth).astype(np.uint16)))


def test_chunks_of_another_rate_are_imagined_at_it_or_refused(model):
    state = model.observe(observation())
    faster = replace(model.act(state, WORDS, 1), dt=0.05)
    if model.spec.family == "scene3d":
        times = model.imagine(state, faster, WORDS).times
        np.testing.assert_allclose(times, 0.05 * np.array(model.spec.frame_steps))
        return
    with pytest.raises(UserError, match="0.05 s apart"):
        model.imagine(state, faster, WORDS)


def test_what_surprises_is_checked_as_any_look_is(model):
    if model.spec.family == "twin":
        pytest.skip("it is never surprised")
    state = model.observe(observation())
    model.imagine(state, model.act(state, WORDS), WORDS)
    late = observation(stamp=float(model.spec.frame_steps[0] * model.spec.dt))
    with pytest.raises(UserError, match="perception"):
        model.surprise(state, replace(late, scene_rgb=late.scene_rgb[:64, :64]))


@pytest.mark.parametrize("family", ["video", "jepa"])
def test_a_device_that_is_not_there_gets_one_sentence(tmp_path, family):
    folder = make_jepa(tmp_path) if family == "jepa" else make_checkpoint(tmp_path)
    for device in ("cuda:99", "quantum"):
        with pytest.raises(UserError, match="choose cpu"):
            load_model(folder, device=device)
