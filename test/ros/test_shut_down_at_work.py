# SPDX-License-Identifier: Apache-2.0
"""`ros2 lifecycle set NODE shutdown` while the arm moves: the node stops, and stays ended."""
from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_srvs.srv import Trigger

from wm_ros.nodes.base import come_to_rest
from wm_ros.nodes.clients import call

pytestmark = [pytest.mark.ros, pytest.mark.timeout(180)]


@pytest.mark.parametrize("name", ["perception", "imagination", "planning", "monitor",
                                  "move_group", "simulation"])
def test_a_node_that_is_shut_down_at_work_stays_so(system: Any, name: str) -> None:
    system.ready()
    ask = system.client.create_client(ChangeState, f"/{name}/change_state")
    pid = system.supervisor.pid(name)
    system.moving("go right")
    request = ChangeState.Request(
        transition=Transition(id=Transition.TRANSITION_ACTIVE_SHUTDOWN))
    assert call(ask, request, system.client.stop_flag, 20.0).success
    time.sleep(2.0)  # what was running meanwhile has ended, too
    assert system.client._states[name][0] == "finalized"
    assert system.supervisor.pid(name) == pid
    if name != "simulation":  # which tells nothing any more
        assert system.held(time.time()) < 0.1
    os.kill(pid, signal.SIGKILL)
    if name == "monitor":  # a new one does not know whose stop it is
        resume = system.client.create_client(Trigger, "/wm/resume")
        flag = system.client.stop_flag
        flag.until(lambda: call(resume, Trigger.Request(), flag, 20.0).success, 20.0, "no")
    system.ready(60.0)
    result = system.do("go left")
    assert result.success, result.message


def test_a_node_that_is_to_end_hears_on_until_what_it_moves_has_come_to_rest() -> None:
    done: list[str] = []
    node = SimpleNamespace(rest=lambda: done.append("rest"), at_work=lambda: len(done) < 4)
    executor = SimpleNamespace(spin_once=lambda seconds: done.append("turn"))
    come_to_rest(node, executor)  # type: ignore[arg-type]
    assert done == ["rest", "turn", "turn", "turn"]
