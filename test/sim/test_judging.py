# SPDX-License-Identifier: Apache-2.0
"""The demo judges the task that the words mean, in a layout where they make sense."""
from __future__ import annotations

import pytest

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
