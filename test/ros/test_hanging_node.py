# SPDX-License-Identifier: Apache-2.0
"""A node that hangs but lives, while a long motion runs: the monitor notices and stops the arm."""
from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import pytest
from moveit_msgs.action import MoveGroup
from moveit_msgs.msg import Constraints, JointConstraint

from wm_ros.nodes.action_client import ActionClient
from wm_ros.nodes.clients import send
from wm_ros.nodes.parameters import SAFETY

pytestmark = [pytest.mark.ros, pytest.mark.timeout(200)]
TIMEOUT = next(float(p.default) for p in SAFETY if p.name == "safety.heartbeat_timeout")
SLACK = 1.0  # s, on a busy machine; the period of the heartbeats and the braking are in it
MOVING = 0.02  # rad/s


def long_motion(system: Any) -> Any:
    """A goal of MoveIt whose motion takes some ten seconds and asks no node of this suite."""
    goal = MoveGroup.Goal()
    goal.request.group_name = system.robot.planning_group
    goal.request.max_velocity_scaling_factor = 0.05
    joint, present = system.robot.arm_joints[0], system.history()[-1][1][0]
    goal.request.goal_constraints = [Constraints(joint_constraints=[JointConstraint(
        joint_name=joint, position=float(present - np.sign(present or 1.0)), weight=1.0)])]
    mover = ActionClient(system.client, MoveGroup, "/move_action")
    sent = send(mover, goal, "/move_action", system.client.stop_flag, 10.0)
    limit = time.monotonic() + 10.0
    while system.speed() < 0.05:
        assert time.monotonic() < limit, "the arm did not move"
        time.sleep(0.01)
    return sent


@pytest.mark.parametrize("name", ["perception", "planning"])
def test_the_arm_stops_when_a_node_hangs_whose_process_lives(system: Any, name: str) -> None:
    system.ready()
    assert system.do("go left").success, "all nodes work together"
    running = long_motion(system)
    pid, when = system.supervisor.pid(name), time.time()
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(TIMEOUT + SLACK + 1.0)
        moving = [t for t, _, dq in system.history() if t > when and np.abs(dq).max() > MOVING]
        held = max(moving, default=when) - when
        print(f"{name}: the arm held after {held:.2f} s")
        assert system.client.stopped and running.done
        assert 0.5 * TIMEOUT < held < TIMEOUT + SLACK
    finally:
        os.kill(pid, signal.SIGCONT)
    system.ready(60.0)
    assert system.supervisor.pid(name) == pid, "it was not restarted"
