# SPDX-License-Identifier: Apache-2.0
"""Episodes of which only images are known: what the hand did there is read off them."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from wm_ros.data.cache import EpisodeCache
from wm_ros.training import reading
from wm_ros.training.batches import Looks
from wm_ros.training.reader import Reader, losses, read, room
from wm_ros.world_model.video.inputs import Inputs

LENGTHS = (6, 4, 5)


@pytest.fixture
def cache() -> EpisodeCache:
    random, n = np.random.default_rng(0), sum(LENGTHS)
    index = np.repeat(np.arange(3), LENGTHS)
    rows = {name: random.normal(size=(n, d)).astype(np.float32) for name, d in
            (("state", 15), ("action", 8), ("executed", 8), ("wrench", 6))}
    rows["state"][:, 11:] = Rotation.random(n, random_state=0).as_quat()
    start = np.cumsum([0, *LENGTHS])
    return EpisodeCache(Path(), ["task"], ["words"], 10, "", rows | {
        "progress": random.random(n).astype(np.float32),
        "scene": random.integers(0, 255, (n, 32, 32, 3), np.uint8),
        "episode_index": index, "frame_index": np.arange(n) - start[index],
        "episode_start": start, "episode_task": np.zeros(3, int),
        "episode_instruction": np.zeros(3, int), "episode_success": np.ones(3, bool),
        "episode_failure": np.zeros(3, bool)})


HIDDEN = np.array([False, True, False])


def test_nothing_but_images_is_left_of_what_is_hidden(cache: EpisodeCache):
    blank, rows = reading.blanked(cache, HIDDEN), slice(6, 10)
    for name in ("state", "action", "executed", "wrench", "progress"):
        there = np.delete(np.arange(15), rows)
        assert (blank.arrays[name][there] == cache.arrays[name][there]).all()
        assert (blank.arrays[name][rows] == blank.arrays[name][6]).all(), name
    assert (blank.state[6] == np.eye(15)[14]).all() and (blank.action[6] == np.eye(8)[6]).all()
    assert blank.scene is cache.scene and cache.state[6].any()


def test_an_action_is_where_the_hand_is_one_row_later(cache: EpisodeCache):
    hands = np.random.default_rng(1).normal(size=(4, 9)).astype(np.float32)
    hands[:, 8] = [0.08, 0.08, 0.0, 0.0]
    full = reading.filled(reading.blanked(cache, HIDDEN), HIDDEN, hands)
    assert (full.state[6:10, 8:15] == hands[:, :7]).all()
    assert (full.state[6:10, 7] == hands[:, 7]).all() and not full.state[6:10, :7].any()
    assert (full.action[6:9, :7] == hands[1:, :7]).all()
    assert (full.action[9, :7] == hands[3, :7]).all(), "the last one rests"
    assert (full.action[6:10] == full.executed[6:10]).all()
    assert (full.action[:6] == cache.action[:6]).all() and (full.state[10:]
                                                            == cache.state[10:]).all()
    assert not full.progress[6:10].any(), "how far it came stays unknown"


def test_fingers_are_told_something_now_and_then():
    random = np.random.default_rng(0)
    true = np.repeat([0.08, 0.0, 0.05], [12, 15, 9])
    noisy = true + random.normal(0, 0.004, len(true))
    noisy[5] = 0.01  # one picture is misread
    noisy[12] = 0.045  # on the way
    told = reading.steady(noisy)
    assert np.abs(told - true).max() < 0.008
    assert np.flatnonzero(np.diff(told)).tolist() == [11, 26]


def test_the_reader_looks_at_nothing_but_the_images(looks: Looks):
    torch.manual_seed(0)
    reader = Reader(8, 32)
    torch.nn.init.normal_(reader.end.weight, std=0.1)
    inputs = looks.inputs
    moved = torch.randn(6, 3)  # another tool was said to be there
    other = inputs._replace(
        proprio=torch.cat([inputs.proprio[:, :3] + moved / 0.25,
                           torch.randn_like(inputs.proprio[:, 3:])], 1),
        points=inputs.points - moved[:, None, None])
    torch.testing.assert_close(room(other), room(inputs), atol=1e-4, rtol=0)
    for one, two in zip(read(reader, inputs), read(reader, other), strict=True):
        torch.testing.assert_close(one, two, atol=1e-3, rtol=0)
    bright = inputs._replace(wrist=inputs.wrist + 1)
    assert (read(reader, bright).fingers - read(reader, inputs).fingers).abs().max() > 1e-3


def test_the_reader_learns_where_a_hand_is():
    """A dot in an empty picture, 30 mm above what lies there; its brightness tells the fingers."""
    torch.manual_seed(0)
    u = torch.linspace(-0.3, 0.3, 32)
    plane = torch.stack([*torch.meshgrid(u, u, indexing="ij"), torch.zeros(32, 32)], -1)

    def some(n: int) -> tuple[Inputs, torch.Tensor, torch.Tensor]:
        at = torch.randint(4, 28, (n, 2))
        image, fingers = torch.zeros(n, 3, 32, 32), torch.rand(n) * 2 - 1
        for i, (v, w) in enumerate(at.tolist()):
            image[i, :, v - 1:v + 2, w - 1:w + 2] = 1.5 + fingers[i]
        place = (plane[at[:, 0], at[:, 1]] + torch.tensor([0, 0, 0.03])) / 0.25
        turn = torch.tensor([1.0, 0, 0, -1, 0, 0]).expand(n, 6)
        proprio = torch.cat([place, turn, fingers[:, None], torch.zeros(n, 9)], 1)
        points = plane - (0.25 * place)[:, None, None]
        return Inputs(image, points, image, proprio), -fingers, torch.ones(n)

    reader = Reader(8, 32)
    optimizer = torch.optim.AdamW(reader.parameters(), 3e-3)
    for _ in range(250):
        made = some(32)
        losses(read(reader, made[0]), *made).total().backward()
        optimizer.step()
        optimizer.zero_grad()
    inputs, told, known = some(64)
    with torch.no_grad():
        hand = read(reader, inputs)
    assert 250 * (hand.place - inputs.proprio[:, :3]).norm(dim=1).median() < 20  # mm
    assert (hand.fingers[:, 1] - told).abs().median() < 0.2
    unknown = losses(hand, inputs, told + 5, 0 * known).fingers
    assert unknown < losses(hand, inputs, told + 5, known).fingers


def test_what_is_read_hangs_on_no_truth_that_is_hidden(cache: EpisodeCache, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch):
    """The same comes out of episodes whose hidden part is rubbish."""
    seen = []

    def train(reader, sampler, *_):
        seen.append(sampler)
        return True

    def hands(reader, sampler, rows, report=lambda done: None):
        told = np.stack([sampler.cache.state[:, 7]] * 9, 1)[rows]
        told[:, 3:7] = [0, 0, 0, 1]
        return told + rows[:, None]

    monkeypatch.setattr(reading, "train", train)
    monkeypatch.setattr(reading, "hands", hands)
    settings: Any = None
    out = []
    for name in ("true", "rubbish"):
        rows = HIDDEN[cache.episode_index]
        arrays = dict(cache.arrays)
        if name == "rubbish":
            for hid in ("state", "action", "executed", "wrench", "progress"):
                arrays[hid] = np.where(rows.reshape(-1, *[1] * (arrays[hid].ndim - 1)), 9.0,
                                       arrays[hid]).astype(np.float32)
        some = replace(cache, arrays=arrays)
        (tmp_path / name).mkdir()
        sampler: Any = SimpleNamespace(cache=reading.blanked(some, HIDDEN),
                                       config=SimpleNamespace(locator=8, image_size=32))
        full = reading.read_off(sampler, HIDDEN, np.arange(10, 15), settings, tmp_path / name,
                                torch.device("cpu"), 0.0)
        assert full is not None and (tmp_path / name / "reader.json").exists()
        out.append(full)
    for hid in ("state", "action", "executed", "wrench", "progress"):
        assert (out[0].arrays[hid] == out[1].arrays[hid]).all(), hid
    assert out[0].state[6:10, 7].tolist() == [6, 7, 8, 9]
