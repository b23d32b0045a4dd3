# SPDX-License-Identifier: Apache-2.0
"""Who is there: heartbeats, the ends of processes, and the middleware's word about far ones."""
from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterable

from rclpy.event_handler import QoSLivelinessChangedInfo, SubscriptionEventCallbacks
from rclpy.exceptions import InvalidHandle

from wm_ros.msg import NodeStatus
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode, machine

PERIOD = 0.02  # s between two looks after an alarm
QUIET = 0.25  # s without a heartbeat that confirm the middleware's alarm
ALARM = 0.4  # s after an alarm during which a silence is looked for
LAST_WORDS = 1.0  # s in which what an ended process had said may still arrive
WAITING = "waits for ends"  # name of the thread that does


class HeartbeatWatch:
    """Listens to /wm/heartbeat and tells at once when a node is lost.

    On this machine a node is lost when its process ends (a busy machine causes no false alarm).
    A node on another machine is lost when its lease runs out and its heartbeats stay away.

    :param names: nodes that must be there
    :param lost: called with the lost ones, in the executor's thread
    """

    def __init__(self, node: WmNode, names: Iterable[str],
                 lost: Callable[[list[str]], None]) -> None:
        self._names = list(names)
        self._lost = lost
        self._heard: dict[str, float] = {}
        self._status: dict[str, NodeStatus] = {}
        self._processes: dict[str, tuple[int, int]] = {}  # name -> pid, file descriptor
        self._gone: dict[str, tuple[int, float]] = {}  # name -> pid that ended, when
        self._ends = select.epoll()
        self._closing = os.eventfd(0)
        self._ends.register(self._closing, select.EPOLLIN)
        self._alarm = -1e9
        self._host = machine()
        self._ended = node.create_guard_condition(self._look)
        self._looking = node.create_timer(PERIOD, self._look, clock=node.steady)
        self._looking.cancel()  # until there is an alarm
        threading.Thread(target=self._wait_for_ends, daemon=True, name=WAITING).start()
        node.create_subscription(
            NodeStatus, "/wm/heartbeat", self._beat,
            qos.heartbeat(node.number("heartbeat.lease")),
            event_callbacks=SubscriptionEventCallbacks(liveliness=self._liveliness,
                                                       use_default_callbacks=False))

    def _beat(self, message: NodeStatus) -> None:
        name, now = message.node.lstrip("/"), time.monotonic()
        gone, when = self._gone.get(name, (0, -1e9))
        if message.host == self._host and message.pid == gone and now - when < LAST_WORDS:
            return
        self._heard[name] = now
        self._status[name] = message
        if name in self._names and message.host == self._host and message.pid:
            self._follow(name, int(message.pid))

    def _follow(self, name: str, pid: int) -> None:
        """Watch a process of this machine; the descriptor becomes readable when it ends."""
        if self._processes.get(name, (0, 0))[0] == pid:
            return
        self._forget(name)
        with contextlib.suppress(OSError):  # it ended meanwhile, or is hidden in a container
            descriptor = os.pidfd_open(pid)
            self._ends.register(descriptor, select.EPOLLIN | select.EPOLLONESHOT)
            self._processes[name] = (pid, descriptor)

    def _forget(self, name: str) -> None:
        _, descriptor = self._processes.pop(name, (0, -1))
        if descriptor >= 0:
            self._ends.unregister(descriptor)
            os.close(descriptor)

    def _wait_for_ends(self) -> None:
        with contextlib.suppress(InvalidHandle):  # the node is gone
            while self._closing not in dict(self._ends.poll()):
                self._ended.trigger()
        self._ends.close()
        os.close(self._closing)

    def close(self) -> None:
        """Watch no more."""
        for name in list(self._processes):
            self._forget(name)
        os.eventfd_write(self._closing, 1)

    def _look(self) -> None:
        ended = select.select([fd for _, fd in self._processes.values()], [], [], 0)[0]
        lost = [name for name, (_, fd) in self._processes.items() if fd in ended]
        for name in lost:
            self._gone[name] = self._processes[name][0], time.monotonic()
            self._forget(name)
            self._heard.pop(name, None)
            self._status.pop(name, None)
        if time.monotonic() - self._alarm < ALARM:
            far = [n for n in self._names if n in self._heard and n not in self._processes]
            lost += self.silent(far, QUIET)
        else:
            self._looking.cancel()
        if lost:
            self._alarm = -1e9
            self._lost(lost)

    def _liveliness(self, info: QoSLivelinessChangedInfo) -> None:
        if info.not_alive_count_change > 0 or info.alive_count_change < 0:
            self._alarm = time.monotonic()
            self._looking.reset()

    def silent(self, names: Iterable[str], seconds: float) -> list[str]:
        """Those of ``names`` that said nothing for ``seconds``, or never."""
        now = time.monotonic()
        return [n for n in names if now - self._heard.get(n, -1e9) > seconds]

    def state(self, name: str) -> str:
        """Life-cycle state that a node last told, ``missing`` if it told none."""
        status = self._status.get(name)
        return "missing" if status is None else str(status.state)

    def rate(self, name: str) -> float:
        """Rate (Hz) of a node's main work as it last told, NaN if it told none."""
        status = self._status.get(name)
        return float("nan") if status is None else float(status.rate)

    def present(self, names: Iterable[str], seconds: float) -> bool:
        """Whether all of ``names`` are heard and active."""
        names = list(names)
        return not self.silent(names, seconds) and all(self.state(n) == "active" for n in names)
