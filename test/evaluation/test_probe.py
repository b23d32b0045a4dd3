# SPDX-License-Identifier: Apache-2.0
"""Linear probes, the surprise test and planning to goals, in the simulator with a tiny model."""
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "world_model"))

from tiny_jepa import make_jepa  # noqa: E402

from wm_ros.evaluation import goals, probes, surprise  # noqa: E402
from wm_ros.sim.env import TaskEnv  # noqa: E402
from wm_ros.world_model import load_model  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    return load_model(make_jepa(tmp_path_factory.mktemp("jepa")), candidates=10, elites=3,
                      iterations=1)


def test_a_probe_finds_what_is_linear_and_nothing_else():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(8, 3))

    def sample(n: int) -> dict[str, np.ndarray]:
        z = rng.normal(size=(n, 8))
        return {"latent": z, "tcp": z @ matrix + 5, "gripper": rng.normal(size=(n, 1))}

    found = probes.probe([sample(300)], [sample(200)])
    assert found["tcp"]["r2"] > 0.97 and found["gripper"]["r2"] < 0.2


@pytest.mark.parametrize("kind", list(surprise.EVENTS))
def test_an_event_is_seen_and_leaves_the_episode_as_it_was(kind):
    env = TaskEnv("put_mug_on_tray", 101, "held_out")
    try:
        before = env.observe()
        thing = surprise.seen(env.sim)[0]
        changed = surprise.after(env, kind, thing, np.random.default_rng(3))
        again = env.observe()
    finally:
        env.close()
    assert (changed.scene_rgb != before.scene_rgb).any()
    np.testing.assert_array_equal(again.scene_rgb, before.scene_rgb)
    np.testing.assert_array_equal(again.q, before.q)


def test_an_episode_gives_normal_looks_and_one_of_every_event(model):
    rows = surprise.watch(model, "put_mug_on_tray", 100)
    kinds = [kind for kind, _ in rows]
    assert kinds.count("normal") > 5
    assert all(kinds.count(kind) == 1 for kind in surprise.EVENTS)
    scores = surprise.summarise(rows)
    assert 0 <= scores["violations"]["auroc"] <= 1 and scores["normal"]["looks"] > 5


def test_a_higher_surprise_is_a_higher_auroc():
    rows = [("normal", v) for v in np.linspace(0, 1, 20)]
    rows += [("teleport", 3.0)] * 5 + [("vanish", 2.0)] * 5 + [("interpenetrate", 2.0)] * 5
    rows += [(kind, v) for kind in ("colour", "light") for v in np.linspace(0, 1, 20)]
    scores = surprise.summarise(rows)
    assert scores["violations"]["auroc"] == 1.0 and scores["colour"]["auroc"] == 0.5


def test_an_experts_pictures_are_goals_and_the_task_itself_judges(model):
    shown = goals.demonstrate("close_drawer", 100, "held_out", model.spec.image_size)
    assert len(shown) > goals.TAIL and (shown[-1].scene_rgb != shown[0].scene_rgb).any()
    outcome = goals.run_goals(model, "close_drawer", 100)
    assert outcome.task == "close_drawer" and outcome.looks and outcome.act_ms
    assert 0 < outcome.seconds <= 12.1
