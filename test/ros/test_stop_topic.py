# SPDX-License-Identifier: Apache-2.0
"""A button on /wm/stop stops the arm, and only a person lets it go on."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from wm_ros.nodes.monitor_node import MonitorNode


@pytest.fixture()
def heard(ros: None) -> Iterator[tuple[MonitorNode, list[bool]]]:
    """A monitor, and what it says on /wm/stopped."""
    monitor = MonitorNode()
    monitor.configure()
    told: list[bool] = []
    monitor._stopped_out.publish = lambda m: told.append(m.data)  # type: ignore[method-assign]
    yield monitor, told
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
