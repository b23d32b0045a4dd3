# SPDX-License-Identifier: Apache-2.0
"""The recorder: raw subscriptions to everything that is published, straight into a bag."""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription

from wm_ros import environment
from wm_ros.bridge.recorded import message_class
from wm_ros.data.bag import BagWriter
from wm_ros.data.record import wanted
from wm_ros.errors import UserError
from wm_ros.nodes import qos
from wm_ros.nodes.base import leave_with_supervisor

LOOK_AROUND = 0.25  # s between two looks for new topics
BOTH = 1.0  # s in which a subscription that goes and the one in its place are both there
DEPTH = 200


class Recorder(Node):
    """Subscribes to topics as they appear and writes each message as it arrives."""

    def __init__(
        self, writer: BagWriter, only: set[str], exclude: re.Pattern[str] | None
    ) -> None:
        super().__init__("wm_recorder", start_parameter_services=False)
        self.writer = writer
        self.problem = ""
        self._only, self._exclude = only, exclude
        self._heard: dict[str, Subscription] = {}
        self._unreadable: set[str] = set()
        self._renewed: set[str] = set()
        self._going: list[tuple[float, Subscription]] = []  # and when it goes

    def look_around(self) -> None:
        """Subscribe to what is published and not subscribed yet, and anew where a publisher has
        come that cannot serve what the subscription asks for."""
        self._end_old()
        for topic, types in self.get_topic_names_and_types():
            if topic in self._unreadable or not wanted(topic, self._only, self._exclude):
                continue
            offers = self.get_publishers_info_by_topic(topic)
            if not offers:
                continue
            if topic in self._heard:
                self._renew(topic, offers)
                continue
            try:
                kind = message_class(types[0])
            except UserError as error:
                self._unreadable.add(topic)
                self.get_logger().warning(f"{topic} is not recorded: {error}")
                continue
            self.writer.add_topic(topic, types[0], [describe(offer) for offer in offers])
            self._hear(topic, kind, self._keep(topic), match(offers))

    def _hear(self, topic: str, kind: Any, keep: Callable[..., None], asked: QoSProfile) -> None:
        self._heard[topic] = self.create_subscription(kind, topic, keep, asked, raw=True,
                                                      event_callbacks=qos.UNWATCHED_IN)

    def _renew(self, topic: str, offers: list[Any]) -> None:
        """Ask for less where one of the publishers cannot serve what is asked for.

        The old subscription stays for a while, until the publishers know the new one; what both
        hear, and what was latched and comes again, is written once.
        """
        old = self._heard[topic]
        asked = match([*offers, old])
        if asked != old.qos_profile:
            self._renewed.add(topic)
            self._going.append((time.monotonic() + BOTH, old))
            self._hear(topic, old.msg_type, old.callback, asked)

    def _end_old(self) -> None:
        now = time.monotonic()
        for end, subscription in self._going:
            if end <= now:
                self.destroy_subscription(subscription)
        self._going = [entry for entry in self._going if entry[0] > now]

    def _keep(self, topic: str) -> Callable[..., None]:
        recent: deque[int] = deque(maxlen=2 * DEPTH)  # when they were sent, ns

        def keep(data: bytes, info: Any) -> None:
            if self.problem:
                return
            sent = info["source_timestamp"] if isinstance(info, dict) else info.source_timestamp
            if topic in self._renewed and sent and sent in recent:
                return
            recent.append(sent)
            try:
                self.writer.write(topic, data, time.time_ns(), int(sent))
            except OSError as error:
                self.problem = error.strerror or str(error)

        return keep


def match(offers: list[Any]) -> QoSProfile:
    """The strictest profile that every one can serve of those whose profiles are given."""
    profiles = [offer.qos_profile for offer in offers]
    reliable = all(p.reliability == ReliabilityPolicy.RELIABLE for p in profiles)
    latched = all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles)
    return qos.profile(DEPTH, reliable=reliable, latched=latched)


def describe(offer: Any) -> dict[str, Any]:
    """A publisher's profile in the words of rosbag2's metadata."""
    profile = offer.qos_profile

    def policy(value: Any) -> str:
        return str(value.name).lower()

    def span(duration: Any) -> dict[str, int]:
        seconds, ns = divmod(duration.nanoseconds, 1_000_000_000)
        return {"sec": seconds, "nsec": ns}

    return {
        "history": policy(profile.history),
        "depth": profile.depth,
        "reliability": policy(profile.reliability),
        "durability": policy(profile.durability),
        "deadline": span(profile.deadline),
        "lifespan": span(profile.lifespan),
        "liveliness": policy(profile.liveliness),
        "liveliness_lease_duration": span(profile.liveliness_lease_duration),
        "avoid_ros_namespace_conventions": profile.avoid_ros_namespace_conventions,
    }


def record(
    out: Path, only: set[str], exclude: re.Pattern[str] | None, seconds: float = 0.0
) -> int:
    """Record until SIGINT, SIGTERM or the end of `seconds`; returns an exit status.

    :raises UserError: the folder exists, or the disk is full (what was written stays readable)
    """
    environment.prepare()
    environment.step_back()
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    writer = BagWriter(out)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    recorder = Recorder(writer, only, exclude)
    executor = SingleThreadedExecutor()
    executor.add_node(recorder)
    print(f"Recording to {out}; Ctrl-C ends it.", file=sys.stderr, flush=True)
    started = looked = time.monotonic()
    recorder.look_around()
    try:
        while not ending.is_set() and not recorder.problem:
            executor.spin_once(timeout_sec=0.05)
            now = time.monotonic()
            if now - looked > LOOK_AROUND:
                looked = now
                recorder.look_around()
                leave_with_supervisor(ending)
            if seconds and now - started > seconds:
                break
            writer.flush_if_due()
    except OSError as error:
        recorder.problem = error.strerror or str(error)
    try:
        writer.close()
    except OSError as error:
        recorder.problem = recorder.problem or error.strerror or str(error)
    recorder.destroy_node()
    rclpy.try_shutdown()
    if recorder.problem:
        raise UserError(
            f"The recording to {out} ended ({recorder.problem}): make room; what was written can "
            f"be completed with `wm record --recover {out}`."
        )
    print(f"{out}: {writer.messages} messages.", file=sys.stderr)
    return 0
