# SPDX-License-Identifier: Apache-2.0
"""A node that dies while the arm moves: the arm holds at once, the system comes back by itself."""
from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.timeout(280)]
BACK = 60.0  # s; how long it really takes is printed and depends on the machine


def killed(system: Any, name: str) -> float:
    """Kill a node while the arm moves, and see that an instruction is carried out again; seconds
    after which the arm held."""
    done(system, time.monotonic())
    if name == "monitor":  # instructions alone need it
        system.set("planning", "horizon", 16)
        system.moving("go right")
    else:
        system.long_motion()
    when, begin = time.time(), time.monotonic()
    os.kill(process(system, name), signal.SIGKILL)
    held = 0.0 if name == "simulation" else system.held(when)  # there the arm is gone, too
    print(f"{name}: the arm held after {held:.3f} s, ready after {done(system, begin):.1f} s")
    return held


def process(system: Any, name: str) -> int:
    """Number of the process that runs the node: of `imagination` it is a child."""
    pid = int(system.supervisor.pid(name))
    if name != "imagination":
        return pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def done(system: Any, begin: float) -> float:
    """Seconds from ``begin`` on until an instruction is taken that then succeeds."""
    system.ready(BACK)
    while True:
        sent = time.monotonic()
        result = system.do("go left")
        if result.success:
            return sent - begin
        assert sent - begin < BACK, result.message
        time.sleep(0.5)


@pytest.mark.parametrize(
    "name", ["perception", "imagination", "planning", "move_group", "monitor"])
def test_arm_holds_and_system_returns_after_this_node_is_killed(system: Any, name: str) -> None:
    system.holds_soon(lambda: killed(system, name))


def test_simulation_comes_back_after_it_is_killed(system: Any) -> None:
    killed(system, "simulation")
