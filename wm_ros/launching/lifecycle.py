# SPDX-License-Identifier: Apache-2.0
"""Brings life-cycle nodes up by events: configure when one appears, activate when that is done.

The first state is known from the node's heartbeat and not from the start of its process: a
request that is sent while a killed node's end points are still remembered reaches nobody. What
was lost is asked again. Once a process has been active, its state is left to the user.
"""
from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from launch.action import Action
from launch.actions import EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.events import matches_action
from launch.launch_context import LaunchContext
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.ros_adapters import get_ros_node
from lifecycle_msgs.msg import Transition

from wm_ros.launching.transitions import Transitions
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
        by_name = {node.node_name: node for node in self._nodes}

        def beat(message: Any) -> None:
            node = by_name.get(message.node)
            if node is None or context.is_shutdown:
                return
            transition = self._transitions.wanted(message.node, int(message.pid), message.state,
                                            time.monotonic())
            if transition is not None:
                context.asyncio_loop.call_soon_threadsafe(
                    context.emit_event_sync, change(node, transition))
        self._subscription = get_ros_node(context).create_subscription(
            NodeStatus, "/wm/heartbeat", beat, qos.EVENT)
        return [self._go_on(node) for node in self._nodes]

    def _go_on(self, node: LifecycleNode) -> Action:
        def activate(_context: LaunchContext) -> list[Action]:
            if not self._transitions.managed(node.node_name):
                return []
            return [EmitEvent(event=change(node, Transition.TRANSITION_ACTIVATE))]
        return RegisterEventHandler(OnStateTransition(
            target_lifecycle_node=node, start_state="configuring", goal_state="inactive",
            entities=[OpaqueFunction(function=activate)]))


def change(node: LifecycleNode, transition: int) -> ChangeState:
    """The event that asks a node to change its state."""
    return ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
