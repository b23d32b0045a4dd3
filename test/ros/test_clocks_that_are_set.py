# SPDX-License-Identifier: Apache-2.0
"""Clocks that stop, are set, or jump back: what waits goes on, what is missing is told."""
from __future__ import annotations

import math
import struct
import threading
import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from std_msgs.msg import Header

from wm_ros.bridge import times
from wm_ros.msg import Observation
from wm_ros.nodes import monitor_node, perception_node, simulation_loop
from wm_ros.nodes.imagination import ImaginationNode
from wm_ros.nodes.monitor_node import MonitorNode
from wm_ros.nodes.perception_node import PerceptionNode
from wm_ros.nodes.planning_run import Run
from wm_ros.nodes.simulation_loop import Loop, Rates
from wm_ros.robot import load_robot

ERROR = DiagnosticStatus.ERROR


def later(steady: float = 0.0, wall: float = 0.0) -> Any:
    """Stands in for the module ``time``, with clocks that are so many seconds ahead."""
    return SimpleNamespace(monotonic=lambda: time.monotonic() + steady,
                           time=lambda: time.time() + wall)


def with_sim_time(node: Any) -> Any:
    node.set_parameters([Parameter("use_sim_time", value=True)])
    return node


def test_observations_are_missed_though_the_ros_clock_stopped_with_them(
        ros: None, monkeypatch: pytest.MonkeyPatch) -> None:
    node = with_sim_time(MonitorNode())
    try:
        node.trigger_configure()
        for _ in range(5):
            node._see(struct.pack("<xBxxiI", 1, 0, 0))
            time.sleep(0.01)
        assert node._sees() and node._about_loop().level != ERROR
        monkeypatch.setattr(monitor_node, "time", later(steady=4.0))
        assert not node._sees()
        assert node._about_loop().level == ERROR
    finally:
        node.stop()
        node.destroy_node()


def test_sensors_are_missed_though_the_ros_clock_stopped_with_them(
        ros: None, monkeypatch: pytest.MonkeyPatch) -> None:
    node, told = with_sim_time(PerceptionNode()), []
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        node.trigger_configure()
        node._diagnostics.publish = told.append
        node.trigger_activate()
        monkeypatch.setattr(perception_node, "time", later(steady=4.0))
        limit = time.monotonic() + 3.0
        while not told and time.monotonic() < limit:
            executor.spin_once(0.1)
        assert told and told[0].status[0].level == ERROR
    finally:
        node.stop()
        node.destroy_node()


def test_surprise_is_told_again_after_a_clock_that_jumped_back() -> None:
    judged: list[float] = []
    node: Any = SimpleNamespace(
        _news=threading.Condition(), _foretold=None, _compared=-math.inf, is_active=True,
        value=lambda _: True, number=lambda _: 10.0, _show_key_poses=Mock(), _update_speed=Mock(),
        _rollout_out=Mock(get_subscription_count=lambda: 0), _shown=-math.inf, _judge=None,
        worker=lambda _judge, told, _message: judged.append(told.seen),
        _decider=Mock(), _with_model=lambda *_: SimpleNamespace(times=[0.8]))
    for looked, heard in ((100.0, (100.1, 40.0)), (40.0, (40.1, 40.8))):
        node._compared = -math.inf
        ImaginationNode._afterwards(node, "state", "chunk", "go", Mock(id="1"),
                                    Mock(stamp=looked))
        for stamp in heard:
            ImaginationNode._observe(node, Observation(header=Header(stamp=times.stamp(stamp))))
    assert judged == [40.0]


def test_nobody_sleeps_as_long_as_a_clock_jumps_back() -> None:
    run, slept = Mock(), []
    moments = iter([100.0, 100.05, 40.0])
    run.body.now = lambda: next(moments)
    run.stop.sleep = slept.append
    Run._sleep_until(run, 100.2)
    assert slept == [0.05, 0.05]


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
def test_stamps_of_the_simulator_follow_a_clock_that_is_set(
        seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(load_robot(), Rates(500.0, 100.0, 10.0, 1.0), Mock(), Mock())
    loop.sim = SimpleNamespace(time=5.0)
    loop._align()
    before = loop.motion_time
    monkeypatch.setattr(simulation_loop, "time", later(wall=seconds))
    began = time.monotonic()
    loop._wait()
    assert abs(loop.now - (time.time() + seconds)) < 0.1
    assert loop.motion_time == before and time.monotonic() - began < 1.0
