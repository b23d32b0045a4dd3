# SPDX-License-Identifier: Apache-2.0
"""Models side by side: one table from what was kept of every episode."""
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from wm_ros.errors import UserError
from wm_ros.evaluation import comparison, costs, foresight, keeping
from wm_ros.evaluation.compare import cell_file, cells, measured, read_entries
from wm_ros.world_model import Imagination, ModelSpec, Observation, State

TASKS = ["close_drawer", "press_button"]


def arguments(out: Path, *models: Path | str, **others: Any) -> argparse.Namespace:
    return argparse.Namespace(models=[str(m) for m in models], seeds=2, first_seed=100, out=out,
                              split="held_out", candidates=1, execute=3, foresight=1,
                              precision="auto", device="cpu", **others)


def checkpoint(folder: Path, family: str = "video", step: int = 10) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(
        {"format": 1, "family": family, "network": {},
         "training": {"step": step, "batch": 48, "episodes": 20}}))
    return folder


def keep(out: Path, entry: Any, successes: list[int], refused: str = "") -> None:
    """Write cells as the workers do; ``successes`` by task, then seed."""
    for k, success in enumerate(successes):
        task, seed = TASKS[k // 2], 100 + k % 2
        path = cell_file(out, entry, "episode", task, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"task": task, "seed": seed, "success": bool(success),
                                    "furniture_contacts": 0, "refused": refused}))
    for task in TASKS:
        cell_file(out, entry, "foresight", task, 100).write_text(json.dumps(
            {"frames": [[[0.8, 22.0, 20.0]]], "surprise": [[0.2, 1.4], [0.3, 0.9]],
             "refused": "", "ahead": 0.8}))


def test_the_same_command_goes_on_and_a_new_training_starts_anew(tmp_path):
    args = arguments(tmp_path / "out", checkpoint(tmp_path / "video"))
    jobs = list(cells(read_entries(args), TASKS, args))
    assert len(jobs) == 2 * 2 + 2 and len({job[0] for job in jobs}) == len(jobs)
    assert jobs == list(cells(read_entries(args), TASKS, args))
    checkpoint(tmp_path / "video", step=11)
    assert not {j[0] for j in jobs} & {j[0] for j in cells(read_entries(args), TASKS, args)}


def test_an_ensemble_is_run_anew_when_a_member_was_trained_anew(tmp_path):
    checkpoint(tmp_path / "video")
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "config.yaml").write_text(
        "{format: 1, family: ensemble, network: {}, propose: video}")
    args = arguments(tmp_path / "out", tmp_path / "both")
    (before,) = read_entries(args)
    checkpoint(tmp_path / "video", step=11)
    (after,) = read_entries(args)
    assert before.mark != after.mark


def test_what_training_keeps_to_resume_is_no_part_of_the_checkpoint(tmp_path):
    args = arguments(tmp_path / "out", checkpoint(tmp_path / "video"))
    (before,) = read_entries(args)
    for name in ("state.safetensors", "renderer-7-0-state.safetensors", "foresight-7.safetensors"):
        (tmp_path / "video" / name).write_bytes(b"resumes")
    (after,) = read_entries(args)
    assert before.mark == after.mark


def test_the_table_shows_rates_pairs_costs_and_what_a_family_cannot_do(tmp_path):
    args = arguments(tmp_path / "out", *(checkpoint(tmp_path / name) for name in ("a", "b")),
                     checkpoint(tmp_path / "map", "scene3d"))
    a, b, c = read_entries(args)
    keep(args.out, a, [1, 0, 0, 0])
    keep(args.out, b, [1, 1, 1, 0])
    keep(args.out, c, [0, 0, 0, 0], refused="It has no policy.")
    results = {e.label: measured(e, TASKS, args) for e in (a, b, c)}
    results["b"]["cost"] = {"latency": {"act": {"p50_ms": 41.6}}, "memory": {"peak_mib": 210.2}}
    summary = comparison.summarise(results, TASKS)
    rows = summary["models"]
    assert rows["a"]["beside_first"] is None
    assert rows["b"]["beside_first"] == {"only_this": 2, "only_first": 0, "p": 0.5}
    text = comparison.markdown(summary)
    assert "3/4 = 75 % (30-95)" in text and "42 ms" in text and "210 MiB" in text
    assert "480 samples, 20 episodes" in text and "+2.0 dB at 0.8 s" in text
    assert "| 1.00 at 0.8 s |" in text
    assert "map does not act by itself: It has no policy." in text
    assert "| close_drawer | 1/2 | 2/2 |" in text
    comparison.write_plot(summary, tmp_path / "out")
    assert (tmp_path / "out" / "compare.svg").is_file()
    assert (tmp_path / "out" / "compare.png").is_file()


def test_samples_are_those_that_the_weights_have_seen():
    told = {"step": 10, "batch": 48, "foresight_step": 2}
    assert costs.training({"training": told})["samples"] == 576
    assert costs.training({"training": told | {"samples": 9000}})["samples"] == 9000
    assert "samples" not in costs.training({"training": {"step": 10}})
    assert costs.training({}) == {}


def test_models_that_cannot_be_told_apart_or_found_get_one_sentence(tmp_path):
    folder = checkpoint(tmp_path / "video")
    with pytest.raises(UserError, match="name them apart"):
        read_entries(arguments(tmp_path, folder, folder))
    assert [e.label for e in read_entries(arguments(tmp_path, folder, f"other={folder}"))] == [
        "video", "other"]
    with pytest.raises(UserError, match="no checkpoint"):
        read_entries(arguments(tmp_path, tmp_path / "nowhere"))


def test_a_folder_may_have_an_equals_sign_in_its_name(tmp_path):
    folder = checkpoint(tmp_path / "step=10")
    assert [(e.label, e.load.model) for e in read_entries(
        arguments(tmp_path, folder, f"other={folder}"))] == [
            ("step=10", str(folder)), ("other", str(folder))]


def test_results_of_another_version_of_the_code_are_made_anew_and_that_is_said(tmp_path):
    class Model:
        precision = "bf16"

    cell, none = tmp_path / "cells" / "one.json", tmp_path / "cells" / "none.json"
    keeping.write(cell, {"success": True}, "abc1234", Model())
    assert json.loads(cell.read_text()) == {"commit": "abc1234", "precision": "bf16",
                                            "success": True}
    assert keeping.is_current(cell, "abc1234") and not keeping.is_current(cell, "abc1234+")
    assert not keeping.is_current(none, "abc1234") and not keeping.is_current(none, "unknown")
    assert keeping.told([cell, none], "abc1234") == ""
    assert keeping.told([cell, none], "def5678").startswith("1 results of other versions")
    assert keeping.is_current(cell, "unknown")
    assert keeping.told([cell, none], "unknown").startswith("1 results are taken as they are")
    cell.write_text('{"success": true}')  # as earlier versions wrote them
    assert not keeping.is_current(cell, "abc1234") and keeping.is_current(cell, "unknown")


class Watcher:
    """Knows what will be seen, draws it, and has no policy."""

    spec = ModelSpec(family="watcher")

    def __init__(self, refuses: bool = False):
        self.refuses = refuses

    def observe(self, o, state=None):
        return State(o)

    def act(self, state, instruction, n=1):
        raise UserError("It has no policy.")

    def imagine(self, state, chunks, instruction, render=True):
        if self.refuses:
            raise UserError("It needs a goal.")
        frames = np.repeat(state.observation.scene_rgb[None, None], 2, 1) if render else None
        return Imagination(frames, np.array([0.8, 1.6]), np.zeros((1, 2, 1)), np.ones(1),
                           np.zeros(1), np.zeros(1))

    def surprise(self, state, o):
        return float(np.abs(o.scene_rgb.astype(float) - state.observation.scene_rgb).max() > 9)


def look(brightness: int) -> Observation:
    image = np.full((96, 96, 3), brightness, np.uint8)
    return Observation(image, np.ones((96, 96), np.float32), image, np.eye(3), np.zeros(3),
                       np.array([0, 0, 0, 1.0]), np.zeros(7), np.zeros(3),
                       np.array([0, 0, 0, 1.0]), 0.08, np.zeros(6))


@pytest.fixture()
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of an expert's episode: nothing moves but what the unseen hand moves."""
    chunk = costs.resting(look(0), 1, 16, 0.1)
    monkeypatch.setattr(foresight, "moments", lambda *_: iter([foresight.Moment(
        "go", look(100), chunk, [look(100), look(101)], look(200))] * 2))


def test_foresight_is_scored_by_the_common_interface_alone(one_moment):
    scores = [foresight.score(Watcher(), "a", 100, "held_out")]
    summary = foresight.summarise(scores)
    assert summary["surprise_auroc"] == 1.0 and summary["moments"] == 2
    assert summary["surprise_ahead"] == 0.8
    assert summary["gain_db"] == {"0.8": [0.0, 0.0], "1.6": [0.0, 0.0]}, "it copies the present"


def test_a_family_that_cannot_imagine_or_act_is_shown_with_its_reason(one_moment):
    summary = foresight.summarise([foresight.score(Watcher(refuses=True), "a", 100, "held_out")])
    assert summary["refused"] == "It needs a goal." and summary["surprise_auroc"] is None
    assert list(costs.calls(Watcher(), look(0), "go")) == ["imagine"]
    assert costs.calls(Watcher(refuses=True), look(0), "go") == {}


def test_models_are_timed_in_turns(monkeypatch):
    order: list[str] = []

    class Timed(Watcher):
        def __init__(self, name: str):
            super().__init__()
            self.name = name

        def imagine(self, *args, **kwargs):
            order.append(self.name)
            return super().imagine(*args, **kwargs)

    models = {name: Timed(name) for name in "ab"}
    monkeypatch.setattr(costs, "example", lambda *_: (look(0), "go"))
    times = costs.latency(models, "a task", rounds=3)
    assert order[-6:] == list("ababab") and set(times["a"]["imagine"]) == {
        "p50_ms", "p95_ms", "min_ms"}


def test_the_unseen_hand_leaves_nothing_moved(monkeypatch):
    found = foresight.moments(ModelSpec(), "put_mug_on_tray", 100, "held_out")
    monkeypatch.setattr(foresight, "_tampered", lambda env: None)
    alone = foresight.moments(ModelSpec(), "put_mug_on_tray", 100, "held_out")
    assert len(found) == foresight.LOOKS, "the episode is long enough"
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_array_equal(one.later[0].q, other.later[0].q)
        np.testing.assert_array_equal(one.later[0].scene_rgb, other.later[0].scene_rgb)
        assert one.moved is not None and other.moved is None
        np.testing.assert_allclose(one.moved.q, one.later[0].q, atol=1e-6)
        assert one.moved.stamp == one.later[0].stamp
        assert (one.moved.scene_rgb != one.later[0].scene_rgb).any()


def test_every_family_is_scored_at_the_same_moments():
    jepa = ModelSpec("jepa", horizon=25, frame_steps=(5, 10, 15, 20, 25))
    one, other = (foresight.moments(spec, "press_button", 100, "held_out")
                  for spec in (ModelSpec(), jepa))
    assert [m.now.stamp for m in one] == [m.now.stamp for m in other] and len(one) > 0
    for moment in other:
        assert moment.chunk.position.shape == (1, 25, 3) and len(moment.later) >= 3
        np.testing.assert_allclose(moment.later[0].stamp - moment.now.stamp, 0.5, atol=1e-6)
