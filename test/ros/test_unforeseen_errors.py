# SPDX-License-Identifier: Apache-2.0
"""What nobody foresaw is told to who waits, and ends what could not go on."""
from __future__ import annotations

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from moveit_msgs.action import ExecuteTrajectory, MoveGroup

from wm_ros.bridge.moveit import Refusal
from wm_ros.errors import UserError
from wm_ros.motion.errors import ErrorCode
from wm_ros.nodes.imagination import ImaginationNode
from wm_ros.nodes.motion_answers import Answers
from wm_ros.nodes.motion_node import MotionNode
from wm_ros.nodes.simulation_loop import Loop, Rates
from wm_ros.robot import load_robot


async def broken(*_: Any) -> Any:
    raise RuntimeError("a bug")


def test_a_simulator_whose_loop_breaks_ends_its_process(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its heartbeats come from another thread, and would go on."""
    failed: list[bool] = []
    monkeypatch.setattr(Loop, "_fail", staticmethod(lambda: failed.append(True)))
    loop = Loop(load_robot(), Rates(500.0, 100.0, 10.0, 1.0), Mock(), Mock())
    monkeypatch.setattr(loop, "_take", Mock())
    monkeypatch.setattr(loop, "_live", Mock(side_effect=RuntimeError("the camera broke")))
    ready: Future[None] = Future()
    loop._run(lambda: (Mock(), Mock()), ready)
    assert failed and ready.done() and "the camera broke" in capsys.readouterr().err


@pytest.mark.parametrize("action", [ExecuteTrajectory, MoveGroup])
def test_a_motion_goal_says_that_the_node_failed(action: Any) -> None:
    node = Mock(_flags={}, in_worker=broken)
    handle = Mock(goal_id=SimpleNamespace(uuid=[1] * 16), is_cancel_requested=False)
    result = asyncio.run(MotionNode._run_goal(node, handle, Mock(), action))
    assert result.error_code.val == ErrorCode.FAILURE
    assert handle.abort.called and node.complain.called


@pytest.mark.parametrize(("error", "told"), [
    (RuntimeError("a bug"), "see the imagination node's log"), (UserError("Do it."), "Do it.")])
def test_an_imagine_goal_ends_with_a_sentence(error: Exception, told: str) -> None:
    async def fails(*_: Any) -> Any:
        raise error
    node = Mock(in_worker=fails)
    node._sentence = lambda e: ImaginationNode._sentence(node, e)
    handle = Mock(is_cancel_requested=False)
    result = asyncio.run(ImaginationNode._imagine_wanted(node, handle))
    assert not result.success and told in result.message and handle.abort.called


def test_a_question_about_a_thing_that_is_not_held_changes_no_scene() -> None:
    held = SimpleNamespace(object=SimpleNamespace(id="stick"))
    robot = load_robot()
    state = Mock(width=0.0, fresh=lambda: list(robot.home))
    answers = Mock(state=state, _used_width=0.0, robot=robot)
    answers.planner.scene.attached = {}
    asked = SimpleNamespace(attached_collision_objects=[held], is_diff=True,
                            joint_state=SimpleNamespace(name=[], position=[]))
    with pytest.raises(Refusal, match="does not hold 'stick'"):
        Answers._start(answers, asked)
    assert not answers.keeper.change_attached.called
