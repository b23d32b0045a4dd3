# SPDX-License-Identifier: Apache-2.0
"""Whoever gave an instruction waits for no planning node that has died; without ROS."""
from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from wm_ros import demo, instruct
from wm_ros.action import ExecuteInstruction
from wm_ros.errors import UserError
from wm_ros.nodes import demo_client
from wm_ros.nodes.demo_client import DemoClient

FOLLOWERS: list[Callable[[Any, Any], Any]] = [
    lambda client, goal: demo._follow(client, goal, Mock(), time.monotonic()),
    lambda client, goal: instruct.follow(client, goal, lambda: None)]


class Client:
    """Knows a planning node that dies soon and, perhaps, is started again."""

    def __init__(self, again: bool) -> None:
        self.again, self.looks = again, 0
        self.feedback = ExecuteInstruction.Feedback()
        self.stop_flag = None

    def process(self, _name: str) -> tuple[str, int]:
        self.looks += 1
        assert self.looks < 50, "it would wait for ever"
        return "here", 2 if self.looks > 2 and self.again else 1

    def missing(self, names: list[str]) -> list[str]:
        return [] if self.again else names

    def truth(self) -> Any:
        return SimpleNamespace(success=False, task="open_drawer")


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("follow", FOLLOWERS)
def test_a_planning_node_that_died_ends_the_wait(
        follow: Callable[[Any, Any], Any], again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruct, "GONE", 0.3)
    with pytest.raises(UserError, match="planning node is gone"):
        follow(Client(again), SimpleNamespace(done=False))


def test_what_the_instruction_before_was_doing_is_not_told_of_the_next(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_client, "send", Mock())
    client = Mock(feedback=ExecuteInstruction.Feedback(stage="executing"))
    DemoClient.instruct(client, "open the drawer", 10.0)
    assert client.feedback.stage == ""
