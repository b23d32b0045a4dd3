# SPDX-License-Identifier: Apache-2.0
"""A publisher that comes later with a weaker quality of service is recorded too."""
from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy")
pytest.importorskip("wm_ros.msg")
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.publisher import Publisher  # noqa: E402
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from wm_ros.data.bag import BagWriter, read  # noqa: E402
from wm_ros.nodes import qos, recorder_node  # noqa: E402
from wm_ros.nodes.recorder_node import BOTH, LOOK_AROUND, Recorder  # noqa: E402

PATIENCE = 20.0  # s on a busy machine
LATCHED = 5  # messages that are there before the recorder


class Talk:
    """A recorder and whoever speaks on /parts, in turns."""

    def __init__(self, folder: Path) -> None:
        self.node = Node("talk")
        self.recorder = Recorder(BagWriter(folder), {"/parts"}, None)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.recorder)
        self.looked = 0.0
        self.said: dict[str, int] = {}

    def speaker(self, reliable: bool, latched: bool) -> Publisher:
        return self.node.create_publisher(String, "/parts", qos.profile(50, reliable, latched))

    def say(self, name: str, publisher: Publisher) -> None:
        publisher.publish(String(data=f"{name} {self.said.setdefault(name, 0)}"))
        self.said[name] += 1

    def turn(self) -> None:
        """What the recorder does in its loop."""
        until = time.monotonic() + 0.02
        while time.monotonic() < until:
            self.executor.spin_once(timeout_sec=0.005)
        if time.monotonic() - self.looked > LOOK_AROUND:
            self.looked = time.monotonic()
            self.recorder.look_around()

    def heard(self) -> dict[str, list[int]]:
        """The numbers in the bag, by who said them."""
        self.recorder.writer.flush()
        numbers: dict[str, list[int]] = {}
        for record in read(self.recorder.writer.folder):
            name, number = record.message.data.split()
            numbers.setdefault(name, []).append(int(number))
        return numbers

    def asked(self) -> tuple[bool, bool]:
        """Whether the subscription is reliable, and latched."""
        profile = self.recorder._heard["/parts"].qos_profile
        return (profile.reliability == ReliabilityPolicy.RELIABLE,
                profile.durability == DurabilityPolicy.TRANSIENT_LOCAL)


@contextmanager
def talking(folder: Path) -> Iterator[Talk]:
    rclpy.init()
    talk = Talk(folder)
    try:
        yield talk
    finally:
        talk.recorder.writer.close()
        for node in (talk.recorder, talk.node):
            node.destroy_node()
        rclpy.try_shutdown()


@pytest.mark.parametrize(("arm", "hand"), [
    ((True, False), (False, False)), ((True, True), (True, False)), ((True, True), (False, True)),
    ((False, True), (False, False)), ((True, True), (False, False))])
def test_a_weaker_publisher_that_comes_later_is_recorded_and_nothing_is_lost_or_doubled(
        tmp_path: Path, arm: tuple[bool, bool], hand: tuple[bool, bool]) -> None:
    with talking(tmp_path / "bag") as talk:
        first = talk.speaker(*arm)
        for _ in range(LATCHED):
            talk.say("arm", first)
        end = time.monotonic() + PATIENCE
        while len(talk.heard().get("arm", [])) < LATCHED + 20:
            assert time.monotonic() < end, "the arm is not heard"
            talk.say("arm", first)
            talk.turn()
        assert talk.asked() == arm
        second, weak = talk.speaker(*hand), (arm[0] and hand[0], arm[1] and hand[1])
        end, over, most = time.monotonic() + PATIENCE, 0.0, 0
        while not over or time.monotonic() < over:  # until the old subscription has gone
            assert time.monotonic() < end, "the hand is not heard"
            for name, publisher in (("arm", first), ("hand", second)):
                talk.say(name, publisher)
            talk.turn()
            most = max(most, len(list(talk.recorder.subscriptions)))
            if not over and len(talk.heard().get("hand", [])) > 5:
                over = time.monotonic() + BOTH + 3 * LOOK_AROUND
        assert most == 2, "the old subscription stays until the new one is known"
        assert talk.asked() == weak and not talk.recorder._going
        assert len(list(talk.recorder.subscriptions)) == 1
        for _ in range(10):
            talk.turn()
        heard = talk.heard()
        for name, numbers in heard.items():
            assert sorted(numbers) == list(range(min(numbers), talk.said[name])), name
        if arm == (True, True):
            assert min(heard["arm"]) == 0, "latched messages belong in"


def test_a_subscription_that_serves_all_stays_as_it_is(tmp_path: Path) -> None:
    with talking(tmp_path / "bag") as talk:
        first = talk.speaker(False, False)
        talk.looked = time.monotonic() - 1.0
        end = time.monotonic() + PATIENCE
        while not talk.heard():
            assert time.monotonic() < end, "it is not heard"
            talk.say("arm", first)
            talk.turn()
        before = talk.recorder._heard["/parts"]
        talk.speaker(True, True)  # a stricter one
        end = time.monotonic() + 3 * LOOK_AROUND
        while time.monotonic() < end:
            talk.turn()
        assert talk.recorder._heard["/parts"] is before and not talk.recorder._going
        assert recorder_node.match([before]) == before.qos_profile
