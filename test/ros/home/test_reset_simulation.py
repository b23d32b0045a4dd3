# SPDX-License-Identifier: Apache-2.0
"""/wm/reset_simulation lays the room out anew, and refuses what does not belong into it."""
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from wm_ros.errors import UserError
from wm_ros.nodes.clients import SUCCEEDED

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]


@pytest.fixture()
def room(system: Any) -> Iterator[Any]:
    """What the simulator knows about its room, which is put back afterwards."""
    system.ready()
    before = system.client.truth()
    yield before
    now = system.client.truth()
    if (now.task, now.seed) != (before.task, before.seed):
        system.client.reset(before.room, before.task, before.seed, True)
        system.ready()


@pytest.mark.parametrize(("task", "words"), [
    ("open_drawer", "belongs to the office, not to the home"), ("juggle", "juggle")])
def test_a_task_that_is_not_of_this_room_changes_nothing(
        system: Any, room: Any, task: str, words: str) -> None:
    running = system.long_motion()
    here, limit = system.history()[-1][1][0], time.monotonic() + 5.0
    with pytest.raises(UserError, match=words):
        system.client.reset("home", task, 5, True)
    while abs(system.history()[-1][1][0] - here) < 0.1:
        assert time.monotonic() < limit, "what moved was stopped"
        time.sleep(0.02)
    running.cancel()
    running.result(system.client.stop_flag, 5.0, "it goes on")
    now = system.client.truth()
    assert (now.room, now.task, now.seed) == (room.room, room.task, room.seed)
    assert now.elapsed > room.elapsed
    assert system.do("go left").success


def test_a_room_is_laid_out_for_a_task_and_what_moves_is_ended(system: Any, room: Any) -> None:
    running, asked = system.long_motion(), time.monotonic()
    words = system.client.reset("", "put_mug_on_tray", 101, True)
    assert "tray" in words
    now = system.client.truth()
    assert (now.room, now.task, now.seed) == ("home", "put_mug_on_tray", 101)
    assert now.elapsed < time.monotonic() - asked and not now.success
    assert running.result(system.client.stop_flag, 5.0, "it goes on")[0] != SUCCEEDED
    system.ready()
    assert system.do("go middle").success


def test_an_instruction_does_not_go_on_in_another_room(system: Any, room: Any) -> None:
    goal = system.moving("wander")
    system.client.reset("", "put_mug_on_tray", 101, True)
    _, answer = goal.result(system.client.stop_flag, 5.0, "it goes on")
    assert "room was laid out anew" in answer.message and not answer.success
    for seed in (102, 103, 104):  # what is told of a reset before it ends no instruction
        system.client.reset("", "put_mug_on_tray", seed, True)
        result = system.do("go middle")
        assert result.success, result.message
