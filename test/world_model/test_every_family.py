# SPDX-License-Identifier: Apache-2.0
"""What a caller may rely on, whichever family answers."""
from __future__ import annotations

import sys
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
