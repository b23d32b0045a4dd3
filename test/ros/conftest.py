# SPDX-License-Identifier: Apache-2.0
"""A whole system of real processes over real middleware, with a scripted model in place of one."""
from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ros_domain

from wm_ros.bridge import joints, times
from wm_ros.nodes import demo_client, qos
from wm_ros.nodes.demo_client import DemoClient
from wm_ros.nodes.node_list import NodeSpec, nodes
from wm_ros.nodes.supervisor import Supervisor
from wm_ros.robot import load_robot

HERE = Path(__file__).parent
STAND_IN = (sys.executable, str(HERE / "standin_imagination.py"))


class System:
    """The nodes, and what a test sees and asks of them."""

    def __init__(self, supervisor: Supervisor, client: DemoClient) -> None:
        self.supervisor, self.client = supervisor, client
        self.robot = load_robot()
        self.names = [spec.name for spec in supervisor.specs]
        self.motion: deque[tuple[float, np.ndarray, np.ndarray]] = deque(maxlen=6000)
        self._lock = threading.Lock()
        client.create_subscription(joints.JointState, "/joint_states", self._hear, qos.STATE)

    def _hear(self, message: Any) -> None:
        state = joints.from_joint_state(message, self.robot.arm_joints)
        with self._lock:
            self.motion.append((times.seconds(message.header.stamp), state.position,
                                state.velocity))

    def history(self) -> list[tuple[float, np.ndarray, np.ndarray]]:
        """(stamp s, positions, velocities) of the joint states so far."""
        with self._lock:
            return list(self.motion)

    def speed(self) -> float:
        """Newest joint speed, the fastest joint (rad/s)."""
        history = self.history()
        return float(np.abs(history[-1][2]).max()) if history else 0.0

    def ready(self, timeout: float = 90.0) -> float:
        """Wait until all nodes are active and the arm may move; seconds that it took."""
        start = time.monotonic()
        wait_for(lambda: not self.client.missing(self.names) and not self.client.stopped
                 and self.client.model.ready, timeout,
                 lambda: f"missing: {self.client.missing(self.names)}, "
                         f"stopped: {self.client.stopped}")
        return time.monotonic() - start

    def do(self, words: str, limit: float = 30.0, **more: Any) -> Any:
        """Send an instruction and return its result."""
        goal = self.client.instruct(words, limit, **more)
        return goal.result(self.client.stop_flag, limit + 20.0, "no result")[1]

    def moving(self, words: str) -> Any:
        """Send an instruction and return its goal once the arm moves at speed."""
        goal = self.client.instruct(words, 30.0)
        wait_for(lambda: self.speed() > 0.1, 20.0, lambda: "the arm did not move")
        return goal


def wait_for(condition: Callable[[], bool], timeout: float, why: Callable[[], str]) -> None:
    """Wait, or fail with a reason."""
    limit = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > limit:
            pytest.fail(f"waited {timeout} s in vain: {why()}")
        time.sleep(0.01)


def specs(tmp: Path, room: str = "home") -> list[NodeSpec]:
    """The suite's own list with the stand-in for the model."""
    checkpoint = tmp / "checkpoint"
    checkpoint.mkdir(exist_ok=True)
    (checkpoint / "good").touch()
    return [dataclasses.replace(spec, command=STAND_IN,
                                parameters={"checkpoint": str(checkpoint)})
            if spec.name == "imagination" else spec for spec in nodes(room, seed=3)]


@pytest.fixture(scope="module")
def ros() -> Iterator[None]:
    """ROS in the test's own process, in a domain that no earlier module's nodes were in.

    A node that was killed stays in the graph of those who knew it for a while.
    """
    ros_domain.take()
    demo_client.init()
    yield
    demo_client.shutdown()


@pytest.fixture(scope="module")
def system(ros: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """All nodes of the simulated home, shared by the tests of a module."""
    tmp = tmp_path_factory.mktemp("system")
    with system_of(specs(tmp), tmp) as running:
        yield running


@contextlib.contextmanager
def system_of(chosen: list[NodeSpec], tmp: Path) -> Iterator[System]:
    """These nodes, once all of them are ready."""
    with Supervisor(chosen, tmp / "logs") as supervisor:
        client = DemoClient(load_robot())
        running = System(supervisor, client)
        try:
            running.ready()
            yield running
        finally:
            client.close()
            client.destroy_node()
            for log in sorted((tmp / "logs").glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="session")
def start_system() -> Callable[..., contextlib.AbstractContextManager[System]]:
    """Starts a list of nodes of one's own."""
    return system_of


@pytest.fixture(scope="session")
def standin_specs() -> Callable[..., list[NodeSpec]]:
    """The list of nodes with the stand-in for the model."""
    return specs
