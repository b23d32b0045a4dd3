# SPDX-License-Identifier: Apache-2.0
"""Brings life-cycle nodes up: configure when one appears, activate when that is done.

The first state is known from the node's heartbeat and not from the start of its process: a
request that is sent while a killed node's end points are still remembered reaches nobody. What
was lost is asked again. Once a process has been active, its state is left to the user.

Nobody waits for answers: launch_ros's own event ChangeState does in a thread of its pool, for
ever where the process dies meanwhile, and after a few of these no node would be asked any more.
"""
from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from launch.action import Action
from launch.actions import OpaqueFunction, RegisterEventHandler
from launch.launch_context import LaunchContext
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.ros_adapters import get_ros_node
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from wm_ros.launching.transitions import NEXT, Transitions
from wm_ros.msg import NodeStatus
from wm_ros.nodes import qos


class BringUp(Action):
    """Launch action that configures and activates nodes, also those that are started again."""

    def __init__(self, nodes: Sequence[LifecycleNode]) -> None:
        super().__init__()
        self._nodes = list(nodes)
        self._transitions = Transitions()

    def execute(self, context: LaunchContext) -> list[Action]:
        """Listen; returns the handlers that go on from configured to active."""
        ros = get_ros_node(context)
        self._clients = {node.node_name: ros.create_client(ChangeState,
                                                           f"{node.node_name}/change_state")
                         for node in self._nodes}

        def beat(message: Any) -> None:
            client = self._clients.get(message.node)
            if client is None or context.is_shutdown:
                return
            if message.state in NEXT and not client.service_is_ready():
                return  # it has not been found yet; the next heartbeat comes soon
            transition = self._transitions.wanted(message.node, int(message.pid), message.state,
                                                  time.monotonic())
            if transition is not None:
                self._ask(message.node, transition)
        self._subscription = ros.create_subscription(NodeStatus, "/wm/heartbeat", beat, qos.EVENT)
        return [self._go_on(node) for node in self._nodes]

    def _go_on(self, node: LifecycleNode) -> Action:
        def activate(context: LaunchContext) -> None:
            if self._transitions.managed(node.node_name) and not context.is_shutdown:
                self._ask(node.node_name, Transition.TRANSITION_ACTIVATE)
        return RegisterEventHandler(OnStateTransition(
            target_lifecycle_node=node, start_state="configuring", goal_state="inactive",
            entities=[OpaqueFunction(function=activate)]))

    def _ask(self, name: str, transition: int) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        self._clients[name].call_async(request)
