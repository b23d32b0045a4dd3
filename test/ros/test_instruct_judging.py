# SPDX-License-Identifier: Apache-2.0
"""Whose word `wm instruct` believes: the simulator's on its own task, else the nodes'."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from wm_ros import instruct
from wm_ros.action import ExecuteInstruction
from wm_ros.sim.tasks import task_class

SEED = 101


class Client:
    """A room in which the task is, or becomes, done while the nodes work for some looks."""

    def __init__(self, task: str, done: list[bool]) -> None:
        self.room, self.task, self.done = task_class(task).room, task, done
        self.feedback, self.stop_flag = ExecuteInstruction.Feedback(), None

    def known_truth(self) -> Any:
        success = self.done.pop(0) if len(self.done) > 1 else self.done[0]
        return SimpleNamespace(room=self.room, task=self.task, seed=SEED, success=success)

    def process(self, _name: str) -> tuple[str, int]:
        return "here", 1

    def missing(self, _names: list[str]) -> list[str]:
        return []


class Goal:
    """An instruction that the nodes end by themselves, or that somebody cancels."""

    def __init__(self, looks: int, success: bool) -> None:
        self.looks, self.success, self.cancelled = looks, success, False

    @property
    def done(self) -> bool:
        self.looks -= 1
        return self.looks < 0 or self.cancelled

    def cancel(self) -> None:
        self.cancelled = True

    def result(self, *_: Any) -> Any:
        return 4, SimpleNamespace(success=self.success, duration=1.0, chunks_executed=1,
                                  message="It ended.")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruct, "TRULY_DONE", 0.1)


def instructed(client: Client, words: str, goal: Goal, dry_run: bool = False) -> int:
    judge = instruct.judge_of(client, words, dry_run)  # type: ignore[arg-type]
    judge()
    return instruct.follow(client, goal, judge)  # type: ignore[arg-type]


@pytest.mark.parametrize(("words", "done", "dry_run"), [
    ("open the cabinet door", [True], False),  # the mug's task was done before, this is another
    ("open the cabinet door", [False], False),
    ("put the mug on the tray", [True], False),  # done before, so the room tells nothing
    ("put the mug on the tray", [False], True),  # a plan moves no mug
])
@pytest.mark.parametrize("success", [True, False])
def test_the_nodes_are_believed_where_the_simulator_does_not_judge_these_words(
        words: str, done: list[bool], dry_run: bool, success: bool,
        capsys: pytest.CaptureFixture[str]) -> None:
    goal = Goal(25, success)  # looked at for more than a second
    assert instructed(Client("put_mug_on_tray", done), words, goal, dry_run) == (not success)
    assert not goal.cancelled
    assert "simulator" not in capsys.readouterr().err


def test_the_simulator_is_believed_on_its_own_task(capsys: pytest.CaptureFixture[str]) -> None:
    goal = Goal(1000, False)  # undecided for ever
    client = Client("put_mug_on_tray", [False, False, True])
    assert instructed(client, "put the mug on the tray", goal) == 0
    assert goal.cancelled and "finds the task done" in capsys.readouterr().err
    assert instructed(Client("put_mug_on_tray", [False]), "put the mug on the tray",
                      Goal(3, True)) == 1


def test_another_variant_of_the_task_is_another_task() -> None:
    there = task_class("press_button")(SEED, "held_out").slots()["color"]
    other = next(color for color in ("red", "green", "blue") if color != there)
    for color, status in ((there, 1), (other, 0)):
        goal = Goal(3, True)
        client = Client("press_button", [False])
        assert instructed(client, f"press the {color} button", goal) == status
