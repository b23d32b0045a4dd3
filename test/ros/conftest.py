# SPDX-License-Identifier: Apache-2.0
"""A whole system of real processes over real middleware, with a scripted model in place of one."""
from __future__ import annotations

import contextlib
import dataclasses
import re
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
from moveit_msgs.action import MoveGroup
from moveit_msgs.msg import Constraints, JointConstraint
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from wm_ros.bridge import joints, observations, times
from wm_ros.nodes import demo_client, qos
from wm_ros.nodes.action_client import ActionClient
from wm_ros.nodes.clients import call, send
from wm_ros.nodes.demo_client import DemoClient
from wm_ros.nodes.node_list import NodeSpec, nodes
from wm_ros.nodes.parameters import PLANNING
from wm_ros.nodes.supervisor import Supervisor
from wm_ros.robot import load_robot

HERE = Path(__file__).parent
STAND_IN = (sys.executable, str(HERE / "standin_imagination.py"))
MOVING = 0.02  # rad/s; slower is at rest
HOLD = 0.3  # s after which a stopped arm rests,
ALWAYS = 1.0  # and on a busy machine, whose neighbours may delay one stop of
TRIES = 3
#: what only a mistake in a node writes into its log
MISTAKES = re.compile(r".*(?:Traceback|\b[A-Z]\w*(?:Error|Exception)(?: in \S+)?: "
                      r"|failed; see the ).*")


class System:
    """The nodes, and what a test sees and asks of them."""

    def __init__(self, supervisor: Supervisor, client: DemoClient) -> None:
        self.supervisor, self.client = supervisor, client
        self.robot = load_robot()
        self.names = [spec.name for spec in supervisor.specs]
        self.motion: deque[tuple[float, np.ndarray, np.ndarray]] = deque(maxlen=6000)
        self.openings: deque[tuple[float, float]] = deque(maxlen=6000)  # stamp s, width m
        self._mover: ActionClient | None = None
        self._lock = threading.Lock()
        client.create_subscription(joints.JointState, "/joint_states", self._hear, qos.STATE)

    def _hear(self, message: Any) -> None:
        state = joints.from_joint_state(message, self.robot.arm_joints)
        fingers = joints.from_joint_state(message, self.robot.joints).position
        stamp = times.seconds(message.header.stamp)
        with self._lock:
            self.motion.append((stamp, state.position, state.velocity))
            self.openings.append((stamp, observations.gripper_width(fingers, self.robot)))

    def history(self) -> list[tuple[float, np.ndarray, np.ndarray]]:
        """(stamp s, positions, velocities) of the joint states so far."""
        with self._lock:
            return list(self.motion)

    def widths(self, since: float) -> list[tuple[float, np.ndarray]]:
        """(opening m, arm joints) of the joint states since then (s)."""
        with self._lock:
            return [(width, q) for (stamp, width), (_, q, _) in
                    zip(self.openings, self.motion, strict=True) if stamp > since]

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

    def long_motion(self) -> Any:
        """A running goal of MoveIt whose motion takes some ten seconds and asks no node of this
        suite."""
        goal = MoveGroup.Goal()
        goal.request.group_name = self.robot.planning_group
        goal.request.max_velocity_scaling_factor = 0.05
        joint, present = self.robot.arm_joints[0], self.history()[-1][1][0]
        goal.request.goal_constraints = [Constraints(joint_constraints=[JointConstraint(
            joint_name=joint, position=float(present - np.sign(present or 1.0)), weight=1.0)])]
        if self._mover is None:
            self._mover = ActionClient(self.client, MoveGroup, "/move_action")
        sent = send(self._mover, goal, "/move_action", self.client.stop_flag, 10.0)
        # by its way: the arm may still settle from the motion before
        wait_for(lambda: abs(self.history()[-1][1][0] - present) > 0.03, 10.0,
                 lambda: "the arm did not move")
        return sent

    def held(self, since: float, seconds: float = 1.2) -> float:
        """How long after ``since`` (s) the arm moved, by the joint states of so many seconds."""
        wait_for(lambda: self.history()[-1][0] > since + seconds, seconds + 10.0,
                 lambda: "no joint states come")
        moving = [t for t, _, dq in self.history() if t > since and np.abs(dq).max() > MOVING]
        return max(moving, default=since) - since

    def holds_soon(self, stop: Callable[[], float]) -> None:
        """See that the arm holds soon after a stop.

        :param stop: a whole try; seconds after which the arm held
        """
        held: list[float] = []
        while len(held) < TRIES and not (held and held[-1] < HOLD):
            held.append(stop())
        assert min(held) < HOLD and max(held) < ALWAYS, held

    def set(self, node: str, name: str, value: Any) -> None:
        """Set a parameter of a node that runs."""
        ask = self.client.create_client(SetParameters, f"/{node}/set_parameters")
        request = SetParameters.Request(parameters=[Parameter(name, value=value)
                                                    .to_parameter_msg()])
        (answer,) = call(ask, request, self.client.stop_flag, 10.0).results
        assert answer.successful, answer.reason


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


@pytest.fixture()
def long_segments(system: System) -> Iterator[None]:
    """Motions of 1.6 s: an arm that nobody stops goes on for longer than a stop may take."""
    system.ready()
    system.set("planning", "horizon", 16)
    yield
    system.set("planning", "horizon", next(p.default for p in PLANNING if p.name == "horizon"))


@pytest.fixture(scope="module")
def system(ros: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """All nodes of the simulated home, shared by the tests of a module."""
    tmp = tmp_path_factory.mktemp("system")
    with system_of(specs(tmp), tmp) as running:
        yield running


@contextlib.contextmanager
def system_of(chosen: list[NodeSpec], tmp: Path) -> Iterator[System]:
    """These nodes, once all of them are ready; none may have logged a mistake at the end."""
    with Supervisor(chosen, tmp / "logs") as supervisor:
        client = DemoClient(load_robot())
        running = System(supervisor, client)
        try:
            running.ready()
            yield running
        finally:
            client.close()
            client.destroy_node()
            logs = {log.stem: log.read_text(errors="replace")
                    for log in sorted((tmp / "logs").glob("*.log"))}
            for name, text in logs.items():
                print(f"--- {name}\n{text[-3000:]}")
    assert not [f"{name}: {line}" for name, text in logs.items()
                for line in MISTAKES.findall(text)]


@pytest.fixture(scope="session")
def start_system() -> Callable[..., contextlib.AbstractContextManager[System]]:
    """Starts a list of nodes of one's own."""
    return system_of


@pytest.fixture(scope="session")
def standin_specs() -> Callable[..., list[NodeSpec]]:
    """The list of nodes with the stand-in for the model."""
    return specs
