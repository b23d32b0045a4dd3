# SPDX-License-Identifier: Apache-2.0
"""A button on /wm/stop stops the arm, and only a person lets it go on."""
from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from wm_ros.bridge import times
from wm_ros.msg import Surprise
from wm_ros.nodes.monitor_node import MonitorNode


@pytest.fixture()
def heard(ros: None) -> Iterator[tuple[MonitorNode, list[bool]]]:
    """A monitor, and what it says on /wm/stopped."""
    monitor = MonitorNode()
    monitor.configure()
    told: list[bool] = []
    monitor._stopped_out.publish = lambda m: told.append(m.data)  # type: ignore[method-assign]
    yield monitor, told
    monitor.cleanup()
    monitor.destroy_node()


def test_a_monitor_that_comes_back_releases_nothing(
        heard: tuple[MonitorNode, list[bool]]) -> None:
    monitor, told = heard
    monitor.activate()
    assert told == [], "its forerunner's stop counts until somebody resumes"
    monitor._hear_stop(Bool(data=True))
    monitor.deactivate()
    monitor.activate()
    assert told == [True, True]


def test_a_monitor_that_is_not_active_lets_nothing_go_on(
        heard: tuple[MonitorNode, list[bool]], monkeypatch: pytest.MonkeyPatch) -> None:
    monitor, told = heard
    monitor._watch.close()
    monitor._watch = SimpleNamespace(  # type: ignore[assignment]
        present=lambda *_: True, state=lambda _: "active", close=lambda: None,
        silent=lambda *_: [])
    monitor.activate()
    monitor.deactivate()
    answer = monitor._resume_wanted(Trigger.Request(), Trigger.Response())
    assert not answer.success and "monitor node is not active" in answer.message
    monkeypatch.setattr(MonitorNode, "is_active", True)
    monitor.activate()
    assert monitor._resume_wanted(Trigger.Request(), Trigger.Response()).success
    assert told[-1] is False


def test_button_stops_and_cannot_release(heard: tuple[MonitorNode, list[bool]]) -> None:
    monitor, told = heard
    monitor._hear_stop(Bool(data=False))
    assert told == []
    monitor._hear_stop(Bool(data=True))
    assert told == [True]
    monitor._hear_stop(Bool(data=False))
    assert told == [True]
    answer = monitor._resume_wanted(Trigger.Request(), Trigger.Response())
    assert not answer.success and "not active" in answer.message


def test_a_stop_is_repeated_for_a_while_and_not_after_a_release(
        heard: tuple[MonitorNode, list[bool]]) -> None:
    """A stop between a goal's acceptance and its start finds nothing to stop."""
    monitor, _ = heard
    events: list[str] = []
    monitor._event_out.publish = lambda m: events.append(m.data)  # type: ignore[method-assign]
    monitor._look()
    assert events == [], "nobody asked for a stop"
    monitor._hear_stop(Bool(data=True))
    monitor._look()
    assert events == ["stop", "stop"]
    monitor._release("Resumed.")
    monitor._look()
    monitor._hear_stop(Bool(data=True))
    monitor._insists_until = time.monotonic() - 0.01
    monitor._look()
    assert events == ["stop"] * 3


def test_a_loss_is_noticed_on_a_machine_so_busy_that_heartbeats_are_never_fresh_at_once(
        heard: tuple[MonitorNode, list[bool]]) -> None:
    monitor, told = heard
    present = True
    monitor._watch.close()
    monitor._watch = SimpleNamespace(  # type: ignore[assignment]
        present=lambda *_: present, state=lambda _: "active", close=lambda: None,
        silent=lambda names, seconds: list(names) if seconds < 0.7 or not present else [])
    monitor._look()
    assert told == []
    present = False
    monitor._look()
    assert told == [True]
    present = True
    monitor._sees = lambda: True  # type: ignore[method-assign]
    monitor._look()
    assert told == [True], "what was lost is back only with a fresh word"


@pytest.mark.parametrize("order", [("person",), ("lost",), ("person", "lost"),
                                   ("lost", "person")], ids=" then ".join)
def test_a_persons_stop_outlives_the_return_of_a_lost_node(
        heard: tuple[MonitorNode, list[bool]], order: tuple[str, ...],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monitor, told = heard
    monkeypatch.setattr(MonitorNode, "is_active", True)
    monitor._watch.close()
    monitor._watch = SimpleNamespace(  # type: ignore[assignment]
        present=lambda *_: True, state=lambda _: "active", close=lambda: None,
        silent=lambda *_: [])
    monitor._sees = lambda: True  # type: ignore[method-assign]
    monitor._look()
    for what in order:
        if what == "person":
            monitor._hear_stop(Bool(data=True))
        else:
            monitor._lost(["perception"])
    for _ in range(3):
        monitor._look()
    assert told == ([True] if "person" in order else [True, False])
    assert ("on /wm/stop" in monitor._reason) == ("person" in order), "who reads it can end it"
    assert monitor._resume_wanted(Trigger.Request(), Trigger.Response()).success
    assert told[-1] is False


def test_a_monitor_that_is_deactivated_stops_the_arm(
        heard: tuple[MonitorNode, list[bool]]) -> None:
    monitor, told = heard
    events, cancelled = [], []
    monitor._event_out.publish = lambda m: events.append(m.data)  # type: ignore[method-assign]
    monitor._cancels = [SimpleNamespace(  # type: ignore[misc]
        service_is_ready=lambda: True, call_async=lambda _, name=name: cancelled.append(name))
        for name in ("arm", "gripper")]
    monitor.activate()
    monitor._complete = True
    monitor.deactivate()
    assert (told, events, cancelled) == ([True], ["stop"], ["arm", "gripper"])


def test_a_lost_press_of_a_reliable_button_comes_again(
        heard: tuple[MonitorNode, list[bool]]) -> None:
    monitor, _ = heard
    heard_by = monitor.get_subscriptions_info_by_topic("/wm/stop")
    assert {end.qos_profile.reliability for end in heard_by} == {
        ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT}


@pytest.mark.parametrize(("values", "stops"), [
    ([1.2, 1.2], False), ([1.2, 1.2, 1.2], True), ([1.2, 1.2, 0.5, 1.2, 1.2], False),
    ([1.2, 1.2, 0.5, 1.2, 1.2, 1.2], True), ([2.5], True)])
def test_surprises_in_a_row_stop_the_arm_and_a_normal_look_between_them_counts_anew(
        heard: tuple[MonitorNode, list[bool]], values: list[float], stops: bool) -> None:
    monitor, told = heard
    monitor.set_parameters([Parameter("safety.stop_on_surprise", value=True),
                            Parameter("safety.surprise_count", value=3),
                            Parameter("safety.surprise_at_once", value=2.0)])
    for value in values:
        assert told == []
        monitor._hear_surprise(Surprise(value=value, threshold=1.0))
    assert told == [True] * stops
    monitor._release("Resumed.")
    monitor._hear_surprise(Surprise(value=1.2, threshold=1.0))
    assert told[-1:] == [False], "what was before the release counts no more"


@pytest.mark.parametrize(("ahead", "word"), [(0.0, "ok"), (0.4, "clock is ahead by at least 0.")])
def test_a_cameras_clock_that_runs_ahead_is_told(heard: tuple[MonitorNode, list[bool]],
                                                 ahead: float, word: str) -> None:
    monitor, _ = heard
    for _ in range(20):
        stamp = times.stamp(monitor.now() + ahead)
        monitor._see(b"\x00\x01\x00\x00" + struct.pack("<iI", stamp.sec, stamp.nanosec))
        time.sleep(0.01)
    assert word in monitor._about_loop().message
