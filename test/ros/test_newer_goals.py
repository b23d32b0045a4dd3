# SPDX-License-Identifier: Apache-2.0
"""A goal that is cancelled while a newer one begins does not stop the newer one; without ROS."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from control_msgs.action import FollowJointTrajectory, GripperCommand

from wm_ros.bridge import joints
from wm_ros.nodes import simulation_controllers
from wm_ros.nodes.parameters import SIMULATION
from wm_ros.nodes.simulation_controllers import ArmServer, GripperServer, Turn
from wm_ros.robot import load_robot
from wm_ros.sim.controllers import ArmController, GripperController, Outcome

ROBOT = load_robot()


async def in_worker(work: Any, *args: Any) -> Any:
    """What is asked of another thread is done a turn later, and known to be after one more."""
    await Turn()
    done = work(*args)
    await Turn()
    return done


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(simulation_controllers, "ActionServer", Mock())
    defaults = {p.name: p.default for p in SIMULATION}
    return SimpleNamespace(robot=ROBOT, in_worker=in_worker, executor=None, is_active=True,
                           number=lambda name: float(defaults[name]))


@pytest.fixture
def loop() -> Any:
    return SimpleNamespace(
        ask=lambda work: work(), now=0.0, motion_time=0.0,
        arm=ArmController(ROBOT, ROBOT.home), sim=SimpleNamespace(gripper_width=0.05),
        gripper=GripperController(ROBOT, 0.05, 0.003, 0.0015, 0.15))


class Begun:
    """An action's body that the test runs turn by turn."""

    def __init__(self, server: Any, request: Any) -> None:
        self.handle = Mock(request=request, is_cancel_requested=False)
        self._body = server.execute(self.handle)
        self.result: Any = None

    def turns(self, count: int) -> None:
        for _ in range(count):
            if self.result is None:
                try:
                    self._body.send(None)
                except StopIteration as end:
                    self.result = end.value


def trajectory() -> FollowJointTrajectory.Goal:
    way = np.stack([ROBOT.home, ROBOT.home])
    way[1, 0] += 0.2
    return FollowJointTrajectory.Goal(trajectory=joints.to_trajectory(joints.JointPath(
        ROBOT.arm_joints, np.array([0.0, 4.0]), way, None, None)))


def overtaken(server: Any, request: Any) -> tuple[Begun, Begun]:
    """A goal that is cancelled, and a newer one that begins before the older one's turn comes."""
    older, newer = Begun(server, request), Begun(server, request)
    older.turns(4)
    older.handle.is_cancel_requested = True
    newer.turns(2)  # it has begun, which nobody knows yet
    older.turns(6)
    assert older.result is not None and older.handle.canceled.called
    return older, newer


def test_the_arm_follows_the_newer_goal_to_its_end(node: Any, loop: Any) -> None:
    server = ArmServer(node, loop)
    older, newer = overtaken(server, trajectory())
    assert loop.arm.path is not None
    newer.turns(2)
    assert newer.result is None
    server.ended(Outcome.DONE)
    newer.turns(1)
    assert newer.handle.succeed.called


def test_the_gripper_follows_the_newer_goal_to_its_end(node: Any, loop: Any) -> None:
    server = GripperServer(node, loop)
    request = GripperCommand.Goal()
    older, newer = overtaken(server, request)
    assert loop.gripper.goal == 0.0 and not older.result.reached_goal
    server.end(True, False, 0.0, 1.0)
    newer.turns(1)
    assert newer.handle.succeed.called


@pytest.mark.parametrize(("kind", "request_"), [
    (ArmServer, trajectory()), (GripperServer, GripperCommand.Goal())])
def test_a_goal_that_nothing_overtook_is_stopped(node: Any, loop: Any, kind: Any,
                                                request_: Any) -> None:
    begun = Begun(kind(node, loop), request_)
    begun.turns(4)
    assert not loop.arm.at_rest or loop.gripper.goal is not None
    begun.handle.is_cancel_requested = True
    begun.turns(6)
    assert begun.handle.canceled.called
    assert loop.arm.at_rest and loop.gripper.goal is None


def test_a_goal_whose_cancel_came_too_late_has_succeeded(node: Any, loop: Any) -> None:
    server = ArmServer(node, loop)
    begun = Begun(server, trajectory())
    begun.turns(6)
    server.ended(Outcome.DONE)
    begun.handle.is_cancel_requested = True
    begun.turns(6)
    assert begun.result.error_code == FollowJointTrajectory.Result.SUCCESSFUL
    assert begun.handle.succeed.called and not begun.handle.canceled.called
