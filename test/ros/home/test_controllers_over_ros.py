# SPDX-License-Identifier: Apache-2.0
"""The controllers of the simulated robot refuse what a real one must refuse, in words."""
from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from control_msgs.action import FollowJointTrajectory, GripperCommand

from wm_ros.bridge import joints, times
from wm_ros.errors import UserError
from wm_ros.nodes.action_client import ActionClient
from wm_ros.nodes.clients import send

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]
Result = FollowJointTrajectory.Result


@pytest.fixture(scope="module")
def arm(system: Any) -> ActionClient:
    name = f"/{system.robot.controllers.arm}/follow_joint_trajectory"
    return ActionClient(system.client, FollowJointTrajectory, name)


def follow(system: Any, arm: ActionClient, change: str = "") -> tuple[int, str]:
    """Send a small motion of the last joint, changed in one way; error code and words."""
    q = system.history()[-1][1]
    t = np.array([0.0, 1.0])
    way = np.stack([q, q])
    way[1, 6] += 0.1
    names = list(system.robot.arm_joints)
    if change == "nan":
        way[1, 3] = np.nan
    elif change == "range":
        way[1, 6], t[1] = 4.0, 20.0
    elif change == "speed":
        way[1, 6], t[1] = way[0, 6] + 1.0, 0.2
    elif change == "away":
        way += 0.3
    elif change == "names":
        names[0] = "other_joint"
    elif change == "missing":
        names, way = names[1:], way[:, 1:]
    goal = FollowJointTrajectory.Goal(trajectory=joints.to_trajectory(
        joints.JointPath(tuple(names), t, way, None, None)))
    if change == "old":
        goal.trajectory.header.stamp = times.stamp(time.time() - 60.0)
    running = send(arm, goal, "arm", system.client.stop_flag, 5.0)
    _, result = running.result(system.client.stop_flag, 10.0, "no result")
    return int(result.error_code), str(result.error_string)


def test_sound_trajectory_is_driven(system: Any, arm: ActionClient) -> None:
    system.ready()
    before = system.history()[-1][1]
    assert follow(system, arm) == (Result.SUCCESSFUL, "")
    time.sleep(0.1)
    assert system.history()[-1][1][6] - before[6] == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(("change", "code"), [
    ("nan", Result.INVALID_GOAL), ("range", Result.INVALID_GOAL), ("speed", Result.INVALID_GOAL),
    ("away", Result.INVALID_GOAL), ("names", Result.INVALID_JOINTS),
    ("missing", Result.INVALID_JOINTS), ("old", Result.OLD_HEADER_TIMESTAMP)])
def test_unsound_trajectory_is_refused_and_moves_nothing(
        system: Any, arm: ActionClient, change: str, code: int) -> None:
    system.ready()
    before = system.history()[-1][1]
    got, words = follow(system, arm, change)
    assert got == code
    assert words.endswith(".")
    time.sleep(0.1)
    assert np.abs(system.history()[-1][1] - before).max() < 2e-3


def test_gripper_closes_and_opens(system: Any) -> None:
    name = f"/{system.robot.controllers.gripper}/gripper_cmd"
    client = ActionClient(system.client, GripperCommand, name)
    for width in (0.0, 0.04):  # one finger's way
        goal = GripperCommand.Goal()
        goal.command.position, goal.command.max_effort = width, 20.0
        running = send(client, goal, "gripper", system.client.stop_flag, 5.0)
        _, result = running.result(system.client.stop_flag, 5.0, "no result")
        assert result.reached_goal
        assert result.position == pytest.approx(width, abs=0.005)


@pytest.mark.parametrize("value", ["position", "max_effort"])
def test_a_gripper_command_that_is_no_number_is_refused_and_moves_nothing(
        system: Any, value: str) -> None:
    client = ActionClient(system.client, GripperCommand, system.robot.controllers.gripping)
    before, deadline = 0.0, time.monotonic() + 10
    while not before:  # the fingers come to rest a little after they have arrived
        time.sleep(0.3)
        now = system.history()[-1][0]
        widths = [width for width, _ in system.widths(now - 0.3)]
        assert time.monotonic() < deadline
        before = now if widths and np.ptp(widths) < 1e-4 else 0.0
    goal = GripperCommand.Goal()
    setattr(goal.command, value, np.nan)
    with pytest.raises(UserError, match="refused the goal"):
        send(client, goal, "the gripper", system.client.stop_flag, 5.0)
    time.sleep(0.2)
    widths = [width for width, _ in system.widths(before)]
    assert widths and np.ptp(widths) < 1e-3


def slow_motion(system: Any, arm: ActionClient) -> Any:
    """A running motion of the first joint that takes four seconds."""
    q = system.history()[-1][1]
    way = np.stack([q, q])
    way[1, 0] += -0.8 if q[0] > 0 else 0.8
    goal = FollowJointTrajectory.Goal(trajectory=joints.to_trajectory(joints.JointPath(
        system.robot.arm_joints, np.array([0.0, 4.0]), way, None, None)))
    running = send(arm, goal, "arm", system.client.stop_flag, 5.0)
    time.sleep(1.5)
    assert not running.done
    return running


def test_a_refused_trajectory_leaves_the_running_one_in_charge(
        system: Any, arm: ActionClient) -> None:
    system.ready()
    running = slow_motion(system, arm)
    assert follow(system, arm, "away")[0] == Result.INVALID_GOAL
    assert not running.done
    running.cancel()
    running.result(system.client.stop_flag, 5.0, "no result")
    rested = system.history()[-1][1]
    time.sleep(0.3)
    assert np.abs(system.history()[-1][1] - rested).max() < 5e-3, "who cancels stops the arm"


def test_a_moving_arm_takes_no_trajectory_that_starts_at_rest(
        system: Any, arm: ActionClient) -> None:
    system.ready()
    running = slow_motion(system, arm)
    code, words = follow(system, arm)
    assert code == Result.INVALID_GOAL and "moving" in words
    running.cancel()
    running.result(system.client.stop_flag, 5.0, "no result")
    assert follow(system, arm)[0] == Result.SUCCESSFUL
