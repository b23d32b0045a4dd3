# SPDX-License-Identifier: Apache-2.0
"""Calls to services and actions from worker threads, that a stop can interrupt at any time."""
from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, cast

from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from rclpy.task import Future

from wm_ros.errors import UserError
from wm_ros.nodes.action_client import ActionClient


class Stopped(Exception):
    """The run was told to stop; the message is the reason in one sentence."""


class StopFlag:
    """Tells the waits of one run to end; the first reason counts."""

    def __init__(self) -> None:
        self.reason = ""
        self._event = threading.Event()

    def set(self, reason: str) -> None:
        """Stop with a reason (one sentence)."""
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise Stopped if the run was told to stop."""
        if self._event.is_set():
            raise Stopped(self.reason)

    def sleep(self, seconds: float) -> None:
        """Wait, or raise Stopped."""
        if seconds > 0:
            self._event.wait(seconds)
        self.check()

    def until(self, condition: Callable[[], bool], timeout: float, late: str) -> None:
        """Return once ``condition`` holds.

        :param late: sentence of the UserError that is raised after ``timeout`` seconds
        """
        limit = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > limit:
                raise UserError(late)
            self.sleep(0.05)

    def wait(self, future: Any, timeout: float, late: str,
             now: Callable[[], float] = time.monotonic) -> Any:
        """The result of an rclpy future.

        :param late: sentence of the UserError that is raised after ``timeout`` seconds
        :param now: clock that counts them; a simulated one may be slow, but not stand still
        """
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        limit, patience = now() + timeout, time.monotonic() + 20.0 * timeout
        while not future.done():
            self.check()
            if now() > limit or time.monotonic() > patience:
                raise UserError(late)
            done.wait(0.02)
        return future.result()


def call(client: Any, request: Any, stop: StopFlag, timeout: float,
         repeat: float = math.inf) -> Any:
    """Call a service.

    :param repeat: seconds without an answer after which the question is asked again; for
        questions that change nothing. The answer of a server that has just been started can be
        lost: it is found before it has found its client.
    :raises UserError: when nobody serves it or the answer does not come in time
    """
    name = client.srv_name
    stop.until(client.service_is_ready, timeout, f"Nobody serves {name}; is its node running?")
    limit, late = time.monotonic() + timeout, f"{name} did not answer within {timeout:.1f} s."
    answer: Future = Future()
    asked: list[Any] = []

    def note(future: Any) -> None:
        if not answer.done():  # the first answer counts, whichever time it was asked
            answer.set_result(future)

    try:
        while True:
            asked.append(client.call_async(request))
            asked[-1].add_done_callback(note)
            left = limit - time.monotonic()
            try:
                return stop.wait(answer, min(left, repeat), late).result()
            except UserError:
                if left <= repeat:
                    raise
    finally:
        for future in asked:
            if not future.done():
                client.remove_pending_request(future)


class Goal:
    """One accepted goal of an action."""

    def __init__(self, handle: Any, result_future: Any) -> None:
        self.handle = handle
        self.result_future = result_future

    @property
    def done(self) -> bool:
        """Whether the result is there."""
        return bool(self.result_future.done())

    def result(self, stop: StopFlag, timeout: float, late: str,
               now: Callable[[], float] = time.monotonic) -> tuple[int, Any]:
        """(GoalStatus, result message); see :meth:`StopFlag.wait`."""
        answer = stop.wait(self.result_future, timeout, late, now)
        return int(answer.status), answer.result

    def cancel(self) -> None:
        """Ask for the end; does not wait."""
        if not self.done:
            self.handle.cancel_goal_async()


def send(client: ActionClient, goal: Any, name: str, stop: StopFlag, timeout: float,
         orphaned: Callable[[Future], None] = lambda _: None, **more: Any) -> Goal:
    """Send a goal and wait until it is accepted.

    :param orphaned: given the answer (of a Goal, or None if refused) that nobody waits for any
        more; a goal that is accepted all the same is cancelled, but not every server ends it then
    :param more: further arguments of ``send_goal_async``
    :raises UserError: when nobody serves it, it is refused, or the answer does not come in time
    """
    stop.until(client.server_is_ready, timeout,
               f"Nobody serves the action {name}; is its node or controller running?")
    answer: Future = Future()
    given_up = StopFlag()

    def begin() -> None:
        if stop or given_up:
            answer.set_result(None)
            return
        client.send_goal_async(goal, **more).add_done_callback(answered)

    def answered(future: Any) -> None:
        handle = future.result()
        if not handle.accepted:
            answer.set_result(None)
            return
        made = Goal(handle, handle.get_result_async())
        answer.set_result(made)
        if stop or given_up:  # nobody is in charge of it
            made.cancel()

    # In the executor's thread: an action client forgets answers that come while another thread
    # is still noting down the question.
    client._node.executor.create_task(begin)
    try:
        accepted = stop.wait(answer, timeout, f"{name} did not answer within {timeout:.1f} s.")
    except (UserError, Stopped):
        given_up.set("nobody waits")  # first this, then the look: one of the two threads sees it
        orphaned(answer)
        if answer.done() and answer.result() is not None:
            answer.result().cancel()
        raise
    if accepted is None:
        stop.check()
        raise UserError(f"{name} refused the goal.")
    return cast(Goal, accepted)


def cancel_all(client: Any) -> None:
    """Cancel every goal of an action through its cancel service; does not wait."""
    if client.service_is_ready():
        client.call_async(CancelGoal.Request())  # zero id and zero stamp mean: all goals


SUCCEEDED = GoalStatus.STATUS_SUCCEEDED
