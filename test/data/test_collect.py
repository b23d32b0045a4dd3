# SPDX-License-Identifier: Apache-2.0
"""Collecting: parallel, resumable, honest about failures; a stopped collection loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from wm_ros.data.collect import Settings, collect  # noqa: E402
from wm_ros.data.lerobot import PENDING, Dataset, DatasetWriter  # noqa: E402
from wm_ros.data.rollout import kind_of  # noqa: E402
from wm_ros.errors import UserError  # noqa: E402

CLEAN = Settings(perturb=0.0, failures=0.0)


def test_every_task_gets_its_episodes_and_the_summary_counts_them(tmp_path: Path) -> None:
    summary = collect(tmp_path / "set", ["a", "b"], 3, CLEAN, 2, seed0=5, env="fake_env:FakeEnv")
    data = Dataset(tmp_path / "set")
    assert {(row["task_name"], row["seed"]) for row in data.rows} == {
        (task, seed) for task in "ab" for seed in (5, 6, 7)}
    assert summary["tasks"]["a"]["demonstrations_successful"] == 3
    assert json.loads((tmp_path / "set/collect.json").read_text()) == summary
    episode = data.episode(0)
    assert episode.success and np.array_equal(episode.action, episode.executed)
    assert np.allclose(episode.action[:-1, :3], episode.state[1:, 8:11], atol=1e-6)


def test_failures_are_flagged_and_never_look_like_demonstrations(tmp_path: Path) -> None:
    collect(tmp_path / "set", ["a"], 4, Settings(perturb=0.0, failures=1.0), 1,
            env="fake_env:FakeEnv")
    data = Dataset(tmp_path / "set")
    assert all(row["deliberate_failure"] for row in data.rows)


def test_pushes_are_recorded_apart_from_what_the_expert_wanted(tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    collect(tmp_path / "set", ["a"], 4, Settings(perturb=1.0, failures=0.0), 1,
            env="fake_env:FakeEnv")
    data = Dataset(tmp_path / "set")
    episodes = [data.episode(i) for i in range(4)]
    assert all(e.perturbed and not e.deliberate_failure for e in episodes)
    assert any(not np.array_equal(e.action, e.executed) for e in episodes)


def test_a_model_that_drives_is_corrected_and_never_imitated(tmp_path: Path) -> None:
    settings = Settings(perturb=0.0, failures=0.0, corrected=1.0, model="some model")
    collect(tmp_path / "set", ["a"], 2, settings, 1, env="fake_env:FakeEnv",
            driver="fake_env:FakeDriver")
    data = Dataset(tmp_path / "set")
    for i in range(2):
        e = data.episode(i)
        drove = np.abs(e.executed - e.action).max(1) > 1e-4
        assert e.perturbed and not e.deliberate_failure
        assert drove[:8].all() and not drove.all()  # the model begins, the expert has its turn
        assert np.allclose(e.action[:, 0], e.state[:, 8] + 0.02, atol=1e-5)  # always the expert's
        assert np.allclose(e.executed[drove, 7], 0.02, atol=1e-5)


def test_a_hand_that_explores_takes_turns_with_the_expert(tmp_path: Path) -> None:
    settings = Settings(perturb=0.0, failures=0.0, explore=1.0)
    collect(tmp_path / "set", ["a"], 2, settings, 1, env="fake_env:FakeEnv")
    data = Dataset(tmp_path / "set")
    ways = []
    for i in range(2):
        e = data.episode(i)
        strolled = np.abs(e.executed - e.action).max(1) > 1e-4
        assert e.perturbed and e.deliberate_failure  # nothing to imitate
        assert strolled[:8].all() and not strolled.all()
        assert np.allclose(e.action[:, 0], e.state[:, 8] + 0.02, atol=1e-5)  # always the expert's
        step = e.executed[:, :3] - e.state[:, 8:11]
        assert np.linalg.norm(step, axis=1).max() < 0.0221
        ways.append(step[0])
    assert not np.allclose(*ways)


def test_a_model_that_practises_drives_alone_and_shows_nothing(tmp_path: Path) -> None:
    settings = Settings(perturb=0.0, failures=0.0, practice=1.0, model="some model")
    summary = collect(tmp_path / "set", ["a"], 2, settings, 1, env="fake_env:FakeEnv",
                      driver="fake_env:FakeDriver")
    data = Dataset(tmp_path / "set")
    for i in range(2):
        e = data.episode(i)
        assert e.practised and not e.perturbed and not e.deliberate_failure
        assert np.array_equal(e.action, e.executed)
        assert np.allclose(e.action[:, 7], 0.02, atol=1e-5)  # the model's, never the expert's
    assert summary["tasks"]["a"]["practised"] == 2
    assert summary["tasks"]["a"]["demonstrations"] == 0
    assert summary["tasks"]["a"]["practised_successful"] == sum(
        data.episode(i).success for i in range(2))


def test_a_share_for_a_model_without_one_is_refused(tmp_path: Path) -> None:
    for other in ({"corrected": 0.5}, {"practice": 0.5}, {"model": "video"}):
        with pytest.raises(UserError, match="belongs together"):
            Settings(perturb=0.2, **other)
    for other in ({"hindsight": 0.5}, {"hindsight": 1.1, "practice": 1.0, "model": "video"}):
        with pytest.raises(UserError, match="share of what is practised"):
            Settings(perturb=0.0, failures=0.0, **other)


def test_the_kind_of_an_episode_follows_from_its_seed() -> None:
    kinds = [kind_of("a", seed, 0.5, 0.1) for seed in range(2000)]
    assert kinds == [kind_of("a", seed, 0.5, 0.1) for seed in range(2000)]
    assert abs(kinds.count("perturbed") / 2000 - 0.5) < 0.05
    assert abs(kinds.count("failure") / 2000 - 0.1) < 0.03


def test_a_collection_goes_on_where_it_ended(tmp_path: Path) -> None:
    collect(tmp_path / "set", ["a"], 2, CLEAN, 1, env="fake_env:FakeEnv")
    summary = collect(tmp_path / "set", ["a", "b"], 3, CLEAN, 1, env="fake_env:FakeEnv")
    assert summary["last_run"]["episodes"] == 4 and summary["episodes"] == 6
    assert collect(tmp_path / "set", ["a"], 3, CLEAN, 1,
                   env="fake_env:FakeEnv")["last_run"]["episodes"] == 0


def test_other_settings_do_not_mix_into_a_set(tmp_path: Path) -> None:
    collect(tmp_path / "set", ["a"], 1, CLEAN, 1, env="fake_env:FakeEnv")
    with pytest.raises(UserError, match="perturb 0.0"):
        collect(tmp_path / "set", ["a"], 2, Settings(), 1, env="fake_env:FakeEnv")


def test_a_set_without_episodes_takes_other_settings_and_an_older_one_goes_on(
        tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / PENDING).mkdir(parents=True)
    mistyped = asdict(CLEAN) | {"corrected": 0.5, "model": "chekpoint"}
    (folder / "collect.json").write_text(json.dumps({"settings": mistyped}))
    collect(folder, ["a"], 1, CLEAN, 1, env="fake_env:FakeEnv")
    summary = json.loads((folder / "collect.json").read_text())
    assert summary["settings"] == asdict(CLEAN)
    for later in ("corrected", "model", "explore"):  # of before they existed
        del summary["settings"][later]
    (folder / "collect.json").write_text(json.dumps(summary))
    assert collect(folder, ["a"], 2, CLEAN, 1, env="fake_env:FakeEnv")["episodes"] == 2


@pytest.mark.parametrize(("env", "said"), [
    ("BrokenEnv", "RuntimeError: no place for the mug"), ("NowhereEnv", "is not finite")])
def test_a_layout_that_goes_wrong_does_not_end_the_collection(tmp_path: Path, env: str,
                                                              said: str) -> None:
    summary = collect(tmp_path / "set", ["a"], 4, CLEAN, 1, env=f"fake_env:{env}")
    assert summary["episodes"] == 3
    [error] = summary["last_run"]["errors"]
    assert error["seed"] == 1 and said in error["error"]


def test_a_killed_worker_is_explained_and_its_siblings_episodes_kept(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="worker"):
        collect(tmp_path / "set", ["a"], 4, CLEAN, 1, env="fake_env:KilledEnv")
    assert {("a", 0), ("a", 1)} <= DatasetWriter(tmp_path / "set").keys()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_collection_loses_at_most_the_running_episodes(tmp_path, number) -> None:
    root = tmp_path / "set"
    script = (
        "from pathlib import Path; from wm_ros.data.collect import *\n"
        "if __name__ == '__main__':\n"
        f"    collect(Path({str(root)!r}), ['a'], 400, Settings(0.0, 0.0), 2, 0,"
        " 'fake_env:SlowEnv')\n"
    )
    (tmp_path / "run.py").write_text(script)
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py")], env={**os.environ, "PYTHONPATH": path},
        start_new_session=True, stderr=subprocess.DEVNULL,
    )
    pending = root / ".pending"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if pending.exists() and len(list(pending.glob("a-*"))) >= 6:
            break
        time.sleep(0.05)
    os.killpg(process.pid, number)
    process.wait(60)
    kept = len(DatasetWriter(root).keys())
    assert kept >= 6
    summary = collect(root, ["a"], kept + 3, CLEAN, 1, env="fake_env:FakeEnv")
    assert summary["episodes"] == kept + 3
    assert summary["last_run"]["episodes"] <= 3 + 2
    assert not list(pending.glob("part-*"))
    assert all(Dataset(root).episode(i).success for i in (0, kept - 1))


def test_unknown_tasks_are_answered_with_the_known_ones() -> None:
    pytest.importorskip("mujoco")
    from wm_ros.sim.tasks import task_names

    with pytest.raises(UserError, match="put_mug_on_tray"):
        task_names("make_coffee")


@pytest.mark.parametrize("wrong", [{"perturb": 1.5}, {"perturb": 0.6, "failures": 0.6},
                                   {"image_size": 7}])
def test_impossible_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(UserError):
        Settings(**wrong)
