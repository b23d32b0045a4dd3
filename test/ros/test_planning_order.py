# SPDX-License-Identifier: Apache-2.0
"""Of several instructions only the newest is carried out, and none after it was cancelled or the
monitor stopped the arm or was lost."""
from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from moveit_msgs.msg import CollisionObject, PlanningScene
from std_msgs.msg import Bool

from wm_ros.action import ExecuteInstruction
from wm_ros.bridge import times
from wm_ros.bridge.furniture import stamped
from wm_ros.errors import UserError
from wm_ros.nodes.clients import StopFlag
from wm_ros.nodes.parameters import PLANNING, SAFETY
from wm_ros.nodes.planning_node import PlanningNode
from wm_ros.nodes.planning_run import Report


class Handle:
    """A goal of /wm/execute_instruction."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.is_cancel_requested, self.ended, self.begun = seconds, False, "", False
        self.request = SimpleNamespace(instruction="put the mug on the tray")

    def succeed(self) -> None:
        self.ended = "succeeded"

    def abort(self) -> None:
        self.ended = "aborted"

    def canceled(self) -> None:
        self.ended = "cancelled"


class Planning(PlanningNode):
    """Its order of instructions alone: a run is a wait."""

    is_active = True  # type: ignore[assignment]
    moves = True

    def __init__(self) -> None:
        self._run_lock, self._order = threading.Lock(), threading.Lock()
        self._stop = self._newest = None
        self._stopped = self._has_monitor = False
        self._began = math.inf
        self.body: Any = Mock()
        self._words_out = SimpleNamespace(publish=lambda _: None)
        self.monitor = "active"  # its state, and whether it is heard
        self.heard = self.required = True
        self._watch: Any = SimpleNamespace(
            state=lambda _: self.monitor,
            present=lambda *_: self.heard and self.monitor == "active")

    def value(self, name: str) -> Any:
        values = {p.name: p.default for p in (*PLANNING, *SAFETY)}
        return {**values, "safety.require_monitor": self.required,
                "safety.heartbeat_timeout": 0.2}[name]

    def now(self) -> float:
        return time.monotonic()

    def _prepared_run(self, handle: Handle, stop: StopFlag) -> Any:  # type: ignore[override]
        def execute() -> str:
            self.body.touched = self.moves
            self._began = self.now()
            handle.begun = self._has_monitor = True
            stop.sleep(handle.seconds)
            return "Done."
        return SimpleNamespace(report=Report(), execute=execute)


@pytest.fixture()
def planning() -> Planning:
    return Planning()


def eventually(condition: Callable[[], Any]) -> None:
    limit = time.monotonic() + 5.0
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.002)


def start(planning: Planning, *seconds: float) -> list[tuple[Handle, threading.Thread]]:
    """Instructions that take so long, each one once the one before has been taken."""
    started = []
    for one in seconds:
        handle, before = Handle(one), planning._newest
        thread = threading.Thread(target=planning._body, args=(handle,), daemon=True)
        thread.start()
        started.append((handle, thread))
        eventually(lambda before=before: planning._newest is not before)
    return started


def test_instructions_that_wait_for_a_run_give_way_to_the_newest(planning: Planning) -> None:
    with planning._run_lock:  # the run before has not come to rest yet
        (second, waits), (third, thread) = start(planning, 5.0, 0.1)
    waits.join(5.0)
    thread.join(5.0)
    assert (second.ended, third.ended) == ("aborted", "succeeded")
    assert not second.begun


def test_a_newer_instruction_ends_the_running_one_at_once(planning: Planning) -> None:
    [(first, ends)] = start(planning, 20.0)
    eventually(lambda: first.begun)
    [(second, thread)] = start(planning, 0.1)
    ends.join(5.0)
    thread.join(5.0)
    assert (first.ended, second.ended) == ("aborted", "succeeded")


def test_an_instruction_that_cannot_run_takes_nobodys_place(planning: Planning) -> None:
    [(first, ends)] = start(planning, 0.3)
    eventually(lambda: first.begun)
    wordless = Handle(0.1)
    wordless.request.instruction = " "
    assert "is empty" in planning._body(wordless).message and wordless.ended == "aborted"
    ends.join(5.0)
    assert first.ended == "succeeded" and not planning.body.cancel_motion.called
    planning.is_active = False  # type: ignore[misc]
    assert "not active" in planning._body(Handle(0.1)).message


def test_an_instruction_is_cancelled_while_it_waits(planning: Planning) -> None:
    with planning._run_lock:
        [(handle, thread)] = start(planning, 5.0)
        handle.is_cancel_requested = True
        eventually(lambda: planning._newest)  # it was told
    thread.join(5.0)
    assert handle.ended == "cancelled" and not handle.begun


def test_an_instruction_that_is_broken_off_ends_once_the_arm_rests(planning: Planning) -> None:
    [(handle, thread)] = start(planning, 20.0)
    eventually(lambda: handle.begun)
    handle.is_cancel_requested = True
    thread.join(5.0)
    assert handle.ended == "cancelled" and planning.body.rest.call_count == 1
    assert not planning._has_monitor, "the next one waits for it again"


def test_an_instruction_that_moved_nothing_stops_nobody(planning: Planning) -> None:
    """A dry run, unknown words: what the arm does is somebody else's."""
    planning.moves = False
    [(handle, thread)] = start(planning, 20.0)
    planning._newest.set("No path was found.")  # type: ignore[union-attr]
    thread.join(5.0)
    assert handle.ended == "aborted"
    assert not planning.body.rest.called and not planning.body.cancel_motion.called


def stopped_by_the_monitor(planning: Planning) -> None:
    planning._hear_stopped(Bool(data=True))


def monitor_hangs(planning: Planning) -> None:
    planning.heard = False
    planning._look()


def monitor_is_deactivated(planning: Planning) -> None:
    planning.monitor = "inactive"
    planning._look()


def running(planning: Planning) -> Callable[[], Any]:
    """Start an instruction; the rest is its result."""
    handle, results = Handle(20.0), []
    thread = threading.Thread(target=lambda: results.append(planning._body(handle)), daemon=True)
    thread.start()
    eventually(lambda: handle.begun)

    def result() -> Any:
        thread.join(5.0)
        assert handle.ended == "aborted"
        return results[0]
    return result


@pytest.mark.parametrize(("happens", "words"), [
    (stopped_by_the_monitor, "stopped by the monitor"),
    (monitor_hangs, "monitor node was lost"), (monitor_is_deactivated, "monitor node was lost"),
    (lambda planning: planning._monitor_lost(["monitor"]), "monitor node was lost")],
    ids=["stop", "hangs", "deactivated", "died"])
def test_the_arm_is_stopped_at_once_and_the_instruction_ends(
        planning: Planning, happens: Callable[[Planning], None], words: str) -> None:
    result = running(planning)
    planning._look()
    planning._hear_stopped(Bool(data=False))
    planning.body.cancel_motion.assert_not_called()
    happens(planning)
    planning.body.cancel_motion.assert_called_once_with()
    assert words in result().message and not result().success


def hear_room(planning: Planning, when: float) -> None:
    """The room's furniture comes, laid out then (s; 0: it does not say)."""
    scene = PlanningScene()
    scene.world.collision_objects = [CollisionObject(id="table")]
    planning._hear_room(stamped(scene, times.stamp(when)))


def test_a_room_that_is_laid_out_anew_ends_the_instruction(planning: Planning) -> None:
    result = running(planning)
    waiting = planning._newest = StopFlag()
    hear_room(planning, planning.now() + 1e-3)
    planning.body.cancel_motion.assert_called_once_with()
    ended = result()
    assert "room was laid out anew" in ended.message and not ended.success
    assert not waiting, "it was given for the new room"


@pytest.mark.parametrize("ago", [0.01, 60.0, None], ids=["just before", "long ago", "unknown"])
def test_the_room_in_which_an_instruction_began_may_be_told_late(
        planning: Planning, ago: float | None) -> None:
    when = 0.0 if ago is None else planning.now() - ago
    result = running(planning)
    hear_room(planning, when)
    planning.body.cancel_motion.assert_not_called()
    planning._halt("The test ends.")
    assert "The test ends" in result().message
    planning._stop = StopFlag()  # of the next one, which looks for its room yet
    hear_room(planning, planning.now())
    assert not planning._stop


@pytest.mark.parametrize("loses", [
    monitor_hangs, lambda planning: planning._monitor_lost(["monitor"])], ids=["hangs", "died"])
def test_who_needs_no_monitor_goes_on_without_it(
        planning: Planning, loses: Callable[[Planning], None]) -> None:
    planning.required = False
    result = running(planning)
    loses(planning)
    planning.body.cancel_motion.assert_not_called()
    planning._halt("The test ends.")
    assert "The test ends" in result().message


@pytest.mark.parametrize("state", ["missing", "active"], ids=["never heard of", "not of late"])
def test_a_run_that_still_waits_for_the_monitor_does_not_miss_it(
        planning: Planning, state: str) -> None:
    """A planning node that was just set up, or hung, has the monitor's words still before it."""
    planning.heard, planning.monitor, planning._stop = False, state, StopFlag()
    planning._look()
    assert not planning._stop
    planning.body.cancel_motion.assert_not_called()


@pytest.mark.parametrize("required", [True, False])
def test_without_a_monitor_nothing_begins_unless_none_is_needed(
        planning: Planning, required: bool) -> None:
    planning.heard, planning.required = False, required
    planning.body.width_now.return_value, planning.body.now.return_value = 0.08, 0.0
    handle = SimpleNamespace(request=ExecuteInstruction.Goal(instruction="go"))
    if not required:
        assert PlanningNode._prepared_run(planning, handle, StopFlag()).instruction == "go"
        assert planning._has_monitor
        assert planning._began <= planning.now(), "a room laid out from now on is another one"
        return
    with pytest.raises(UserError, match="monitor node is missing"):
        PlanningNode._prepared_run(planning, handle, StopFlag())
    assert not planning.body.mock_calls, "nothing was asked of the arm"


@pytest.mark.parametrize(("asked", "given"), [(12.0, 12.0), (0.0, 60.0), (math.nan, 60.0)])
def test_an_instruction_without_a_sound_limit_takes_the_nodes(
        planning: Planning, asked: float, given: float) -> None:
    request = ExecuteInstruction.Goal(instruction="go", time_limit=asked)
    assert planning._settings(request).time_limit == given
