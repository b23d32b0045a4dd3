# SPDX-License-Identifier: Apache-2.0
"""A node that hangs but lives, while a long motion runs: the arm is stopped all the same."""
from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from wm_ros.nodes.parameters import SAFETY

pytestmark = [pytest.mark.ros, pytest.mark.timeout(200)]
TIMEOUT = next(float(p.default) for p in SAFETY if p.name == "safety.heartbeat_timeout")
SLACK = 1.0  # s, on a busy machine; the period of the heartbeats and the braking are in it


def hanging(system: Any, name: str) -> Any:
    """Let a node hang while the arm moves, and see that the arm holds; the goal of its motion."""
    system.ready()
    assert system.do("go left").success, "all nodes work together"
    # the monitor, which instructions alone need, is missed by the planning node
    running = system.moving("go right") if name == "monitor" else system.long_motion()
    pid, when = system.supervisor.pid(name), time.time()
    os.kill(pid, signal.SIGSTOP)
    try:
        held = system.held(when, TIMEOUT + SLACK + 1.0)
        print(f"{name}: the arm held after {held:.2f} s")
        assert system.client.stopped == (name != "monitor") and running.done
        assert 0.5 * TIMEOUT < held < TIMEOUT + SLACK
    finally:
        os.kill(pid, signal.SIGCONT)
    system.ready(60.0)
    assert system.supervisor.pid(name) == pid, "it was not restarted"
    return running


@pytest.mark.parametrize("name", ["perception", "planning"])
def test_the_arm_stops_when_a_node_hangs_whose_process_lives(system: Any, name: str) -> None:
    hanging(system, name)


def test_an_instruction_ends_when_the_monitor_hangs(system: Any) -> None:
    result = hanging(system, "monitor").result(system.client.stop_flag, 5.0, "no result")[1]
    assert not result.success and "monitor node was lost" in result.message
