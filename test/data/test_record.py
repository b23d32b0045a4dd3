# SPDX-License-Identifier: Apache-2.0
"""Recording: everything that is published is kept, and kill -9 loses the last moment at most."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wm_ros.data.bag import BagWriter, read, read_raw, recover, topics_of
from wm_ros.data.definitions import definition, type_hash
from wm_ros.data.record import wanted
from wm_ros.errors import UserError

pytest.importorskip("rclpy")
pytest.importorskip("wm_ros.msg")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from kill_recorder import Loss, environment, measure  # noqa: E402

BAR = 0.2  # s that killed recorders may lose, but for one of them


@pytest.fixture()
def talker() -> Iterator[dict[str, str]]:
    env = environment()
    process = subprocess.Popen([sys.executable, str(HERE / "talker.py")], env=env)
    yield env
    process.kill()
    process.wait()


def start(env: dict[str, str], out: Path, *more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "wm_ros.cli", "record", "--out", str(out), *more], env=env)


def wait_for_size(out: Path, size: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if sum(f.stat().st_size for f in out.glob("*.mcap")) > size:
            return
        time.sleep(0.05)
    raise AssertionError("nothing was recorded")


def check_losses(losses: list[Loss]) -> None:
    assert all(loss.gaps == 0 for loss in losses), "messages are missing in between"
    assert all(loss.count > 0 for loss in losses)
    # one recorder may have stood still with the whole machine
    assert sorted(loss.seconds for loss in losses)[-2] <= BAR, losses


def test_kill_9_at_random_moments_keeps_all_but_the_last_moment(tmp_path: Path) -> None:
    check_losses(measure(tmp_path, 3, seed=1))


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("WM_SLOW_TESTS"), reason="set WM_SLOW_TESTS=1 to run it")
def test_kill_9_at_twenty_random_moments_keeps_all_but_the_last_moment(tmp_path: Path) -> None:
    check_losses(measure(tmp_path, 20, seed=2))


def test_a_bag_is_what_rosbag2_reads(talker, tmp_path: Path) -> None:
    bag = tmp_path / "run"
    process = start(talker, bag)
    wait_for_size(bag, 20_000)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    topics = topics_of(bag)
    assert topics["/robot_description"] == ("std_msgs/msg/String", 1), "latched messages belong in"
    assert topics["/wm/surprise"][0] == "wm_ros/msg/Surprise"
    assert "transient_local" in (bag / "metadata.yaml").read_text(), "latched topics must stay so"
    from rosbags.highlevel import AnyReader  # an independent reader

    with AnyReader([bag]) as reader:
        assert reader.message_count == sum(count for _, count in topics.values())
        connections = {c.topic: c for c in reader.connections}
        assert connections["/wm/surprise"].digest == type_hash("wm_ros/msg/Surprise")
        for connection, _, raw in reader.messages([connections["/wm/surprise"]]):
            message = reader.deserialize(raw, connection.msgtype)
            assert message.value % 3 == 0 and message.chunk_id == "c"
            break


def test_only_the_named_topics_are_recorded(talker, tmp_path: Path) -> None:
    bag = tmp_path / "run"
    assert start(talker, bag, "--topics", "/count", "--seconds", "5").wait(30) == 0
    assert set(topics_of(bag)) == {"/count"}


def test_a_bag_is_never_overwritten(tmp_path: Path) -> None:
    BagWriter(tmp_path / "run").close()
    with pytest.raises(UserError, match="not overwritten"):
        BagWriter(tmp_path / "run")


def test_a_torn_file_is_read_up_to_the_tear(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "run")
    writer.add_topic("/count", "std_msgs/msg/String")
    for number in range(200):
        writer.write("/count", bytes(2000), 1000 + number)
    writer.flush()
    whole = writer.file.read_bytes()
    for cut in (len(whole) - 1, len(whole) // 2, 40, 8):
        (tmp_path / "torn.mcap").write_bytes(whole[:cut])
        times = [raw.log_time for raw in read_raw(tmp_path / "torn.mcap")]
        assert times == list(range(1000, 1000 + len(times)))
    writer.close()
    assert topics_of(tmp_path / "run")["/count"][1] == 200


def test_definitions_hold_all_that_a_type_uses() -> None:
    text = definition("sensor_msgs/msg/Image")
    assert "MSG: std_msgs/Header" in text and "MSG: builtin_interfaces/Time" in text
    assert type_hash("sensor_msgs/msg/Image").startswith("RIHS01_")
    assert definition("no_such/msg/Thing") == ""


def test_hidden_topics_and_excluded_ones_are_left_out() -> None:
    assert not wanted("/arm/_action/feedback", set(), None)
    assert not wanted("/parameter_events", set(), None)
    assert wanted("/arm/_action/feedback", {"/arm/_action/feedback"}, None)


def test_a_folder_without_a_bag_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no mcap bag"):
        recover(tmp_path)


def test_recovering_a_split_bag_keeps_every_file_and_unknown_types(tmp_path: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    for part in range(2):
        writer = BagWriter(tmp_path / f"part{part}")
        writer.add_topic("/count", "their_msgs/msg/Count", text="int32 count")
        writer.write("/count", bytes([0, 1, 0, 0, part, 0, 0, 0]), 1000 + part)
        writer.close()
        os.replace(writer.file, folder / f"split_{part}.mcap")
    assert recover(folder) == 2
    assert [record.message.count for record in read(folder)] == [0, 1]
    assert sorted(p.name for p in folder.iterdir()) == [
        "metadata.yaml", "split_0.mcap", "split_0.mcap.torn", "split_1.mcap.torn"]


def test_topics_may_be_named_without_their_slash_and_left_out_all_the_same() -> None:
    assert wanted("/a/image", {"/a/image"}, None)
    assert not wanted("/a/image", {"/a/image"}, re.compile("image"))


def test_a_bag_that_is_still_being_recorded_is_left_to_its_recorder(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    writer.add_topic("/words", "std_msgs/msg/String")
    writer.write("/words", bytes(8), 1000)
    writer.flush()
    with pytest.raises(UserError, match="still being recorded"):
        recover(tmp_path / "bag")
    writer.write("/words", bytes(8), 1001)
    writer.close()
    assert recover(tmp_path / "bag") == 2


def test_a_bag_that_grows_is_read_with_types_that_come_later(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")

    def say(name: str, number: int) -> None:
        writer.add_topic(f"/{name}", f"their_msgs/msg/{name}", text="int32 count")
        writer.write(f"/{name}", bytes([0, 1, 0, 0, number, 0, 0, 0]), 1000 + number)
        writer.flush()

    say("One", 1)
    records = read(tmp_path / "bag")
    assert next(records).message.count == 1
    say("Two", 2)
    assert [record.message.count for record in records] == [2]
    writer.close()


@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_a_recovery_that_is_stopped_loses_nothing(tmp_path: Path, monkeypatch,
                                                  calls: int) -> None:
    folder, replace, left = tmp_path / "bag", os.replace, [calls]
    for part in range(2):
        writer = BagWriter(tmp_path / f"part{part}")
        writer.add_topic("/words", "std_msgs/msg/String")
        writer.write("/words", bytes(8), 1000 + part)
        writer.close()
        folder.mkdir(exist_ok=True)
        replace(writer.file, folder / f"bag_{part}.mcap")

    def stops(source: Path, target: Path) -> None:
        left[0] -= "recovered/metadata" not in str(target)
        if left[0] == 0:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", stops)
        recover(folder)
    assert recover(folder) == 2
    assert [raw.log_time for raw in read_raw(folder)] == [1000, 1001]
