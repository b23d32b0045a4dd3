# SPDX-License-Identifier: Apache-2.0
"""The demo judges the task that the words mean, in a layout where they make sense."""
from __future__ import annotations

import numpy as np
import pytest

from wm_ros.sim import language
from wm_ros.sim.judging import task_for
from wm_ros.sim.tasks import TASKS


@pytest.mark.parametrize(("words", "room", "task"), [
    ("put the mug on the tray", "home", "put_mug_on_tray"),
    ("Please put the mug on the tray.", "home", "put_mug_on_tray"),
    ("open the drawer", "office", "open_drawer"),
    ("close the drawer", "office", "close_drawer"),
    ("press the blue button", "office", "press_button"),
])
def test_words_find_their_task(words: str, room: str, task: str) -> None:
    found = task_for(words, room, 100)
    assert found is not None
    assert found[0] == task


def test_words_of_no_task_are_not_judged() -> None:
    assert task_for("dance a waltz", "home", 100) is None
    assert task_for("put the mug on the tray", "office", 100) is None


@pytest.mark.parametrize("color", ["red", "green", "blue"])
def test_layout_fits_the_colour_in_the_words(color: str) -> None:
    name, seed = task_for(f"press the {color} button", "office", 100) or ("", 0)
    assert TASKS[name](seed, "held_out").slots()["color"] == color


@pytest.mark.parametrize("name", list(TASKS))
@pytest.mark.parametrize("held_out", [False, True])
def test_whatever_a_task_says_is_judged_as_that_task(name: str, held_out: bool) -> None:
    kind, split = TASKS[name], "held_out" if held_out else "train"
    rng = np.random.default_rng(0)
    for seed in range(6):
        task = kind(seed, split)
        for new in (False, True):
            words = task.instruction(rng, held_out=new)
            found = task_for(words, kind.room, 100, held_out)
            assert found is not None and found[0] == name, words
            slots = kind(found[1], split).slots()
            used = [s for s in slots.values() if s in words]
            assert used == [s for s in task.slots().values() if s in words], words


@pytest.mark.parametrize("words", [
    "press the yellow button", "put the apple on the tray", "put the bottle in the bowl"])
def test_another_thing_than_the_tasks_is_not_judged_as_if_it_were_theirs(words: str) -> None:
    assert task_for(words, "office" if "button" in words else "home", 100) is None


def test_an_opening_does_not_spoil_a_sentence_that_asks_for_nothing() -> None:
    rng = np.random.default_rng(0)
    said = {language.held_out("the {x} belongs on the tray", {"x": "mug"}, rng)
            for _ in range(20)}
    assert said == {"the mug belongs on the tray"}
