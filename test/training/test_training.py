# SPDX-License-Identifier: Apache-2.0
"""Training from a data set to a checkpoint that loads, stops and goes on."""
from __future__ import annotations

import argparse
import csv
import dataclasses
import errno
import json
import math
import os
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))

from synthetic import synthetic_episode  # noqa: E402

from wm_ros.data.cache import build_cache, load_cache  # noqa: E402
from wm_ros.data.lerobot import DatasetWriter  # noqa: E402
from wm_ros.errors import UserError  # noqa: E402
from wm_ros.files import alone  # noqa: E402
from wm_ros.paths import config  # noqa: E402
from wm_ros.training import locating, losses, parallel, sides, train, variety  # noqa: E402
from wm_ros.training.batches import Sampler, disturbed, key_rows, next_switch  # noqa: E402
from wm_ros.training.config import load  # noqa: E402
from wm_ros.training.samples import samples  # noqa: E402
from wm_ros.training.sides import RULE, of_tasks, split  # noqa: E402
from wm_ros.training.state import HELD_BACK, check_run, note_run  # noqa: E402
from wm_ros.world_model import load_model  # noqa: E402
from wm_ros.world_model.checkpoint import read_config, read_tensors, save_tensors  # noqa: E402
from wm_ros.world_model.geometry import quaternion_to_matrix  # noqa: E402
from wm_ros.world_model.jepa.config import JepaConfig  # noqa: E402
from wm_ros.world_model.video import flow  # noqa: E402
from wm_ros.world_model.video.config import VideoConfig  # noqa: E402
from wm_ros.world_model.video.network import Prediction, VideoNetwork  # noqa: E402
from wm_ros.world_model.video.way import POINTS  # noqa: E402


def episode(task: str, seed: int):
    """Smooth paths, a gripper that closes at row 6, a disturbance in episodes of odd seeds."""
    e = synthetic_episode(task, seed, rows=14)
    t = np.linspace(0, 1, 14)[:, None]
    pose = np.concatenate([0.4 + 0.2 * t, 0.1 * t, 0.3 - 0.2 * t], 1)
    down = np.tile([1.0, 0, 0, 0], (14, 1))
    width = np.where(np.arange(14)[:, None] < 6, 0.08, 0.0)
    e.action[:] = np.concatenate([pose, down, width], 1)
    e.executed[:] = e.action
    if seed % 2:
        e.executed[4, 0] += 0.03
    e.state[:, 7:8], e.state[:, 8:11], e.state[:, 11:15] = width, pose, down
    e.camera[:] = np.concatenate([[80, 0, 48, 0, 80, 48, 0, 0, 1, 1.2, 0, 0.8],
                                  [-0.6, 0.6, 0.4, -0.4]])
    return e


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
    return build_cache(data, tmp_path_factory.mktemp("cache") / "c", depth=True)


def arguments(data: Path, out: Path, **more) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    args = parser.parse_args(["--data", str(data), "--out", str(out), "--config", "video_tiny",
                              "--device", "cpu"])
    for key, value in more.items():
        setattr(args, key, value)
    return args


def test_a_run_that_was_stopped_goes_on_and_ships_a_checkpoint(data, tmp_path):
    assert train.run(arguments(data, tmp_path, processes=1, steps=6)) == 0
    assert int(read_tensors(tmp_path / "state.safetensors")["step"]) == 6
    first = (tmp_path / "log.csv").read_text()
    # what is calibrated stays until the network learns on
    card = read_config(tmp_path)
    card["scales"]["success"] = [0.5, 0.1]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(card))
    assert train.run(arguments(data, tmp_path, processes=1, steps=6)) == 0
    assert read_config(tmp_path)["scales"] == card["scales"]
    assert train.run(arguments(data, tmp_path, processes=1, steps=9)) == 0
    assert "success" not in read_config(tmp_path)["scales"]
    assert int(read_tensors(tmp_path / "state.safetensors")["step"]) == 9
    log = (tmp_path / "log.csv").read_text()
    assert log.startswith(first) and len(log) > len(first), "it grows and is never written anew"
    rows = list(csv.DictReader(log.splitlines()))
    assert [int(r["step"]) for r in rows if r["stage"] == "train"] == [6, 9]
    assert {"tokeniser", "locator", "foresight", "renderer"} < {r["stage"] for r in rows}
    assert all(float(r["action"]) > 0 for r in rows if r["stage"] == "train")
    model = load_model(tmp_path)
    assert set(model.tasks) == {"put_mug_on_tray", "open_drawer"}
    assert not list(tmp_path.glob("*.part*"))
    # where its time is over before the last step, nothing is drawn that would be drawn anew
    drawn = (tmp_path / "renderer.safetensors").read_bytes()
    assert train.run(arguments(data, tmp_path, processes=1, steps=30, minutes=0)) == 0
    assert int(read_tensors(tmp_path / "state.safetensors")["step"]) == 10
    assert (tmp_path / "renderer.safetensors").read_bytes() == drawn
    assert read_config(tmp_path)["training"]["step"] == 9


def test_a_run_starts_from_another_checkpoint_and_keeps_the_meaning_of_its_actions(data, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train.run(arguments(data, first, processes=1, steps=3))
    before = read_tensors(first / "model.safetensors")
    scales = load_model(first).codec
    drawing = dict(read_tensors(first / "renderer.safetensors"))
    drawing["paint.4.bias"] = drawing["paint.4.bias"] + 5
    save_tensors(drawing, first / "renderer.safetensors")
    train.run(arguments(data, second, processes=1, steps=1, init=str(first), tasks="open_drawer"))
    model = load_model(second)
    assert torch.allclose(model.codec.position_scale, scales.position_scale)
    assert read_tensors(second / "tokeniser.safetensors").keys()
    after = read_tensors(second / "model.safetensors")
    far = max(float((after[k].float() - before[k].float()).abs().max()) for k in before)
    assert 0 < far < 0.02  # one step away from where it began
    drawing = read_tensors(second / "renderer.safetensors")
    assert drawing["paint.4.bias"].min() > 4, "what draws goes on, too"
    assert samples(read_config(first)) == 8 * (3 + 3)
    assert samples(read_config(second)) == 8 * (3 + 3) + 8 * (1 + 3), "with those of its start"
    # going on does not begin anew
    train.run(arguments(data, second, processes=1, steps=2, init=str(first), tasks="open_drawer"))
    assert int(read_tensors(second / "state.safetensors")["step"]) == 2


def test_frozen_parts_stay_as_they_were(data, tmp_path):
    tiny = yaml.safe_load(config("models", "video_tiny.yaml").read_text())
    tiny["training"] |= {"frozen": ["encoder.scene"], "locator_steps": 1}
    file = tmp_path / "frozen.yaml"
    file.write_text(yaml.safe_dump(tiny))
    train.run(arguments(data, tmp_path / "a", processes=1, steps=1))
    train.run(arguments(data, tmp_path / "b", processes=1, steps=2, config=str(file),
                        init=str(tmp_path / "a")))
    before, after = (read_tensors(tmp_path / x / "model.safetensors") for x in "ab")
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert moved and not [k for k in moved if k.startswith("encoder.scene.")]
    tiny["training"]["frozen"] = ["encoder.sceen"]
    file.write_text(yaml.safe_dump(tiny))
    with pytest.raises(UserError, match="sceen"):
        train.run(arguments(data, tmp_path / "c", processes=1, steps=1, config=str(file)))


def test_a_share_of_the_weights_it_begins_from_is_kept(data, tmp_path):
    tiny = yaml.safe_load(config("models", "video_tiny.yaml").read_text())
    tiny["training"] |= {"learning_rate": 0.1, "locator_rate": 0.1, "warmup": 0}
    train.run(arguments(data, tmp_path / "a", processes=1, steps=1))
    for name, kept in (("b", 0.0), ("c", 0.75)):
        tiny["training"]["kept"] = kept
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(tiny))
        train.run(arguments(data, tmp_path / name, processes=1, steps=2, config=str(file),
                            init=str(tmp_path / "a")))
    a, b, c = (read_tensors(tmp_path / x / "model.safetensors") for x in "abc")
    assert max(float((a[k] - b[k]).abs().max()) for k in a) > 0.1
    for k in a:
        assert torch.allclose(c[k].float(), 0.75 * a[k].float() + 0.25 * b[k].float(), atol=0.02)
    with pytest.raises(UserError, match="--init"):
        train.run(arguments(data, tmp_path / "d", processes=1, steps=2, config=str(file)))


def test_what_being_done_looks_like_is_learnt_without_touching_anything_else(data, tmp_path):
    """As benchmarks/few_data/done_cores.yaml does: all is held still but one head."""
    done = yaml.safe_load((Path(__file__).parents[2]
                              / "benchmarks/few_data/done_cores.yaml").read_text())["training"]
    tiny = yaml.safe_load(config("models", "video_tiny.yaml").read_text())
    tiny["training"] |= {"frozen": done["frozen"], "renderer_steps": done["renderer_steps"],
                         "foresight_steps": done["foresight_steps"], "locator_steps": 1}
    file = tmp_path / "done.yaml"
    file.write_text(yaml.safe_dump(tiny))
    train.run(arguments(data, tmp_path / "a", processes=1, steps=1, tasks="open_drawer"))
    train.run(arguments(data, tmp_path / "b", processes=1, steps=2, config=str(file),
                        init=str(tmp_path / "a")))
    for name in ("model.safetensors", "renderer.safetensors"):
        before, after = (read_tensors(tmp_path / x / name) for x in "ab")
        moved = {k.split(".")[0] for k in before if not torch.equal(before[k], after[k])}
        assert moved == ({"now"} if name.startswith("model") else set())
    # it acts as before: words that it never learnt to follow do not become its own
    cards = [read_config(tmp_path / x) for x in "ab"]
    assert all(cards[0][name] == cards[1][name] for name in ("tasks", "phrases"))


def test_foresight_alone_leaves_what_acts_as_it_was(data, tmp_path):
    tiny = yaml.safe_load(config("models", "video_tiny.yaml").read_text())
    tiny["training"] |= {"steps": 0, "locator_steps": 0, "foresight_steps": 2}
    file = tmp_path / "foresight.yaml"
    file.write_text(yaml.safe_dump(tiny))
    with pytest.raises(UserError, match="--init"):
        train.run(arguments(data, tmp_path / "b", config=str(file)))
    train.run(arguments(data, tmp_path / "a", processes=1, steps=1))
    card = read_config(tmp_path / "a")
    card["scales"]["success"] = [0.5, 0.1]
    (tmp_path / "a" / "config.yaml").write_text(yaml.safe_dump(card))
    again = {"processes": 1, "config": str(file), "init": str(tmp_path / "a")}
    train.run(arguments(data, tmp_path / "b", **again))
    now = read_config(tmp_path / "b")
    assert now["phrases"] == card["phrases"] and now["scales"]["success"] == [0.5, 0.1]
    assert (now["training"]["step"], now["training"]["foresight_step"]) == (1, 2)
    assert samples(now) == samples(card) + 8 * 2
    before, after = (read_tensors(tmp_path / x / "model.safetensors") for x in "ab")
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    network = load_model(tmp_path / "b").network
    expert = {id(p) for p in network.video_expert()}
    may = {name for name, p in network.named_parameters() if id(p) in expert}
    assert moved and moved <= may
    assert "video_out.1.weight" in moved and "view.2.weight" in moved
    # what draws is fitted to the new foresight
    drawing = [(tmp_path / x / "renderer.safetensors").read_bytes() for x in "ab"]
    assert drawing[0] != drawing[1]
    # the finished run goes on with nothing, one that learns on draws anew
    now["scales"]["success"] = [0.4, 0.2]
    (tmp_path / "b" / "config.yaml").write_text(yaml.safe_dump(now))
    train.run(arguments(data, tmp_path / "b", **again))
    assert read_config(tmp_path / "b")["scales"]["success"] == [0.4, 0.2], "calibrated since"
    assert (tmp_path / "b" / "renderer.safetensors").read_bytes() == drawing[1]
    assert [p.name for p in (tmp_path / "b").glob("foresight-*")] == ["foresight-0.safetensors"]
    tiny["training"]["foresight_steps"] = 4
    file.write_text(yaml.safe_dump(tiny))
    train.run(arguments(data, tmp_path / "b", **again))
    assert int(read_tensors(tmp_path / "b" / "foresight-0.safetensors")["step"]) == 4
    assert (tmp_path / "b" / "renderer.safetensors").read_bytes() != drawing[1]


def test_ways_that_nobody_is_to_imitate_teach_foresight(data, tmp_path):
    """As `wm collect --explore 1` makes them."""
    writer = DatasetWriter(tmp_path / "explored")
    for seed in range(3):
        strolled = episode("open_drawer", seed)
        strolled.deliberate_failure = True
        writer.commit(strolled)
    with writer.lock():
        writer.merge()
    tiny = yaml.safe_load(config("models", "video_tiny.yaml").read_text())
    tiny["training"] |= {"steps": 0, "locator_steps": 0, "foresight_steps": 1}
    (tmp_path / "foresight.yaml").write_text(yaml.safe_dump(tiny))
    train.run(arguments(data, tmp_path / "a", processes=1, steps=1))
    train.run(arguments(tmp_path / "explored", tmp_path / "b", processes=1,
                        config=str(tmp_path / "foresight.yaml"), init=str(tmp_path / "a")))
    before, after = (read_config(tmp_path / x) for x in "ab")
    assert after["scales"] == before["scales"]
    assert "imagined_db" in after["validation"] and "action_mm" not in after["validation"]


def test_the_renderer_goes_on_where_it_was_stopped(data, tmp_path):
    tiny = yaml.safe_load(config("models", "video_tiny.yaml").read_text())
    tiny["training"]["renderer_steps"] = 20
    file = tmp_path / "longer.yaml"
    file.write_text(yaml.safe_dump(tiny))
    run = {"processes": 1, "steps": 1, "config": str(file)}
    train.run(arguments(data, tmp_path / "a", minutes=0, **run))
    state, = (tmp_path / "a").glob("renderer-*-state.safetensors")
    assert int(read_tensors(state)["step"]) == 10
    assert not (tmp_path / "a" / "config.yaml").exists()
    os.utime(state, (0, 0))  # as after a copy: times say nothing
    train.run(arguments(data, tmp_path / "a", **run))
    assert int(read_tensors(state)["step"]) == 20
    assert load_model(tmp_path / "a").renderer is not None
    rows = csv.DictReader((tmp_path / "a" / "log.csv").read_text().splitlines())
    assert [int(r["step"]) for r in rows if r["stage"] == "renderer"] == [20]


def test_data_that_are_not_there_leave_no_folder_behind(tmp_path):
    with pytest.raises(UserError):
        train.run(arguments(tmp_path / "nothing", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_size_is_no_start(data, tmp_path):
    train.run(arguments(data, tmp_path / "a", processes=1, steps=1))
    with pytest.raises(UserError, match="another size"):
        train.run(arguments(data, tmp_path / "b", init=str(tmp_path / "a"), config="video_small"))
    assert not (tmp_path / "b").exists(), "a command that is refused spoils no folder"
    with pytest.raises(UserError, match="takes jepa"):
        train.run(arguments(data, tmp_path / "b", init=str(tmp_path / "a"), config="jepa_tiny"))
    (tmp_path / "a" / "text.safetensors").unlink()
    with pytest.raises(UserError, match="has no text.safetensors"):
        train.run(arguments(data, tmp_path / "b", init=str(tmp_path / "a")))
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("family", ["video", "jepa"])
def test_the_cache_of_another_run_is_left_alone(data, tmp_path, family):
    build_cache(data, tmp_path / "cache", depth=family == "video")
    more = DatasetWriter(tmp_path / "more")
    more.commit(episode("open_drawer", 10))
    with more.lock():
        more.merge()
    note_run(tmp_path, {"family": family, "data": "these"})
    before = (tmp_path / "cache" / "meta.json").read_text()
    with pytest.raises(UserError, match="another"):
        train.run(arguments(tmp_path / "more", tmp_path, config=f"{family}_tiny"))
    assert (tmp_path / "cache" / "meta.json").read_text() == before


def test_data_without_a_demonstration_are_refused_before_anything_is_trained(tmp_path):
    writer = DatasetWriter(tmp_path / "set")
    for seed in range(4):
        one = episode("open_drawer", seed)
        one.success = seed == 2  # which is held back
        writer.commit(one)
    with writer.lock():
        writer.merge()
    with pytest.raises(UserError, match="demonstrations"):
        train.run(arguments(tmp_path / "set", tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["cache"]


@pytest.mark.parametrize("family", ["video", "twin"])
def test_data_without_depth_are_refused_before_anything_is_trained(tmp_path, family):
    writer = DatasetWriter(tmp_path / "set")
    for seed in range(4):
        one = episode("open_drawer", seed)
        one.depth[:] *= seed != 2  # as `wm convert` writes it where no topic gave it
        writer.commit(one)
    with writer.lock():
        writer.merge()
    with pytest.raises(UserError, match="1 of 4 episodes hold no depth.*record its topic"):
        train.run(arguments(tmp_path / "set", tmp_path / "out", family=family))
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["cache"]


def test_a_short_chunk_with_one_frame_is_trained_too(data, tmp_path):
    tiny = yaml.safe_load(config("models", "video_tiny.yaml").read_text())
    tiny["network"] |= {"horizon": 4, "frame_steps": [2]}
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(tiny))
    train.run(arguments(data, tmp_path / "a", processes=1, steps=1,
                        config=str(tmp_path / "short.yaml")))
    spec = load_model(tmp_path / "a").spec
    assert (spec.horizon, spec.frame_steps) == (4, (2,))


@pytest.mark.parametrize("steps", [[], [8, 4], [0, 8], [8, 8], [8, 17], 8, [4.5]])
def test_imagined_frames_lie_within_the_chunk(tmp_path, steps):
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(
        {"family": "video", "network": {"frame_steps": steps}}))
    with pytest.raises(UserError, match="frame_steps must"):
        load(str(tmp_path / "bad.yaml"))


def test_an_episode_keeps_its_side_when_data_are_added(data, cache, tmp_path):
    training, validation = split(cache, 0.3)
    assert not set(training) & set(validation) and len(training) + len(validation) == len(cache)
    held = {(cache.task[r], cache.arrays["episode_seed"][cache.episode_index[r]])
            for r in validation}
    more = DatasetWriter(tmp_path / "more")
    for seed in range(10, 14):
        more.commit(episode("open_drawer", seed))
    with more.lock():
        more.merge()
    both = build_cache([data, tmp_path / "more"], tmp_path / "c", depth=True)
    now = {(both.task[r], both.arrays["episode_seed"][both.episode_index[r]])
           for r in split(both, 0.3)[1]}
    assert both.tasks == cache.tasks and {h for h in now if h[1] < 10} <= held


def test_a_layout_that_is_in_two_sets_is_on_one_side(data, tmp_path):
    shutil.copytree(data, tmp_path / "again")
    both = build_cache([data, tmp_path / "again"], tmp_path / "c", depth=True)
    training, validation = (
        {(both.task[r], both.arrays["episode_seed"][both.episode_index[r]]) for r in side}
        for side in split(both, 1e-9))
    assert len(validation) == len(both.tasks) and not training & validation


def test_no_room_is_on_both_sides(tmp_path):
    writer = DatasetWriter(tmp_path / "set")
    for task, seeds in {"put_mug_on_tray": range(12), "open_drawer": range(6, 18),
                        "press_button": (5, 11)}.items():
        for seed in seeds:  # the button is pressed at a single seed
            writer.commit(synthetic_episode(task, seed, rows=2, success=seed != 5))
    with writer.lock():
        writer.merge()
    cache = build_cache(tmp_path / "set", tmp_path / "c")
    for share in (1e-9, 0.1, 0.3):
        sides = split(cache, share)
        training, held = (set(cache.arrays["episode_seed"][cache.episode_index[rows]])
                          for rows in sides)
        assert not training & held
        for rows in sides:
            assert set(cache.task[rows]) == {0, 1, 2}, "every task on either side"


def test_two_processes_train_one_model(data, tmp_path):
    assert train.run(arguments(data, tmp_path, processes=2, steps=4)) == 0
    assert load_model(tmp_path).spec.family == "video"
    assert samples(read_config(tmp_path)) == 2 * 4 * (4 + 3), "half of a batch of 8 each"


def test_the_twin_trains_by_the_same_command(data, tmp_path):
    assert train.run(arguments(data, tmp_path, processes=1, steps=2, family="twin")) == 0
    assert load_model(tmp_path).spec.family == "twin"


def sampler(cache, **more) -> Sampler:
    _, config, _ = load("video_tiny")
    rows = np.arange(len(cache))
    return Sampler(cache, rows, config, train.fit_codec(cache, rows, config),
                   torch.zeros(len(cache.instructions), 384), None, 0, **more)


def test_hidden_actions_never_reach_a_loss(cache):
    some = sampler(cache, labelled=~sides.hidden(cache, 0.9))
    batch = some.batch(np.arange(0, len(cache), 5), augment=False)
    hidden = batch.labelled == 0
    assert hidden.any() and (batch.imitate[hidden] == 0).all()
    action, video = flow.mode_levels(batch.labelled)
    assert (action[hidden] == 1).all() and (video[hidden] > 0).all()


def test_what_the_hand_did_is_read_off_where_actions_are_hidden(data, tmp_path, monkeypatch):
    _, network, settings = load("video_tiny")
    asked = dataclasses.replace(settings, unlabelled=0.4, reader_steps=2, steps=2)
    monkeypatch.setattr(train, "load", lambda *_, **__: ("video", network, asked))
    made, shown = [], []

    def read_off(sampler, hidden, *more):
        true = load_cache(tmp_path / "cache")
        made.append((true, hidden, reading_off(sampler, hidden, *more)))
        return made[0][2]

    def optimise(model, sampler, *_):
        taught = split(sampler.cache, asked.validation_share)[0]
        shown.append((taught, sampler.batch(taught, augment=False)))
        return 0  # stopped before its first step

    reading_off = train.reading.read_off
    monkeypatch.setattr(train.reading, "read_off", read_off)
    monkeypatch.setattr(train, "optimise", optimise)
    assert train.run(arguments(data, tmp_path, processes=1)) == 0
    cache, hidden, full = made[0]
    rows = hidden[cache.episode_index]
    assert rows.any() and not rows.all()
    assert (full.state[~rows] == cache.state[~rows]).all()
    assert (full.state[rows, 8:11] != cache.state[rows, 8:11]).all()
    assert np.abs(np.linalg.norm(full.state[rows, 11:15], axis=1) - 1).max() < 1e-4
    taught, batch = shown[0]
    assert batch.labelled.all() and (batch.judged.numpy() == ~rows[taught]).all()
    assert batch.imitate[torch.from_numpy(rows[taught])].any()
    told = json.loads((tmp_path / "reader.json").read_text())
    assert {"mm_50", "mm_95", "degrees_50", "told_mm_95"} <= set(told)
    # the same command goes on, and reads nothing anew
    before = (tmp_path / "read.safetensors").stat().st_mtime_ns
    assert train.run(arguments(data, tmp_path, processes=1)) == 0
    assert (tmp_path / "read.safetensors").stat().st_mtime_ns == before
    assert (made[1][2].state == full.state).all()


def test_a_set_of_images_alone_is_read_and_imitated(data, tmp_path, capsys):
    writer = DatasetWriter(tmp_path / "video")
    for seed in (20, 21):  # the layouts of some may be held back: of these, two are not
        e = episode("open_drawer", seed)
        e.state[:], e.action[:], e.executed[:] = 0, 0, 0
        e.state[:, 14] = e.action[:, 6] = e.executed[:, 6] = 1
        writer.commit(e)
    with writer.lock():
        writer.merge()
    tiny = yaml.safe_load(config("models", "video_tiny.yaml").read_text())
    tiny["training"]["reader_steps"] = 2
    file = tmp_path / "reading.yaml"
    file.write_text(yaml.safe_dump(tiny))
    mine = arguments(data, tmp_path / "out", processes=1, steps=2, config=str(file),
                     video=[tmp_path / "video"])
    assert train.run(mine) == 0
    assert len(read_tensors(tmp_path / "out/read.safetensors")["hands"]) == 28
    assert read_config(tmp_path / "out")["training"]["episodes"] > 2
    with pytest.raises(UserError, match="number of episodes known by their images alone"):
        both = arguments(data, tmp_path / "out", config=str(file), steps=2)
        both.data.append(tmp_path / "video")
        train.run(both)
    with pytest.raises(UserError, match="takes no --video"):
        train.run(arguments(data, tmp_path / "jepa", config="jepa_tiny",
                            video=[tmp_path / "video"]))
    with pytest.raises(UserError, match="name their set with --video"):
        train.run(arguments(tmp_path / "video", tmp_path / "two", config="video_tiny"))


def test_only_the_first_demonstrations_of_a_task_are_imitated(cache):
    rows = np.arange(len(cache))
    assert not sides.beyond(cache, rows, 0).any()
    further = sides.beyond(cache, rows, 1)
    shown = cache.arrays["episode_success"] & ~cache.arrays["episode_failure"]
    assert (further & ~shown).sum() == 0
    for task in range(len(cache.tasks)):
        mine = np.flatnonzero(shown & (cache.arrays["episode_task"] == task))
        assert further[mine].tolist() == [False] + [True] * (len(mine) - 1)
    # what a model has practised is no demonstration: it is neither counted nor dropped
    practised = np.arange(cache.episodes) % 4 < 2
    some = dataclasses.replace(cache, arrays=cache.arrays | {"episode_practised": practised})
    further = sides.beyond(some, rows, 1)
    assert further.sum() == (shown & ~practised).sum() - len(cache.tasks)
    assert not (further & practised).any()


@pytest.mark.parametrize("further", ["dropped", "video"])
def test_demonstrations_beyond_those_asked_for_never_teach_an_action(data, tmp_path, monkeypatch,
                                                                     further):
    _, network, settings = load("video_tiny")
    asked = dataclasses.replace(settings, demonstrations=1, further=further)
    monkeypatch.setattr(train, "load", lambda *_, **__: ("video", network, asked))
    labelled = []

    def optimise(model, sampler, settings, *_):
        labelled.extend(sampler.batch(sampler.draw(settings.batch), augment=False).labelled
                        for _ in range(40))
        return 0  # stopped before its first step

    monkeypatch.setattr(train, "optimise", optimise)
    assert train.run(arguments(data, tmp_path, processes=1)) == 0
    some, every = train.foreseeing(asked), torch.stack(labelled)
    assert every[:, some:].all(), "a row that is not foreseen has nothing to teach but its action"
    assert every[:, :some].all() == (further == "dropped")


def test_hidden_demonstrations_are_not_counted_among_those_asked_for(cache):
    _, _, settings = load("video_tiny")
    settings = dataclasses.replace(settings, demonstrations=1, unlabelled=0.4, further="video")
    _, labelled = sides.taught(cache, np.arange(len(cache)), settings)
    shown = cache.arrays["episode_success"] & ~cache.arrays["episode_failure"]
    able = shown & ~sides.hidden(cache, 0.4)
    for task in range(len(cache.tasks)):
        mine = cache.arrays["episode_task"] == task
        assert (labelled & shown & mine).sum() == min(1, (able & mine).sum())


def with_latents(cache, **more) -> Sampler:
    s = sampler(cache, **more)
    c = s.config
    s.latents = np.zeros((len(cache), c.latent_tokens, c.latent_channels), np.float16)
    return s


def leaves(batch):
    return [leaf for x in batch for leaf in (leaves(x) if isinstance(x, tuple) else [x])]


def test_samples_are_made_where_the_network_is(cache, monkeypatch):
    """On torch's device without memory, which like a GPU mixes with no other."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    there = with_latents(cache, device="meta")
    model, rows = VideoNetwork(there.config).to("meta"), there.draw(6)
    batch, looks = there.batch(rows), there.looks(rows)
    varied = variety.vary(looks, there.random, torch.ones(6, dtype=torch.bool))
    chunks = variety.vary_chunks(batch, there.random, torch.ones(6, dtype=torch.bool), 2, 0.5)
    assert {x.device.type for x in leaves((batch, looks, varied, chunks))} == {"meta"}
    parts = losses.losses(model, batch, 2, 3)
    sum(parts.values()).backward()
    losses.foresight_losses(model, batch)
    locating.losses(locating.find(model.encoder.locator, varied), varied).total().backward()
    assert all(p.grad is not None for p in model.encoder.locator.parameters())


def test_the_tools_way_is_seen_only_where_actions_are_given(cache, monkeypatch):
    some = with_latents(cache, labelled=~sides.hidden(cache, 0.5))
    batch = some.batch(np.arange(0, len(cache), 2), augment=False)
    hidden, asked = batch.labelled == 0, []
    assert hidden.any() and not hidden.all() and (batch.way[..., -1] == 1).all()

    def network(context, text, action, action_level, video, video_level, present, way):
        asked.append((action_level, way))
        return Prediction(action, video, action[:, 0, :2])

    levels = torch.where(torch.arange(len(hidden)) % 3 == 0, 0.0, 0.5)
    monkeypatch.setattr(flow, "mode_levels", lambda labelled: (
        torch.where(labelled < 0.5, 1.0, levels), torch.full_like(labelled, 0.5)))
    losses._video_losses(network, batch, None)
    level, way = asked[0]
    assert (level == 0).any()
    assert (way[level == 0] == batch.way[level == 0]).all() and not way[level > 0].any()


def test_the_tools_way_ends_where_the_frames_command_takes_it(data, cache, tmp_path):
    s = with_latents(cache)
    row = int(cache.arrays["episode_start"][0]) + 1
    tips = s.batch(np.array([row]), augment=False).way[0, :, 3 * POINTS:3 * POINTS + 3]
    # an image shows what was commanded up to the step before it; the episode has 13 rows left
    at = np.array(cache.executed[[row + 7, row + 11]])
    camera = np.array(cache.camera[row])
    local = quaternion_to_matrix(torch.from_numpy(camera[12:16].astype(np.float32))).T @ (
        torch.from_numpy((at[:, :3] - camera[9:12]).astype(np.float32)).T)
    pixel = 80 * local[:2] / local[2] + torch.tensor([[48.0], [48.0]])
    torch.testing.assert_close(tips[:, :2].T, (pixel + 0.5) / 48 - 1, atol=1e-4, rtol=0)
    torch.testing.assert_close(tips[:, 2], local[2], atol=1e-4, rtol=0)


def test_all_five_modes_are_trained():
    torch.manual_seed(0)
    action, video = flow.mode_levels(torch.ones(3000))
    for share, rows in ((1 / 3, action == 0), (1 / 6, video == 0), (1 / 6, action == 1),
                        (1 / 3, (action > 0) & (action < 1) & (video > 0))):
        assert abs(rows.float().mean() - share) < 0.03
    assert not ((action == 0) & (video == 0)).any()


def test_the_picture_and_its_points_shift_together(cache):
    scene = torch.arange(96.0).expand(1, 3, 96, 96)
    points = torch.arange(96.0)[None, None, :, None].expand(1, 96, 96, 3)
    a, b = sampler(cache)._shift(scene, points)
    torch.testing.assert_close(a[0, 0], b[0, ..., 0])
    assert a.shape == scene.shape and b.shape == points.shape


def test_targets_after_an_unforeseen_push_are_not_imitated(cache):
    pushed = disturbed(cache)
    episode = int(np.flatnonzero(cache.arrays["episode_seed"] % 2 == 1)[0])
    first = int(cache.arrays["episode_start"][episode])
    assert np.flatnonzero(pushed[first:first + 14]).tolist() == [4]
    valid = sampler(cache).batch(np.array([first + 2]), augment=False).valid[0]
    # rows 2, 3 and the pushed row 4 answer to what was seen; row 5 to where the push led
    assert valid.tolist()[:5] == [1, 1, 1, 0, 0]


def test_the_next_grasp_is_found_and_then_the_end(cache):
    switch, first = next_switch(cache), int(cache.arrays["episode_start"][0])
    assert switch[first] - first == 6 and switch[first + 5] - first == 6
    assert switch[first + 6] - first == 13 and switch[first + 13] - first == 13


def test_the_end_is_a_key_pose_only_where_the_gripper_never_moves(cache):
    key, first = key_rows(cache), int(cache.arrays["episode_start"][0])
    assert np.flatnonzero(key[first:first + 14]).tolist() == [6]
    action = np.array(cache.action)
    action[:, 7] = 0.04
    still = dataclasses.replace(cache, arrays=cache.arrays | {"action": action})
    assert np.flatnonzero(key_rows(still)[first:first + 14]).tolist() == [13]


def test_moments_at_which_the_hand_has_yet_to_turn_are_drawn_often(cache, monkeypatch):
    def key_poses(self, rows):
        angle = torch.where(torch.from_numpy(rows) < 3, 0.6, 0.1)[:, None]
        turn = torch.stack([(2 * angle).sin(), (2 * angle).cos()], -1)
        return torch.zeros(len(rows), 1, 3), turn, torch.ones(len(rows), 1)

    monkeypatch.setattr(Sampler, "key_poses", key_poses)
    rows = sampler(cache, turning=0.5).draw(60)
    assert len(rows) == 60 and 30 <= (rows < 3).sum() < 45
    assert (sampler(cache).draw(60) < 3).sum() < 20


def test_however_many_processes_share_a_batch_every_part_is_learnt(cache, monkeypatch):
    monkeypatch.setattr(Sampler, "_unturned", lambda self, rows: rows[:3])
    small = load("video_small")[2]
    monkeypatch.setattr(parallel, "size", lambda: small.batch)
    assert train.foreseeing(small) == 1
    assert train.foreseeing(dataclasses.replace(small, video_share=0.0)) == 0
    s = sampler(cache, turning=0.4)
    alone = np.concatenate([s.draw(1) for _ in range(400)])
    assert 0.35 < (alone < 3).mean() < 0.6, "the share holds in the mean"


def test_care_is_taken_only_around_key_poses_that_are_to_come(cache):
    s = with_latents(cache)
    network, batch = VideoNetwork(s.config), s.batch(np.arange(0, len(cache), 7), augment=False)
    there = torch.zeros_like(batch.key_position)
    there[::2] = 9.0

    def action(position: torch.Tensor, valid: float) -> float:
        torch.manual_seed(0)
        known = torch.full_like(batch.key_valid, valid)
        return float(losses.losses(network, batch._replace(
            key_position=position, key_valid=known), 1, 0)["action"].detach())

    away = torch.full_like(there, 9.0)
    assert action(there, 0.0) == action(away, 0.0) == action(away, 1.0) != action(there, 1.0)


def test_a_batch_holds_what_was_recorded(cache):
    s = sampler(cache)
    first = int(cache.arrays["episode_start"][0])
    b = s.batch(np.array([first + 1]), augment=False)
    state = torch.from_numpy(cache.state[first + 1:first + 2])
    position, _, width = s.codec.decode(b.action, state[:, 8:11], state[:, 11:15])
    np.testing.assert_allclose(position[0, 3], cache.action[first + 4, :3], atol=1e-5)
    np.testing.assert_allclose(width[0, :6], [0.08] * 5 + [0.0], atol=1e-6)


def test_a_configuration_says_what_differs_from_another(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "like: video_small\nnetwork: {depth: 2}\ntraining: {steps: 7, task_weights: {a: 2}}\n")
    (tmp_path / "more.yaml").write_text("like: mine.yaml\ntraining: {batch: 3}\n")
    family, network, settings = load(str(tmp_path / "more.yaml"))
    _, as_shipped, usual = load("video_small")
    assert family == "video" and network == dataclasses.replace(as_shipped, depth=2)
    assert settings == dataclasses.replace(usual, steps=7, task_weights={"a": 2}, batch=3)
    (tmp_path / "mine.yaml").write_text("like: more.yaml\n")
    with pytest.raises(UserError, match="like itself"):
        load(str(tmp_path / "more.yaml"))
    (tmp_path / "mine.yaml").write_text("like: video_smal\n")
    with pytest.raises(UserError, match="video_smal.*known are.*video_small"):
        load(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("wrong", [{"minutes": -1.0}, {"minutes": math.nan}, {"processes": -1},
                                   {"family": "jepa", "config": "video_tiny"}])
def test_what_cannot_be_asked_of_a_run_gets_one_sentence(data, tmp_path, wrong):
    with pytest.raises(UserError, match="must be at least 0|is of another family"):
        train.run(arguments(data, tmp_path / "out", **wrong))
    assert not (tmp_path / "out").exists()


def test_mistyped_settings_get_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no model configuration"):
        load("video_smal")
    bad = tmp_path / "bad.yaml"
    bad.write_text("family: video\nnetwork: {widht: 3}\n")
    with pytest.raises(UserError, match="widht"):
        load(str(bad))


def test_every_task_keeps_an_episode_for_validation(cache):
    training, validation = split(cache, 1e-9)
    for task in range(len(cache.tasks)):
        mine = of_tasks(cache, [task], validation)
        assert cache.success[mine].all() and not cache.failure[mine].any()
        assert len(of_tasks(cache, [task], training))
    with pytest.raises(UserError, match="too few episodes"):
        of_tasks(cache, [0], validation[:0])


@pytest.mark.parametrize("family", ["video", "jepa"])
def test_images_of_another_size_are_refused_before_anything_is_decoded(data, tmp_path, family):
    tiny = yaml.safe_load(config("models", f"{family}_tiny.yaml").read_text())
    tiny["network"]["image_size"] = 128
    tiny["network"] |= {"latent_side": 8} if family == "video" else {}
    file = tmp_path / "large.yaml"
    file.write_text(yaml.safe_dump(tiny))
    with pytest.raises(UserError, match="--image-size 128"):
        train.run(arguments(data, tmp_path / "out", config=str(file)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("family", ["video", "jepa"])
def test_two_runs_do_not_write_into_one_folder(data, tmp_path, family, monkeypatch):
    monkeypatch.setattr(parallel, "launch", lambda *_: None)
    mine = arguments(data, tmp_path / "out", config=f"{family}_tiny")
    with alone(tmp_path / "out"), pytest.raises(UserError, match="Another process"):
        train.run(mine)
    assert not (tmp_path / "out" / "run.json").exists()
    assert train.run(mine) == 0


def test_a_checkpoint_whose_copy_was_stopped_is_copied_again(data, tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    train.run(arguments(data, first, processes=1, steps=1))
    begin = arguments(data, second, processes=1, steps=1, init=str(first))

    def full(source, target, **_):
        Path(target).write_bytes(Path(source).read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        for name in ("copyfile", "copy"):
            patch.setattr(shutil, name, full)
        train.run(begin)
    assert train.run(begin) == 0 and load_model(second).spec.family == "video"


def test_a_checkpoint_without_its_run_is_never_replaced(data, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"ships")
    with pytest.raises(UserError, match="another --out"):
        train.run(arguments(data, tmp_path))
    assert (tmp_path / "model.safetensors").read_bytes() == b"ships"


def test_a_folder_goes_on_with_its_own_run_alone(tmp_path):
    now = {"family": "video", "network": {"frame_steps": (8, 16)}, "data": "a"}
    for _ in range(2):
        check_run(tmp_path, now)
        note_run(tmp_path, now)
    with pytest.raises(UserError, match="another family"):
        check_run(tmp_path, now | {"family": "twin"})
    with pytest.raises(UserError, match="another data"):
        check_run(tmp_path, now | {"data": "b"})
    check_run(tmp_path, now | {"init": ""})  # noted before it was asked
    with pytest.raises(UserError, match="another init"):
        check_run(tmp_path, now | {"init": "video"})
    check_run(tmp_path, now | {"seed": 3})  # older versions did not note it
    with pytest.raises(UserError, match="another choice of held-back layouts"):
        check_run(tmp_path, now | {HELD_BACK: RULE})  # theirs was another
    note_run(tmp_path / "newer", now | {"seed": 3})
    with pytest.raises(UserError, match="another seed"):
        check_run(tmp_path / "newer", now | {"seed": 4})


@pytest.mark.parametrize("text", [
    "network: {}", "family: video", "family: vidoe\nnetwork: {}", "family: jepa\nnetwork: 3",
    "family: jepa\nnetwork: {}\ntraining: [1]", "family: [", "", "- 3"])
def test_a_file_that_is_no_model_configuration_gets_one_sentence(data, tmp_path, text):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UserError, match="is no model configuration"):
        train.run(arguments(data, tmp_path / "out", config=str(tmp_path / "bad.yaml")))


@pytest.mark.parametrize(("config", "field"), [
    (VideoConfig, "heads"), (VideoConfig, "latent_side"), (JepaConfig, "heads")])
def test_a_network_has_at_least_one_of_everything(config, field):
    with pytest.raises(UserError, match=f"{field} must be at least 1"):
        config(**{field: 0})


@pytest.mark.parametrize("family", ["video", "jepa"])
def test_a_seed_is_no_negative_number(data, tmp_path, family):
    with pytest.raises(UserError, match="seed must be"):
        train.run(arguments(data, tmp_path / "out", config=f"{family}_tiny", seed=-1))


@pytest.mark.parametrize(("line", "said"), [
    ("learning_rate: fast", "must be a number"), ("steps: 1.5", "whole number"),
    ("steps: .inf", "must be a number"), ("learning_rate: .nan", "must be a number"),
    ("frozen: ", "frozen must be a list"), ("task_weights: ", "task_weights numbers"),
    ("task_weights: {open_drawer: often}", "task_weights must be numbers"),
    ("learning_rate: 0", "learning_rate must be above 0"), ("ema: 1", "ema must be"),
    ("locator_steps: -1", "locator_steps cannot be negative"), ("kept: 1", "shares of 1")])
def test_numbers_of_a_configuration_are_numbers(tmp_path, line, said):
    path = tmp_path / "mine.yaml"
    path.write_text(f"family: video\nnetwork: {{}}\ntraining: {{{line}}}\n")
    with pytest.raises(UserError, match=said):
        load(str(path))
    path.write_text("family: video\nnetwork: {}\ntraining: {learning_rate: 1e-3}\n")
    assert load(str(path))[2].learning_rate == 1e-3
