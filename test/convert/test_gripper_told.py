# SPDX-License-Identifier: Apache-2.0
"""A hand's command is read off how it moved: who holds a mug was not told the mug's width."""
from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("wm_ros.msg")
from wm_ros.bridge.gripper import told  # noqa: E402
from wm_ros.cli import main  # noqa: E402
from wm_ros.data.lerobot import Dataset  # noqa: E402
from wm_ros.sim.env import TaskEnv  # noqa: E402
from wm_ros.training.shown import switches  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bags"))
from make_bags import Recorder  # noqa: E402

OPEN, MUG = 0.08, 0.056  # m


def keys(widths: np.ndarray) -> np.ndarray:
    """Rows at which training finds that the gripper command changes."""
    action = np.zeros((len(widths), 8), np.float32)
    action[:, 7] = widths
    return np.flatnonzero(switches(SimpleNamespace(
        action=action, episode_start=np.array([0, len(widths)]))))


def test_a_grasp_that_was_only_measured_is_learned_as_it_was_told(tmp_path: Path) -> None:
    env = TaskEnv("put_mug_on_tray", 100, "held_out")
    expert, recorder, widths = env.expert(), Recorder(tmp_path / "bag", env), []
    recorder.begin()
    while not env.success() and env.steps < env.max_steps:
        action = expert.act()
        widths.append(action.width)
        env.step(action)
        recorder.cameras()
    recorder.writer.close()
    assert env.success()
    env.close()
    assert main(["convert", str(tmp_path / "bag"), "--out", str(tmp_path / "set")]) == 0
    episode = Dataset(tmp_path / "set").episode(0)
    asked = np.array(widths)
    made, seen = episode.action[:len(asked), 7], episode.state[:len(asked), 7]
    np.testing.assert_array_equal(episode.executed, episode.action)
    held = (np.abs(seen - MUG) < 0.003) & (asked == 0.0)
    assert held.sum() > 20 and (made[held][:-1] == 0.0).all()
    assert len(keys(asked)) == 2
    np.testing.assert_allclose(keys(made), keys(asked), atol=2)
    assert made[0] == pytest.approx(OPEN, abs=1e-3) == made[keys(made)[1]]
    [source] = json.loads((tmp_path / "set/convert.json").read_text())["sources"].values()
    assert "gripper commands: read off its measured opening" in source["assumed"]


@pytest.mark.parametrize("speed", [0.002, 0.01, 0.03])
def test_a_hand_that_closes_slowly_was_told_so_where_it_began(speed: float) -> None:
    """Speed in m a row, with the noise of encoders."""
    closing, opening = np.arange(OPEN, MUG, -speed), np.arange(MUG, OPEN, speed)
    width = np.concatenate([np.full(10, OPEN), closing, np.full(20, MUG), opening,
                            np.full(10, OPEN)])
    width += np.random.default_rng(0).uniform(-1e-4, 1e-4, len(width))
    found = told(width, 0.0)
    grasp, release = keys(found)
    assert abs(grasp - 10) <= 2 and abs(release - (29 + len(closing))) <= 2
    assert found[:grasp] == pytest.approx(OPEN, abs=2e-4)
    assert (found[grasp:release] == 0.0).all()
    assert found[release:] == pytest.approx(OPEN, abs=2e-4)


def test_what_is_held_may_give_and_drivers_may_repeat_themselves() -> None:
    squeezed = np.concatenate([np.full(5, OPEN), [0.07, 0.06], np.linspace(MUG, 0.053, 10),
                               np.linspace(0.053, 0.057, 3)])
    assert (told(squeezed, 0.0)[4:] == 0.0).all()
    every_second = np.repeat([0.01, 0.01, 0.03, 0.05, 0.07, 0.07, 0.07], 2)
    found = told(every_second, 0.0)
    assert len(keys(found)) == 1 and found[-1] == pytest.approx(0.07)


def test_a_piece_that_begins_with_a_thing_in_the_hand_goes_on_with_what_was_told() -> None:
    still = np.full(6, MUG)
    assert (told(still, 0.0) == MUG).all() and (told(still, 0.0, start=0.0) == 0.0).all()
