# SPDX-License-Identifier: Apache-2.0
"""A node that dies while the arm moves: the arm holds at once, the system comes back by itself."""
from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]
HOLD = 0.3  # s
READY = 5.0  # s
MOVING = 0.02  # rad/s


@pytest.mark.parametrize(
    "name", ["perception", "imagination", "planning", "move_group", "monitor"])
def test_arm_holds_and_system_returns_after_this_node_is_killed(system: Any, name: str) -> None:
    system.ready()
    system.do("go left")
    system.moving("go right")
    killed = time.time()
    os.kill(system.supervisor.pid(name), signal.SIGKILL)
    time.sleep(0.05)
    begin = time.monotonic()
    time.sleep(1.0)
    moving = [t for t, _, dq in system.history() if t > killed and np.abs(dq).max() > MOVING]
    held = max(moving, default=killed) - killed
    system.ready(30.0)
    back = time.monotonic() - begin
    print(f"{name}: the arm held after {held:.3f} s, ready after {back:.1f} s")
    assert held < HOLD
    assert back < READY
    again = system.do("go left")
    assert again.success, again.message


def test_simulation_comes_back_after_it_is_killed(system: Any) -> None:
    system.ready()
    system.do("go left")
    system.moving("go right")
    os.kill(system.supervisor.pid("simulation"), signal.SIGKILL)
    begin = time.monotonic()
    time.sleep(1.2)  # until its last heartbeat is old
    system.ready(30.0)
    assert time.monotonic() - begin < READY
    again = system.do("go left")
    assert again.success, again.message
