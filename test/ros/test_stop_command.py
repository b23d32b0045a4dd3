# SPDX-License-Identifier: Apache-2.0
"""`wm stop`, `wm resume` and `wm reset` from a shell, beside nodes that answer, refuse or are not
there."""
from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
import ros_domain
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from std_srvs.srv import Trigger

from wm_ros import paths
from wm_ros.nodes import demo_client
from wm_ros.srv import ResetSimulation

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]


def wm(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "wm_ros.cli", *words], text=True, timeout=60,
                          env=os.environ | {"PYTHONPATH": str(paths.share())}, capture_output=True)


class Served:
    """What stands in for monitor and simulation."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refusal = ""
        self.request: Any = None
        node = rclpy.create_node("stand_in")
        for name in ("/wm/stop", "/wm/resume"):
            node.create_service(Trigger, name, lambda _, a, name=name: self.answer(name, a))
        node.create_service(ResetSimulation, "/wm/reset_simulation", self.reset)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(node)
        self.thread = threading.Thread(target=self.spin, daemon=True)
        self.thread.start()

    def spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self.executor.spin()

    def answer(self, name: str, answer: Any) -> Any:
        self.asked.append(name)
        answer.success, answer.message = not self.refusal, self.refusal or f"{name} was done."
        return answer

    def reset(self, request: Any, answer: Any) -> Any:
        self.request = request
        answer.instruction = "put it there"
        return self.answer("reset", answer)


@pytest.fixture()
def domain() -> None:
    ros_domain.take()


@pytest.fixture()
def served(domain: None) -> Iterator[Served]:
    demo_client.init()
    there = Served()
    yield there
    demo_client.shutdown()
    there.thread.join(10.0)


def test_arm_is_stopped_and_released_and_a_refusal_is_told(served: Served) -> None:
    for command in ("stop", "resume"):
        done = wm(command)
        assert (done.returncode, done.stderr) == (0, f"/wm/{command} was done.\n")
    served.refusal = "Not resumed: the planning node is not active."
    done = wm("resume")
    assert (done.returncode, done.stderr) == (1, served.refusal + "\n")
    assert served.asked == ["/wm/stop", "/wm/resume", "/wm/resume"]


def test_room_is_laid_out_as_asked(served: Served) -> None:
    done = wm("reset", "open_drawer", "--seed", "7", "--no-held-out")
    assert done.returncode == 0 and done.stdout == "put it there\n", done.stderr
    asked = served.request
    assert (asked.room, asked.task, asked.seed, asked.held_out) == (
        "office", "open_drawer", 7, False)
    assert wm("reset", "open_drawer").returncode == 0
    assert (served.request.seed, served.request.held_out) == (101, True)
    done = wm("reset", "dance")
    assert done.returncode == 2 and "There is no task 'dance'" in done.stderr


@pytest.mark.parametrize("words", [["stop"], ["reset", "open_drawer"]])
def test_nobody_there_gets_one_sentence(domain: None, words: list[str]) -> None:
    done = wm(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("wm: Nobody serves /wm/") and done.stderr.count("\n") == 1
