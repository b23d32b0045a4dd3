# SPDX-License-Identifier: Apache-2.0
"""Quality of service of the suite's topics, named by what they carry."""
from __future__ import annotations

from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)


def profile(depth: int, reliable: bool, latched: bool = False) -> QoSProfile:
    """A profile that keeps the newest ``depth`` messages."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE))


SENSOR = profile(5, reliable=False)  # images, wrench: the newest counts
STATE = profile(20, reliable=True)  # joint states
EVENT = profile(10, reliable=True)  # chunks, rollouts, observations
LATCHED = profile(1, reliable=True, latched=True)  # descriptions and states
CLOCK = profile(1, reliable=False)
TF = profile(100, reliable=True)
TF_STATIC = profile(100, reliable=True, latched=True)  # every publisher says its own at once

# rclpy would watch each of our own topics for foreign qualities of service, by two more entities
# to wait on, and an executor pays for every entity at every message.
UNWATCHED_OUT = PublisherEventCallbacks(use_default_callbacks=False)
UNWATCHED_IN = SubscriptionEventCallbacks(use_default_callbacks=False)


def heartbeat(lease: float) -> QoSProfile:
    """Heartbeats: the middleware itself tells when a process is gone for ``lease`` seconds."""
    beats = profile(10, reliable=True)
    beats.liveliness = LivelinessPolicy.AUTOMATIC
    beats.liveliness_lease_duration = Duration(seconds=lease)
    return beats
