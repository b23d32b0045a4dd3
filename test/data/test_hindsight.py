# SPDX-License-Identifier: Apache-2.0
"""A try that did it with another thing than was named is worth something under other words."""
from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("mujoco")

from wm_ros.data.rollout import rollout  # noqa: E402
from wm_ros.sim.env import TaskEnv, make_scene  # noqa: E402
from wm_ros.sim.randomize import _held_out_cell  # noqa: E402


def practise(task: str, seed: int, thing: int | None,
             hindsight: float) -> tuple[Any, list[str]]:
    """What is recorded while an expert for another thing (None: the named one) drives."""
    env = TaskEnv(task, seed, render=False, image_size=16)
    others = env.task.others(env.scene)
    expert = (env.task if thing is None else others[thing]).expert(env.sim)
    try:
        return rollout(env, task, seed, "practised", lambda obs, words, width: expert.act(),
                       hindsight), [o.instruction() for o in others]
    finally:
        env.close()


@pytest.mark.parametrize(("task", "seed"), [("press_button", 3), ("pick_from_clutter", 89007),
                                            ("put_fruit_in_bowl", 3)])
def test_what_was_done_with_another_thing_counts_under_its_own_words(task, seed):
    episode, words = practise(task, seed, 0, 1.0)
    assert episode.success and episode.practised
    thing = re.sub("^(press|pick up|put) the | in the bowl$", "", words[0])
    assert thing in episode.instruction
    assert episode.progress[0] < 0.6 and episode.progress[-1] == 1
    missed, _ = practise(task, seed, 0, 0.0)
    assert not missed.success and missed.progress.max() < 1
    assert missed.instruction != episode.instruction


def test_what_was_named_counts_as_before():
    episode, words = practise("press_button", 3, None, 1.0)
    plain, _ = practise("press_button", 3, None, 0.0)
    assert episode.success and episode.instruction == plain.instruction
    assert len(episode) == len(plain) and (episode.progress == plain.progress).all()


def test_in_training_nothing_counts_instead_that_lies_in_a_place_kept_for_evaluation():
    kept = 0
    for seed in range(20):
        for split in ("train", "held_out"):
            task, scene = make_scene("pick_from_clutter", seed, split)
            free = {o.name for o in scene.objects
                    if split != "train" or not _held_out_cell(*o.body.position[:2])}
            kept += len(scene.objects) - len(free)
            others = task.others(scene)
            assert {o.kind for o in others} == free - {task.kind}
            assert all(o.seed == task.seed for o in others)
    assert kept > 5
