# SPDX-License-Identifier: Apache-2.0
"""The jepa family from a data set to a checkpoint that loads, stops and goes on."""
from __future__ import annotations

import argparse
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training import episode

from wm_ros.data.cache import META, build_cache
from wm_ros.data.lerobot import DatasetWriter
from wm_ros.errors import UserError
from wm_ros.training import ahead, jepa, parallel, train
from wm_ros.training.beginning import WEIGHTS
from wm_ros.training.config import find
from wm_ros.training.jepa_batches import SequenceSampler
from wm_ros.training.samples import samples
from wm_ros.training.state import HELD_BACK, RUN
from wm_ros.world_model import load_model
from wm_ros.world_model.checkpoint import read_config, read_tensors


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "set"
    writer = DatasetWriter(folder)
    for task in ("put_mug_on_tray", "open_drawer"):
        for seed in range(4):
            writer.commit(episode(task, seed))
    with writer.lock():
        writer.merge()
    return folder


@pytest.fixture(scope="module")
def cache(data: Path, tmp_path_factory: pytest.TempPathFactory):
    return build_cache(data, tmp_path_factory.mktemp("cache") / "c")


def arguments(data: Path, out: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args(["--data", str(data), "--out", str(out), "--device", "cpu",
                              "--processes", "1", "--config", "jepa_tiny", *more])


def test_a_run_that_was_stopped_goes_on_and_ships_a_checkpoint(data, tmp_path):
    assert train.run(arguments(data, tmp_path, "--steps", "3")) == 0
    assert int(read_tensors(tmp_path / "state.safetensors")["step"]) == 3
    assert train.run(arguments(data, tmp_path, "--steps", "6")) == 0
    steps = [line.split(",")[1] for line in (tmp_path / "log.csv").read_text().splitlines()]
    assert steps == ["step", "3", "6"], "it grows"
    assert int(read_tensors(tmp_path / "state.safetensors")["step"]) == 6
    model = load_model(tmp_path)
    assert model.spec.family == "jepa" and len(model.tasks) == 2
    assert model.calibration.limit > 0
    assert not list(tmp_path.glob("*.part*"))


def test_a_batch_is_as_large_however_many_processes_share_it(data, tmp_path, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(parallel, "launch", lambda work, processes, *_: asked.append(processes))
    train.run(arguments(data, tmp_path, "--config", "jepa_small", "--processes", "0"))
    assert asked == [4], "no more than have enough of 24 sequences"


def test_latents_are_kept_apart_as_strongly_however_many_processes_share_a_batch(cache,
                                                                                 monkeypatch):
    network, settings = jepa.load("jepa_tiny")
    model = jepa.Jepa(network)
    sampler = SequenceSampler(cache, np.arange(len(cache)), network, settings.length, 0, 0.0)
    half = sampler.draw(4)
    pull = []
    for size, rows in ((1, np.tile(half, 2)), (2, half)):
        monkeypatch.setattr(parallel, "size", lambda size=size: size)
        torch.manual_seed(0)
        pull.append(float(jepa.losses(model, sampler.batch(rows), settings)["sigreg"].detach()))
    assert pull[1] == pytest.approx(pull[0], rel=1e-3)


def test_a_process_draws_its_share_of_a_batch(data, tmp_path, monkeypatch):
    drawn: list[int] = []
    draw = SequenceSampler.draw
    monkeypatch.setattr(parallel, "share", lambda batch: batch // 2)
    monkeypatch.setattr(SequenceSampler, "draw",
                        lambda self, n: (drawn.append(n), draw(self, n))[1])
    assert train.run(arguments(data, tmp_path, "--steps", "2")) == 0
    assert drawn == [2, 2] and samples(read_config(tmp_path)) == 2 * 2 * 3


def test_a_run_whose_time_is_over_ships_nothing_yet(data, tmp_path, capsys):
    assert train.run(arguments(data, tmp_path, "--steps", "30", "--minutes", "0")) == 0
    assert "the same command goes on" in capsys.readouterr().out
    assert int(read_tensors(tmp_path / "state.safetensors")["step"]) == 10
    assert not (tmp_path / "config.yaml").exists() and not (tmp_path / WEIGHTS).exists()


def test_batches_made_ahead_lead_to_the_same_weights(cache, tmp_path, monkeypatch):
    network, settings = jepa.load("jepa_tiny", steps=3)

    def train_on(out: Path) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model, cpu = jepa.Jepa(network), torch.device("cpu")
        assert jepa.optimise(model, sampler(cache), settings, out, cpu, math.inf) == 3
        return model.state_dict()

    straight = train_on(tmp_path / "a")
    monkeypatch.setattr(ahead, "batches", lambda make, count, _: ahead.in_thread(make, count))
    threaded = train_on(tmp_path / "b")
    assert all(torch.equal(straight[k], threaded[k]) for k in straight)


def test_a_folder_goes_on_with_its_own_tasks_seed_and_held_out_episodes(data, tmp_path,
                                                                        monkeypatch):
    monkeypatch.setattr(parallel, "launch", lambda *_: None)
    out, tasks = tmp_path / "out", "open_drawer,put_mug_on_tray"
    train.run(arguments(data, out, "--tasks", tasks))
    train.run(arguments(data, out, "--tasks", "put_mug_on_tray,open_drawer"))
    with pytest.raises(UserError, match="another choice of tasks"):
        train.run(arguments(data, out, "--tasks", "open_drawer"))
    with pytest.raises(UserError, match="another seed"):
        train.run(arguments(data, out, "--tasks", tasks, "--seed", "1"))
    other = tmp_path / "other.yaml"
    other.write_text(find("jepa_tiny").read_text().replace("share: 0.3", "share: 0.4"))
    with pytest.raises(UserError, match="another validation_share"):
        train.run(arguments(data, out, "--tasks", tasks, "--config", str(other)))
    # a run of an older version had not noted them
    noted = json.loads((out / RUN).read_text())
    (out / RUN).write_text(json.dumps({k: noted[k] for k in ("family", "network", "init",
                                                             "data", HELD_BACK)}))
    train.run(arguments(data, out, "--config", str(other), "--seed", "1"))


def test_a_run_starts_from_another_checkpoint(data, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train.run(arguments(data, first, "--steps", "2"))
    again = ["--init", str(first), "--steps"]
    train.run(arguments(data, second, *again, "1"))
    before, after = (read_tensors(path / "model.safetensors") for path in (first, second))
    moved = [float((after[k] - before[k]).abs().max()) for k in before
             if not k.startswith("whiten") and k.endswith("weight")]
    assert 0 < max(moved) < 0.02  # one step away from where it began
    seen = [samples(read_config(path)) for path in (first, second)]
    assert seen == [4 * 3 * 2, 4 * 3 * (2 + 1)], "with those of its start"
    shutil.rmtree(first)  # a resumed run keeps what it began with
    train.run(arguments(data, second, *again, "2"))
    assert int(read_tensors(second / "state.safetensors")["step"]) == 2
    with pytest.raises(UserError, match="another init"):
        train.run(arguments(data, second, "--steps", "3"))


def test_a_cache_of_an_older_version_is_built_anew(data, tmp_path):
    build_cache([data], tmp_path, depth=True)
    assert jepa.fits(tmp_path, [data])
    meta = json.loads((tmp_path / META).read_text())
    (tmp_path / META).write_text(json.dumps(meta | {"version": 1}))
    assert not jepa.fits(tmp_path, [data])


def test_the_family_alone_finds_its_configuration():
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    args = parser.parse_args(["--data", "d", "--out", "o", "--family", "jepa"])
    assert jepa.config_name(args) == "jepa_small"
    args = parser.parse_args(["--data", "d", "--out", "o"])
    assert jepa.config_name(args) is None, "the video family stays the default"


def sampler(cache, **more) -> SequenceSampler:
    network, _ = jepa.load("jepa_tiny")
    return SequenceSampler(cache, np.arange(len(cache)), network, 3, 0, **more)


def test_actions_belong_to_the_frames_that_they_lie_between(cache):
    s = sampler(cache, recolour=0.0)
    first = int(cache.arrays["episode_start"][0])
    rows = np.array([first])
    found = {tuple(np.round(s.actions(rows)[0, 0].numpy(), 4)) for _ in range(20)}
    state, told = cache.state, cache.executed
    for seen in (False, True):  # commanded, or read off the hand
        position = (state[first + 1:first + 6, 8:11] if seen else told[first:first + 5, :3])
        offset = (position - state[first, 8:11]) / (0.022 * np.arange(1, 6)[:, None])
        width = (state[first + 1:first + 6, 7] if seen else told[first:first + 5, 7]) / 0.04 - 1
        wanted = np.concatenate([offset, np.zeros((5, 1)), width[:, None]], 1).ravel()
        assert any(np.allclose(wanted, f, atol=1e-3) for f in found)


def test_what_lies_beyond_the_end_of_an_episode_does_not_count(cache):
    s = sampler(cache)
    last = int(cache.arrays["episode_start"][1]) - 1
    batch = s.batch(np.array([last - 5, last]))
    assert batch.valid.tolist() == [[1, 0], [0, 0]]


def test_a_batch_shows_many_episodes_and_recolours_every_frame_anew(cache):
    s = sampler(cache)
    assert len(set(cache.episode_index[s.draw(8)])) == 8
    batch = s.batch(s.draw(2))
    assert batch.scene.shape == (6, 3, 96, 96) and batch.wrist.shape == (6, 3, 48, 48)
    same = torch.from_numpy(cache.scene[[0, 0]]).permute(0, 3, 1, 2) / 127.5 - 1
    a, b = s._recolour(same)
    assert (a - b).abs().mean() > 0.02


def test_mistyped_settings_get_one_sentence(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("family: jepa\nnetwork: {}\ntraining: {stpes: 3}\n")
    with pytest.raises(UserError, match="stpes"):
        jepa.load(str(bad))
    with pytest.raises(UserError, match="at least 1"):
        jepa.load("jepa_tiny", steps=0)
