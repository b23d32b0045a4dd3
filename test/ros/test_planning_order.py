# SPDX-License-Identifier: Apache-2.0
"""Of several instructions only the newest is carried out, and none after it was cancelled."""
from __future__ import annotations

import math
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from wm_ros.action import ExecuteInstruction
from wm_ros.nodes.clients import StopFlag
from wm_ros.nodes.parameters import PLANNING, SAFETY
from wm_ros.nodes.planning_node import PlanningNode
from wm_ros.nodes.planning_run import Report


class Handle:
    """A goal of /wm/execute_instruction."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.is_cancel_requested, self.ended, self.begun = seconds, False, "", False

    def succeed(self) -> None:
        self.ended = "succeeded"

    def abort(self) -> None:
        self.ended = "aborted"

    def canceled(self) -> None:
        self.ended = "cancelled"


class Planning(PlanningNode):
    """Its order of instructions alone: a run is a wait."""

    is_active = True  # type: ignore[assignment]

    def __init__(self) -> None:
        self._run_lock, self._order = threading.Lock(), threading.Lock()
        self._stop = self._newest = None
        self.rests = 0
        self.body: Any = SimpleNamespace(cancel_motion=lambda: None, rest=self._rest)
        self._words_out = SimpleNamespace(publish=lambda _: None)

    def _rest(self) -> None:
        self.rests += 1

    def now(self) -> float:
        return time.monotonic()

    def _prepared_run(self, handle: Handle, stop: StopFlag) -> Any:  # type: ignore[override]
        def execute() -> str:
            handle.begun = True
            stop.sleep(handle.seconds)
            return "Done."
        return SimpleNamespace(report=Report(), execute=execute)


@pytest.fixture()
def planning() -> Planning:
    return Planning()


def start(planning: Planning, *seconds: float) -> list[tuple[Handle, threading.Thread]]:
    started = []
    for one in seconds:
        handle = Handle(one)
        thread = threading.Thread(target=planning._body, args=(handle,), daemon=True)
        thread.start()
        started.append((handle, thread))
        time.sleep(0.1)
    return started


def test_instructions_that_wait_for_a_run_give_way_to_the_newest(planning: Planning) -> None:
    with planning._run_lock:  # the run before has not come to rest yet
        (second, _), (third, thread) = start(planning, 5.0, 0.1)
    thread.join(5.0)
    assert (second.ended, third.ended) == ("aborted", "succeeded")
    assert not second.begun


def test_a_newer_instruction_ends_the_running_one_at_once(planning: Planning) -> None:
    (first, _), (second, thread) = start(planning, 20.0, 0.1)
    thread.join(5.0)
    assert (first.ended, second.ended) == ("aborted", "succeeded")


def test_an_instruction_is_cancelled_while_it_waits(planning: Planning) -> None:
    with planning._run_lock:
        [(handle, thread)] = start(planning, 5.0)
        handle.is_cancel_requested = True
        time.sleep(0.1)
    thread.join(5.0)
    assert handle.ended == "cancelled" and not handle.begun


def test_an_instruction_that_is_broken_off_ends_once_the_arm_rests(planning: Planning) -> None:
    [(handle, thread)] = start(planning, 20.0)
    handle.is_cancel_requested = True
    thread.join(5.0)
    assert handle.ended == "cancelled" and planning.rests == 1


@pytest.mark.parametrize(("asked", "given"), [(12.0, 12.0), (0.0, 60.0), (math.nan, 60.0)])
def test_an_instruction_without_a_sound_limit_takes_the_nodes(asked: float, given: float) -> None:
    class Node(Planning):
        def value(self, name: str) -> Any:
            return {p.name: p.default for p in (*PLANNING, *SAFETY)}[name]

    request = ExecuteInstruction.Goal(instruction="go", time_limit=asked)
    assert Node()._settings(request).time_limit == given
