# SPDX-License-Identifier: Apache-2.0
"""Families that work together."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny_checkpoint import make_checkpoint, observation
from tiny_jepa import make_jepa

from wm_ros.errors import UserError
from wm_ros.robot import load_robot
from wm_ros.world_model import Imagination, ModelSpec, State, WorldModel, load_model, loading

WORDS = "put the mug on the tray"


class Expert:
    """Judges and geometry for tests: its verdict is a function of where a chunk ends; ``tight``
    leaves three quarters of everything possible."""

    made: list[Expert] = []

    def __init__(self, folder: Path, device: str = "cpu"):
        self.kind, self.asked, self.surprised = folder.name, [], 0
        self.spec = ModelSpec(family="expert", image_size=64 if folder.name == "small" else 96,
                              dt=0.05 if folder.name == "fast" else 0.1)
        Expert.made.append(self)

    def forget(self):
        self.asked.append("forgot")

    def observe(self, o, state=None):
        return State(o, {"looks": 1 + (state.memory["looks"] if state else 0)})

    def act(self, state, instruction, n=1):
        raise UserError("An expert has no policy.")

    def imagine(self, state, chunks, instruction, render=True):
        self.asked.append(chunks)
        y = chunks.position[:, -1, 1]
        own = np.nan_to_num(chunks.success, nan=1.0)
        good = {"judge": -y, "geometry": own * (y > np.median(y)),
                "tight": 0.75 * own}.get(self.kind, own)
        return Imagination(None, np.array([0.8]), np.zeros((len(chunks), 1)), good,
                           np.full(len(chunks), 0.4), chunks.uncertainty)

    def surprise(self, state, o):
        return 7.0


class Embodied(Expert):
    """An expert that knows the robot's body."""

    def __init__(self, folder: Path, device: str = "cpu", robot: object = None):
        super().__init__(folder, device)
        self.robot = robot


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    """A checkpoint ``video`` and the experts beside the ensemble."""
    monkeypatch.setitem(loading.FAMILIES, "expert", f"{__name__}:Expert")
    Expert.made = []
    make_checkpoint(tmp_path / "video")
    for name in ("judge", "geometry", "small", "tight", "fast"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("{format: 1, family: expert, network: {}}")
    (tmp_path / "together").mkdir()
    return tmp_path / "together"


def build(folder: Path, **roles: object):
    (folder / "config.yaml").write_text(yaml.safe_dump(
        {"format": 1, "family": "ensemble", "network": {}, "propose": "video", **roles}))
    return load_model(folder)


def test_an_ensemble_loads_and_answers_like_any_model(folder):
    model = build(folder, judge="judge", geometry="geometry", candidates=6)
    assert isinstance(model, WorldModel) and model.spec.family == "ensemble"
    assert list(model.members) == ["judge", "video", "geometry"]
    state = model.observe(observation())
    chunks = model.act(state, WORDS, 2)
    imagined = model.imagine(state, chunks, WORDS)
    assert len(chunks) == 2
    np.testing.assert_array_equal(imagined.success, chunks.success)


def test_it_finds_as_the_proposer_and_doubts_as_the_one_that_shows(folder):
    model = build(folder, judge="judge", candidates=3)
    state = model.observe(observation())
    chunks = model.act(state, WORDS, 3)
    imagined = model.imagine(state, chunks, WORDS)
    assert not model.doubt(state, chunks, imagined, WORDS).any()  # the judge never doubts
    alone = load_model(folder.parent / "video")
    for mine, its in zip(model.locate(state, WORDS),
                         alone.locate(alone.observe(observation()), WORDS), strict=True):
        np.testing.assert_array_equal(mine, its)
    shown = build(folder, judge="judge", show="video", candidates=3)
    state = shown.observe(observation())
    chunks = shown.act(state, WORDS, 3)
    assert shown.doubt(state, chunks, shown.imagine(state, chunks, WORDS), WORDS).shape == (3,)


def test_the_judge_chooses_among_what_is_proposed(folder):
    model = build(folder, judge="judge", candidates=6)
    best = model.act(model.observe(observation()), WORDS, 1)
    (proposed,) = Expert.made[0].asked
    assert len(proposed) == 6
    assert best.position[0, -1, 1] == proposed.position[:, -1, 1].min()


def test_what_geometry_forbids_is_not_chosen_though_the_judge_likes_it(folder):
    model = build(folder, judge="judge", geometry="geometry", candidates=6)
    best = model.act(model.observe(observation()), WORDS, 1)
    y = np.sort(Expert.made[0].asked[0].position[:, -1, 1])
    assert best.position[0, -1, 1] == y[3], "the judge's best of the upper half"
    assert best.success[0] == pytest.approx(-y[3]), "the judge's word, not the proposer's"


def test_what_geometry_forbids_is_handed_to_nobody_where_anything_is_possible(folder):
    model = build(folder, judge="judge", geometry="geometry", candidates=6)
    chunks = model.act(model.observe(observation()), WORDS, 6)
    y = np.sort(Expert.made[0].asked[0].position[:, -1, 1])
    assert sorted(chunks.position[:, -1, 1]) == list(y[3:])


def test_progress_is_less_where_geometry_leaves_less_possible(folder):
    model = build(folder, judge="judge", geometry="tight", candidates=3)
    chunks = model.act(model.observe(observation()), WORDS, 3)
    np.testing.assert_allclose(chunks.progress, 0.75 * 0.4)


def test_a_single_candidate_is_judged_too(folder):
    model = build(folder, judge="judge", candidates=1)
    chunks = model.act(model.observe(observation()), WORDS, 1)
    assert chunks.success == pytest.approx(-chunks.position[:, -1, 1])


def test_a_callers_chunks_are_judged_and_checked_for_furniture(folder):
    model = build(folder, judge="judge", geometry="geometry", show="video", candidates=4)
    state = model.observe(observation())
    chunks = load_model(folder.parent / "video").act(state.memory["members"]["video"], WORDS, 4)
    unknown = np.full(4, np.nan)
    imagined = model.imagine(state, replace(chunks, success=unknown, progress=unknown), WORDS)
    y = chunks.position[:, -1, 1]
    np.testing.assert_allclose(imagined.success, -y * (y > np.median(y)))


def test_chunks_that_were_only_judged_do_not_surprise(folder):
    make_checkpoint(folder.parent / "second")
    model = build(folder, judge="second", candidates=3)
    state, later = model.observe(observation()), observation(3, stamp=0.8)
    chunks = model.act(state, WORDS, 1)
    assert model.surprise(state, later) == 0.0, "nothing was imagined for anybody"
    model.imagine(state, chunks, WORDS)
    foretold = model.surprise(state, later)
    follower = model.observe(observation(1, stamp=0.4), state)
    model.act(follower, WORDS, 1)
    assert model.surprise(follower, later) == foretold > 0, "the future on its way is kept"


def test_every_member_keeps_its_own_memory_and_one_is_surprised(folder):
    model = build(folder, watch="geometry")
    state = model.observe(observation())
    again = model.observe(observation(1), state)
    assert again.memory["members"]["geometry"].memory["looks"] == 2
    assert model.surprise(again, observation()) == 7.0


def test_a_new_room_is_new_to_every_member(folder):
    build(folder, judge="judge", geometry="geometry").forget()
    assert [e.asked for e in Expert.made] == [["forgot"], ["forgot"]]


def test_members_that_know_the_robots_body_get_the_one_that_runs(folder, monkeypatch):
    monkeypatch.setitem(loading.FAMILIES, "expert", f"{__name__}:Embodied")
    build(folder, geometry="geometry")
    assert Expert.made[-1].robot is None
    running = load_robot("ur5")
    load_model(folder, robot=running)
    assert Expert.made[-1].robot is running


def test_a_proposer_alone_is_the_model_itself(folder):
    model = build(folder, candidates=1)
    state = model.observe(observation())
    alone = load_model(folder.parent / "video")
    np.testing.assert_array_equal(model.act(state, WORDS).position,
                                  alone.act(alone.observe(observation()), WORDS).position)


@pytest.mark.parametrize(("roles", "sentence"), [
    ({"propose": None}, "without a model that proposes"),
    ({"judge": "nobody"}, "no checkpoint"), ({"judge": "together"}, "an ensemble itself"),
    ({"judge": "small"}, "cannot work together"), ({"judge": "fast"}, "at 0.05 s"),
    ({"candidates": 0}, "at least 1")])
def test_an_ensemble_that_cannot_work_gets_one_sentence(folder, roles, sentence):
    with pytest.raises(UserError, match=sentence):
        build(folder, **roles)


def test_a_judge_of_other_lengths_than_what_is_proposed_is_refused_at_load(folder):
    make_jepa(folder.parent / "latent")
    with pytest.raises(UserError, match="16 actions .* gives 96 px and 25"):
        build(folder, propose="latent", judge="video")


def test_a_judge_without_a_goal_leaves_the_opinion_to_who_proposes(folder):
    make_jepa(folder.parent / "latent")
    (folder / "config.yaml").write_text("{format: 1, family: ensemble, network: {}, "
                                        "propose: video, judge: latent, candidates: 4}")
    together, alone = load_model(folder), load_model(folder.parent / "video")
    chunks = together.act(together.observe(observation()), WORDS, 4)
    own = alone.act(alone.observe(observation()), WORDS, 4)
    np.testing.assert_allclose(np.sort(chunks.success), np.sort(own.success), atol=1e-5)
    state = together.observe(observation())
    together.imagine(state, chunks, WORDS)
    assert together.surprise(state, observation(3, stamp=0.8)) > 0, "a frame of video is 0.8 s on"
