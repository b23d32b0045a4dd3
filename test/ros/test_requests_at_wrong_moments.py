# SPDX-License-Identifier: Apache-2.0
"""What is asked of a node at the wrong moment is answered, or lost; the node goes on living."""
from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from std_msgs.msg import String
from std_srvs.srv import Trigger

from wm_ros.nodes.base import WmNode, turn
from wm_ros.nodes.clients import StopFlag, call
from wm_ros.nodes.entities import entities

SUCCESS = TransitionCallbackReturn.SUCCESS


class Worker(WmNode):
    """Hears words, works until told to end when asked, and has a service that always fails."""

    def __init__(self) -> None:
        super().__init__("worker")
        self.began, self.enough = threading.Event(), threading.Event()

    def configure(self) -> None:
        self.create_subscription(String, "/word", lambda _: self.worker(time.sleep, 0.0), 10)
        self.create_service(Trigger, "/work", self._work)
        self.create_service(Trigger, "/fail", self._fail)

    async def _work(self, _request: Any, response: Any) -> Any:
        def work() -> None:
            self.began.set()
            self.enough.wait(20.0)
        await self.in_worker(work)
        response.success = True
        return response

    async def _fail(self, _request: Any, response: Any) -> Any:
        response.success = True

        def late() -> None:
            raise TimeoutError
        await self.in_worker(late)
        return response


class Running:
    """A node that is spun as ``run_node`` does, and someone beside it who asks."""

    def __init__(self, node: WmNode) -> None:
        self.node, self.asker = node, rclpy.create_node("asker")
        self.error: BaseException | None = None
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._spin, args=(each,))
                         for each in (node, self.asker)]
        for thread in self._threads:
            thread.start()

    def _spin(self, node: Any) -> None:
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        node.create_timer(0.05, lambda: None)
        try:
            while not self._ending.is_set():
                turn(executor)
        except BaseException as error:
            self.error = error

    def ask(self, kind: Any, name: str, request: Any) -> Any:
        client = self.asker.create_client(kind, name)
        return call(client, request, StopFlag(), 5.0)

    def change(self, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.ask(ChangeState, "/worker/change_state", request).success)

    def close(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(5.0)
        self.node.stop()
        self.node.destroy_node()
        self.asker.destroy_node()


@pytest.fixture
def running(ros: None) -> Iterator[Running]:
    made = Running(Worker())
    try:
        yield made
        time.sleep(0.1)
        assert made.error is None
    finally:
        made.close()


def test_a_transition_that_is_impossible_now_is_refused(running: Running) -> None:
    assert not running.change(Transition.TRANSITION_ACTIVATE)
    assert not running.change(99)
    assert running.change(Transition.TRANSITION_CONFIGURE)
    assert not running.change(Transition.TRANSITION_CONFIGURE)
    assert running.change(Transition.TRANSITION_ACTIVATE)


def test_a_service_whose_body_fails_answers_that_it_failed(running: Running) -> None:
    assert running.change(Transition.TRANSITION_CONFIGURE)
    answer = running.ask(Trigger, "/fail", Trigger.Request())
    assert not answer.success and "/fail failed; see the worker node's log." in answer.message


def test_the_rate_is_told_while_other_threads_work() -> None:
    node = object.__new__(WmNode)
    node._ticks = deque(maxlen=50)

    class Moment(float):
        """While it is looked at, another thread ticks."""

        def __gt__(self, other: float) -> bool:
            node.tick()
            return float(self) > other
    now = time.monotonic()
    node._ticks.extend(Moment(now - 0.1 * i) for i in range(10, 0, -1))
    assert node._rate() == pytest.approx(10.0)
    assert len(node._ticks) == 20


@pytest.mark.parametrize("end", [
    Transition.TRANSITION_CLEANUP, Transition.TRANSITION_INACTIVE_SHUTDOWN])
def test_work_that_outlives_its_service_is_lost(running: Running, end: int) -> None:
    assert running.change(Transition.TRANSITION_CONFIGURE)
    client = running.asker.create_client(Trigger, "/work")
    assert client.wait_for_service(5.0)
    client.call_async(Trigger.Request())
    assert running.node.began.wait(5.0)  # type: ignore[attr-defined]
    assert running.change(end)
    running.node.enough.set()  # type: ignore[attr-defined]
    time.sleep(0.2)


@pytest.mark.parametrize("before", [
    (), ("configure",), ("configure", "activate"), ("configure", "cleanup")])
def test_a_node_that_was_shut_down_hears_and_serves_nothing(
        ros: None, before: tuple[str, ...]) -> None:
    node, executor = Worker(), SingleThreadedExecutor()
    executor.add_node(node)
    try:
        bare = set(entities(node))
        for name in before:
            trigger: Callable[[], Any] = getattr(node, f"trigger_{name}")
            assert trigger() == SUCCESS
        assert node.trigger_shutdown() == SUCCESS
        limit = time.monotonic() + 5.0
        while node._beat_message.state != "finalized" and time.monotonic() < limit:
            executor.spin_once(0.1)
        assert node._beat_message.state == "finalized"
        assert set(entities(node)) == bare
    finally:
        node.destroy_node()


@pytest.mark.parametrize(("body", "status"), [
    ("raise RuntimeError('a mistake')", 1), ("raise UserError('Set it.')", 2)])
def test_a_node_that_ends_by_itself_says_so_by_its_status(body: str, status: int) -> None:
    program = ("from wm_ros.errors import UserError\nfrom wm_ros.nodes.base import run_node\n"
               f"def create():\n    {body}\nraise SystemExit(run_node(create, []))\n")
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                           timeout=60)
    assert ended.returncode == status, ended.stderr
