# SPDX-License-Identifier: Apache-2.0
"""A heartbeat that is read after its process has ended brings nobody back to life."""
from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from wm_ros.msg import NodeStatus
from wm_ros.nodes import watch
from wm_ros.nodes.base import machine
from wm_ros.nodes.watch import LAST_WORDS, HeartbeatWatch


def process() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def beat(pid: int) -> NodeStatus:
    return NodeStatus(node="/arm", host=machine(), pid=pid, state="active")


class Watched:
    """A watch, and a process that has ended and is known to have."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.watch = HeartbeatWatch(Mock(number=lambda _: 1.0), ["arm"], self.lost.extend)
        child = process()
        self.pid = child.pid
        self.watch._beat(beat(self.pid))
        child.communicate(b"\n")
        self.watch._look()
        assert self.lost == ["arm"]


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.watch.close()


def test_the_last_heartbeat_of_a_lost_node_is_not_heard(watched: Watched) -> None:
    watched.watch._beat(beat(watched.pid))
    assert watched.watch.state("arm") == "missing" and watched.watch.silent(["arm"], 1.0)


def test_a_node_that_is_started_again_is_heard_at_once(watched: Watched) -> None:
    watched.watch._beat(beat(os.getpid()))
    assert watched.watch.present(["arm"], 1.0)


def test_a_number_that_goes_on_speaking_is_another_process(
        watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where nodes in a container are numbered like strangers out here."""
    late = time.monotonic() + LAST_WORDS + 0.1
    monkeypatch.setattr(watch, "time", Mock(monotonic=lambda: late))
    watched.watch._beat(beat(watched.pid))
    assert watched.watch.present(["arm"], 1.0)
