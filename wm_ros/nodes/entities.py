# SPDX-License-Identifier: Apache-2.0
"""What a node is made of in ROS, and how it gives back what it got since a moment."""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

from rclpy.action import ActionClient, ActionServer
from rclpy.node import Node

Kinds = tuple[tuple[Iterable[Any], Callable[[Any], Any]], ...]


def entities(node: Node) -> dict[int, Callable[[], Any]]:
    """How to destroy each publisher, subscription, server, client and timer, by its identity."""
    kinds: Kinds = ((node.publishers, node.destroy_publisher),
                    (node.subscriptions, node.destroy_subscription),
                    (node.services, node.destroy_service), (node.clients, node.destroy_client),
                    (node.timers, node.destroy_timer), (node.guards, node.destroy_guard_condition))
    found: dict[int, Callable[[], Any]] = {id(thing): partial(destroy, thing)
                                           for things, destroy in kinds for thing in things}
    actions = (w for w in node.waitables if isinstance(w, ActionServer | ActionClient))
    return found | {id(action): action.destroy for action in actions}


def release(node: Node, kept: Collection[int]) -> None:
    """Destroy all entities of a node but the ``kept`` ones."""
    for identity, destroy in entities(node).items():
        if identity not in kept:
            destroy()
