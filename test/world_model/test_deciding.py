# SPDX-License-Identifier: Apache-2.0
"""Which candidate is followed, and how many there are."""
from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from tiny_checkpoint import make_checkpoint, observation

from wm_ros.world_model import ActionChunks, Imagination, ModelSpec, State, load_model
from wm_ros.world_model.deciding import Anytime, Decider, rank

WORDS = "put the mug on the tray"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Scripted:
    """Candidate i has success ``success[i]``; takes 10 ms and 5 ms a candidate, twice if
    ``busy``."""

    def __init__(self, success: list[float], doubt: list[float] | None = None):
        self.spec, self.clock, self.busy = ModelSpec(), Clock(), False
        self.success, self.rendered = np.array(success), []
        if doubt is not None:
            self.doubt = lambda *_: np.array(doubt)

    def _spend(self, seconds: float) -> None:
        self.clock.now += seconds * (2 if self.busy else 1)

    def observe(self, o, state=None):
        self._spend(0.010)
        return State(o)

    def act(self, state, instruction, n=1):
        self._spend(0.001 * n)
        return ActionChunks(np.zeros((n, 16, 3)), np.zeros((n, 16, 4)), np.zeros((n, 16)), 0.1,
                            np.resize(self.success, n), np.zeros(n), np.arange(n, dtype=float))

    def imagine(self, state, chunks, instruction, render=True):
        self._spend(0.004 * len(chunks))
        self.rendered.append(render)
        return Imagination(None, np.zeros(0), np.zeros((len(chunks), 0)), chunks.success,
                           chunks.progress, chunks.uncertainty)

    def surprise(self, state, o):
        return 0.0


def test_one_candidate_without_viewers_is_proposed_without_imagining():
    model = Scripted([0.5])
    assert Decider(model).decide(observation(), WORDS).futures is None and not model.rendered


def test_candidates_are_imagined_but_not_drawn_unless_somebody_looks():
    model = Scripted([0.2, 0.9, 0.5])
    assert Decider(model, 3).decide(observation(), WORDS).order == [1, 2, 0]
    Decider(model, 3).decide(observation(), WORDS, render=True)
    assert model.rendered == [False, True]


def test_an_implausible_future_is_not_followed_however_good_it_looks():
    model = Scripted([0.2, 0.9, 0.5], doubt=[0.3, 1.7, 0.8])
    assert Decider(model, 3).decide(observation(), WORDS).order == [2, 0]
    assert Decider(model, 3, limit=0).decide(observation(), WORDS).order == [1, 2, 0]


def test_values_that_hardly_differ_leave_the_choice_to_the_middle_of_the_candidates():
    chunks = Scripted([0.71, 0.74, 0.70, 0.40]).act(None, WORDS, 4)
    chunks.uncertainty = np.array([0.03, 0.05, 0.01, 0.0])
    assert rank(chunks, None) == [2, 0, 1, 3]


def test_where_all_futures_are_implausible_the_likeliest_is_kept():
    chunks = Scripted([0.2, 0.9, 0.5]).act(None, WORDS, 3)
    assert rank(chunks, None, np.array([1.5, 3.0, 2.0])) == [0]


def test_the_proposers_order_holds_where_the_imagined_value_is_not_known():
    chunks = Scripted([0.2, 0.9, 0.5]).act(None, WORDS, 3)
    unknown = np.full(3, np.nan)
    futures = Imagination(None, np.zeros(0), np.zeros((3, 0)), unknown, unknown, unknown)
    assert rank(chunks, futures) == [1, 2, 0]


def test_anytime_finds_as_many_candidates_as_fit_and_gives_way_on_a_busy_machine():
    model = Scripted([0.5])
    decider = Decider(model, 64, budget=0.100, clock=model.clock)
    for _ in range(20):
        before = model.clock.now
        count = len(decider.decide(observation(), WORDS).chunks)
    assert count in (15, 16), "10 ms + 5 ms each, 90 of 100 ms"
    assert model.clock.now - before < 0.100
    model.busy = True
    for _ in range(20):
        before = model.clock.now
        decider.decide(observation(), WORDS)
    assert model.clock.now - before < 0.100
    assert len(decider.decide(observation(), WORDS, count=2).chunks) == 2, "who asks gets"


def test_a_budget_too_small_for_one_candidate_still_gives_one():
    anytime = Anytime(0.001, 8)
    anytime.learn(1, 0.05)
    assert anytime.count() == 1


@pytest.fixture()
def model(tmp_path):
    folder = make_checkpoint(tmp_path)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["scales"]["doubt"] = 0.01
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return load_model(folder)


def test_the_video_family_doubts_a_future_that_its_chunk_does_not_lead_to(model):
    state = model.observe(observation())
    chunks = model.act(state, WORDS, 2)
    imagined = model.imagine(state, chunks, WORDS, render=False)
    doubt = model.doubt(state, chunks, imagined, WORDS)
    assert doubt.shape == (2,) and (doubt >= 0).all() and np.isfinite(doubt).all()
    assert np.isfinite(model.doubt(state, chunks, imagined, "")).all(), "no task is asked for"
    # the way read off the frames hangs on the frames and is measured in metres
    other = Imagination(None, imagined.times, imagined.latents + 1, *[chunks.success] * 3)
    assert np.abs(model.doubt(state, chunks, other, WORDS) - doubt).max() > 1e-4
    chunks.position[0] += 1.0
    assert model.doubt(state, chunks, imagined, WORDS)[0] == pytest.approx(
        3**0.5 / 0.01, rel=0.2)


def test_a_checkpoint_without_a_limit_and_the_twin_doubt_nothing(tmp_path):
    for family in ("video", "twin"):
        model = load_model(make_checkpoint(tmp_path / family, family))
        state = model.observe(observation())
        chunks = model.act(state, WORDS, 2)
        with torch.inference_mode():
            imagined = model.imagine(state, chunks, WORDS, render=False)
        assert not model.doubt(state, chunks, imagined, WORDS).any()
