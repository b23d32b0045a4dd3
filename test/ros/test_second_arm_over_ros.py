# SPDX-License-Identifier: Apache-2.0
"""The simulated UR5 behind its own controllers' names, planned for by the embedded motion node."""
from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from moveit_msgs.action import MoveGroup
from moveit_msgs.msg import Constraints, JointConstraint
from sensor_msgs.msg import JointState

from wm_ros.bridge import joints
from wm_ros.nodes import qos
from wm_ros.nodes.action_client import ActionClient
from wm_ros.nodes.clients import SUCCEEDED, send
from wm_ros.nodes.demo_client import DemoClient
from wm_ros.nodes.node_list import MOTION, SIMULATION
from wm_ros.nodes.supervisor import Supervisor
from wm_ros.robot import load_robot

ROBOT = load_robot("ur5")
WAY = np.array([0.3, 0.1, -0.1, 0.0, 0.0, 0.2])  # rad


@pytest.fixture(scope="module")
def client(ros: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoClient]:
    specs = [SIMULATION.with_parameters(robot="ur5", room="office"),
             MOTION.with_parameters(robot="ur5")]
    logs = tmp_path_factory.mktemp("logs")
    with Supervisor(specs, logs) as _:
        made = DemoClient(ROBOT)
        try:
            limit = time.monotonic() + 90.0
            while made.missing(["simulation", "move_group"]):
                assert time.monotonic() < limit, [f.read_text() for f in logs.glob("*.log")]
                time.sleep(0.05)
            yield made
        finally:
            made.close()
            made.destroy_node()


def test_ur5_moves_where_a_moveit_client_sends_it(client: DemoClient) -> None:
    heard: list[JointState] = []
    client.create_subscription(JointState, "/joint_states", heard.append, qos.STATE)
    goal = MoveGroup.Goal()
    goal.request.group_name = ROBOT.planning_group
    target = ROBOT.home + WAY
    goal.request.goal_constraints = [Constraints(joint_constraints=[
        JointConstraint(joint_name=name, position=float(value), tolerance_above=0.001,
                        tolerance_below=0.001, weight=1.0)
        for name, value in zip(ROBOT.arm_joints, target, strict=True)])]
    mover = ActionClient(client, MoveGroup, "/move_action")
    limit, status, result = time.monotonic() + 30.0, 0, MoveGroup.Result()
    # the node may have started a moment before it hears the first joint states
    while status != SUCCEEDED and time.monotonic() < limit:
        status, result = send(mover, goal, "/move_action", client.stop_flag, 20.0).result(
            client.stop_flag, 60.0, "no result")
        if "fresh joint states" not in result.error_code.message:
            break
        time.sleep(0.5)
    assert status == SUCCEEDED and result.error_code.val == 1, result.error_code
    assert tuple(result.planned_trajectory.joint_trajectory.joint_names) == ROBOT.arm_joints
    count = len(heard)
    limit = time.monotonic() + 10.0
    while len(heard) < count + 3 and time.monotonic() < limit:
        time.sleep(0.02)
    there = joints.from_joint_state(heard[-1], ROBOT.arm_joints).position
    assert np.abs(there - target).max() < 0.03


def test_ur5_answers_under_its_own_controllers_names(client: DemoClient) -> None:
    def names(node: str) -> set[str]:
        ends = (client.get_publisher_names_and_types_by_node,
                client.get_subscriber_names_and_types_by_node,
                client.get_service_names_and_types_by_node)
        return {name for end in ends for name, _ in end(node, "/")}

    # what is heard of a new node comes bit by bit
    arm, limit = "/joint_trajectory_controller", time.monotonic() + 30.0
    wanted = {f"{arm}/controller_state", f"{arm}/follow_joint_trajectory/_action/send_goal"}
    while not (wanted <= names("simulation")
               and f"{arm}/follow_joint_trajectory/_action/feedback" in names("move_group")):
        assert time.monotonic() < limit, (names("simulation"), names("move_group"))
        time.sleep(0.1)
    # the module's domain is its own, so that these are no other test's nodes
    assert not {name for node in ("simulation", "move_group") for name in names(node)
                if "panda" in name}
