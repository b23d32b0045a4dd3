# SPDX-License-Identifier: Apache-2.0
"""`ros2 lifecycle set NODE cleanup`, then `configure`: nothing is left, nothing is there twice."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.event_handler import EventHandler
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from wm_ros.nodes.base import WmNode
from wm_ros.nodes.clients import SUCCEEDED, call
from wm_ros.nodes.entities import entities
from wm_ros.nodes.imagination import ImaginationNode
from wm_ros.nodes.monitor_node import MonitorNode
from wm_ros.nodes.motion_node import MotionNode
from wm_ros.nodes.perception_node import PerceptionNode
from wm_ros.nodes.planning_node import PlanningNode
from wm_ros.nodes.visualization_node import VisualizationNode
from wm_ros.nodes.watch import WAITING

NODES = [ImaginationNode, MonitorNode, MotionNode, PerceptionNode, PlanningNode, VisualizationNode]
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def offered(node: WmNode) -> list[str]:
    """Names of what the node publishes, hears and serves, as the graph knows them."""
    return sorted([*(p.topic_name for p in node.publishers),
                   *(s.topic_name for s in node.subscriptions),
                   *(s.srv_name for s in node.services)])


@pytest.mark.parametrize("kind", NODES)
def test_a_node_that_is_cleaned_up_and_configured_again_is_as_before(
        ros: None, kind: Callable[[], WmNode]) -> None:
    before, node = set(threading.enumerate()), kind()
    try:
        bare = set(entities(node))
        assert node.trigger_configure() == SUCCESS
        first = offered(node)
        assert set(entities(node)) > bare
        assert node.trigger_activate() == SUCCESS
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_cleanup() == SUCCESS
        assert set(entities(node)) == bare
        for thread in set(threading.enumerate()) - before:
            if thread.name == WAITING:
                thread.join(5.0)
                assert not thread.is_alive()
        assert node.trigger_configure() == SUCCESS
        assert offered(node) == first
    finally:
        node.stop()
        node.destroy_node()


def test_a_checkpoint_that_cannot_be_loaded_leaves_nothing_and_another_can_follow(
        ros: None) -> None:
    node = ImaginationNode()
    try:
        bare = set(entities(node))
        node.set_parameters([Parameter("checkpoint", value="/nowhere")])
        assert node.trigger_configure() == FAILURE
        assert set(entities(node)) == bare
        node.set_parameters([Parameter("checkpoint", value="")])
        assert node.trigger_configure() == SUCCESS
    finally:
        node.stop()
        node.destroy_node()


@pytest.mark.ros
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["perception", "imagination", "planning", "monitor",
                                  "move_group", "simulation"])
def test_the_arm_rests_when_a_node_is_deactivated_and_goes_on_once_it_was_set_up_anew(
        system: Any, name: str) -> None:
    system.ready()
    ask = system.client.create_client(ChangeState, f"/{name}/change_state")

    def change(*transitions: int) -> None:
        for transition in transitions:
            request = ChangeState.Request(transition=Transition(id=transition))
            assert call(ask, request, system.client.stop_flag, 20.0).success, transition
    running = system.long_motion()
    change(Transition.TRANSITION_DEACTIVATE)
    if name != "simulation":  # which tells nothing while it is inactive
        assert system.held(time.time()) < 0.5
    assert running.result(system.client.stop_flag, 2.0, "it goes on")[0] != SUCCEEDED
    change(Transition.TRANSITION_CLEANUP, Transition.TRANSITION_CONFIGURE,
           Transition.TRANSITION_ACTIVATE)
    system.ready()
    for words in ("go right", "go left"):
        result = system.do(words)
        assert result.success, result.message


def test_the_suite_s_own_topics_are_not_watched_for_foreign_qualities_of_service(
        ros: None) -> None:
    node = VisualizationNode()

    def watchers() -> int:
        return sum(isinstance(w, EventHandler) for w in node.waitables)
    try:
        before = watchers()
        assert node.trigger_configure() == SUCCESS
        foreign = [s for s in node.subscriptions
                   if s.topic_name in ("/monitored_planning_scene", "/diagnostics")]
        assert watchers() - before == 2 * len(foreign)  # of QoS and of type
    finally:
        node.stop()
        node.destroy_node()
