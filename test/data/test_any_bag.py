# SPDX-License-Identifier: Apache-2.0
"""Bags of other recorders are read: mcap and sqlite3, compressed, split, torn."""
from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy")
pytest.importorskip("wm_ros.msg")
from rosbags.rosbag2 import CompressionMode, StoragePlugin  # noqa: E402

from wm_ros.bridge.recorded import Heard, Undecoded, heard  # noqa: E402
from wm_ros.convert.to_bag import copy  # noqa: E402
from wm_ros.data.any_bag import AnyBag, survey  # noqa: E402
from wm_ros.data.bag import METADATA, BagWriter, read_raw, recover  # noqa: E402
from wm_ros.data.definitions import definition, type_hash  # noqa: E402
from wm_ros.data.topic_map import load_map  # noqa: E402
from wm_ros.errors import UserError  # noqa: E402
from wm_ros.paths import config  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bags"))
from other_bags import BAGS, by_rosbags, torn  # noqa: E402

MCAP, SQLITE3 = StoragePlugin.MCAP, StoragePlugin.SQLITE3
NONE, FILE, MESSAGE, STORAGE = (CompressionMode.NONE, CompressionMode.FILE,
                                CompressionMode.MESSAGE, CompressionMode.STORAGE)


def content(bag: Path) -> list[tuple[str, str, int, bytes]]:
    return sorted((r.topic, r.type, r.log_time, r.data) for r in AnyBag(bag).messages())


@pytest.mark.parametrize(("plugin", "mode"), [
    (MCAP, NONE), (MCAP, STORAGE), (MCAP, FILE), (SQLITE3, NONE), (SQLITE3, FILE),
    (SQLITE3, MESSAGE)])
def test_bags_of_rosbag2_hold_the_same_messages_however_they_are_stored(
        tmp_path: Path, plugin: StoragePlugin, mode: CompressionMode) -> None:
    other = by_rosbags(BAGS / "office", tmp_path / "other", plugin, mode)
    assert content(other) == content(BAGS / "office")
    assert not AnyBag(other).damage


def test_a_database_without_metadata_is_read(tmp_path: Path) -> None:
    other = by_rosbags(BAGS / "home", tmp_path / "other", SQLITE3)
    (other / "metadata.yaml").unlink()
    assert content(other) == content(BAGS / "home")
    [file] = other.glob("*.db3")
    assert content(file) == content(BAGS / "home")


def test_a_split_bag_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    for part in range(11):
        writer = BagWriter(tmp_path / f"part{part}")
        writer.add_topic("/count", "std_msgs/msg/String")
        writer.write("/count", bytes([part]), 1000 + part)
        writer.close()
        shutil.copy(writer.file, folder / f"split_{part}.mcap")
    assert [raw.log_time for raw in AnyBag(folder).messages()] == list(range(1000, 1011))


def test_a_copy_keeps_the_definitions_that_its_messages_were_written_by(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    writer.add_topic("/old", "std_msgs/msg/String", text="string data\nint32 since_then_dropped\n")
    writer.add_topic("/own", "std_msgs/msg/Bool")
    for topic in ("/old", "/own"):
        writer.write(topic, bytes(8), 1000)
    writer.close()
    copy(AnyBag(tmp_path / "bag"), tmp_path / "copy")
    kept = AnyBag(tmp_path / "copy").definitions()
    assert kept == AnyBag(tmp_path / "bag").definitions()
    assert kept["std_msgs/msg/String"] == "string data\nint32 since_then_dropped\n"
    assert kept["std_msgs/msg/Bool"] == definition("std_msgs/msg/Bool")
    listed = yaml.safe_load((tmp_path / "copy" / METADATA).read_text())
    hashes = {entry["topic_metadata"]["name"]: entry["topic_metadata"].get("type_description_hash")
              for entry in listed["rosbag2_bagfile_information"]["topics_with_message_count"]}
    assert hashes["/own"] == type_hash("std_msgs/msg/Bool")
    assert hashes["/old"] != type_hash("std_msgs/msg/String")


def test_a_torn_bag_is_read_as_far_as_it_goes_and_says_so(tmp_path: Path) -> None:
    torn(BAGS / "home", tmp_path / "torn", 1 / 2)
    bag = AnyBag(tmp_path / "torn")
    kept = list(bag.messages())
    assert 0 < len(kept) < 831 and not bag.finished
    assert "breaks off" in bag.damage[0] or "not completed" in bag.damage[0]
    assert recover(tmp_path / "torn") == len(kept)


def test_damage_in_the_middle_of_a_file_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(BAGS / "home", tmp_path / "home")
    [file] = (tmp_path / "home").glob("*.mcap")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    bag = AnyBag(tmp_path / "home")
    assert len(list(bag.messages())) < 831
    assert "breaks off" in bag.damage[0]


def test_a_damaged_message_is_told_apart_from_the_sound_ones(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    good = [r for r in read_raw(BAGS / "home") if r.topic == "/joint_states"][:3]
    writer.add_topic("/joint_states", good[0].type)
    for raw, data in zip(good, (good[0].data, good[1].data[:30], good[2].data), strict=True):
        writer.write(raw.topic, data, raw.log_time)
    writer.close()
    found = list(heard(AnyBag(tmp_path / "bag"), load_map()))
    assert [type(item) for item in found] == [Heard, Undecoded, Heard]
    assert "damaged" in found[1].reason


def test_the_fingerprint_follows_the_messages_and_not_the_file(tmp_path: Path) -> None:
    def mark(bag: Path) -> str:
        return survey(AnyBag(bag), load_map().roles)[1]

    home = mark(BAGS / "home")
    assert mark(by_rosbags(BAGS / "home", tmp_path / "other", MCAP)) == home
    assert mark(by_rosbags(BAGS / "home", tmp_path / "third", SQLITE3, MESSAGE)) == home
    assert mark(BAGS / "office") != home


def test_latched_topics_of_older_rosbag2_stay_latched(tmp_path: Path) -> None:
    other = by_rosbags(BAGS / "home", tmp_path / "other", SQLITE3)
    about = yaml.safe_load((other / "metadata.yaml").read_text())
    info = about["rosbag2_bagfile_information"]
    info["version"] = 5  # profiles are text, policies are numbers
    profiles = (
        "- history: 1\n  depth: 1\n  reliability: 1\n  durability: 1\n  deadline: &long\n"
        "    sec: 9223372036\n    nsec: 854775807\n  lifespan: *long\n  liveliness: 1\n"
        "  liveliness_lease_duration: *long\n  avoid_ros_namespace_conventions: false\n")
    for entry in info["topics_with_message_count"]:
        entry["topic_metadata"]["offered_qos_profiles"] = profiles
    (other / "metadata.yaml").write_text(yaml.safe_dump(about))
    [file] = other.glob("*.db3")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE topics SET offered_qos_profiles = ?", (profiles,))
    [profile] = AnyBag(other).profiles()["/tf_static"]
    assert profile["durability"] == "transient_local" and profile["history"] == "keep_last"
    assert profile["reliability"] == "reliable" and profile["deadline"]["sec"] == 9223372036
    assert content(other) == content(BAGS / "home")


def test_a_database_that_does_not_fit_its_metadata_is_not_silently_empty(tmp_path: Path) -> None:
    other = by_rosbags(BAGS / "home", tmp_path / "other", SQLITE3)
    [file] = other.glob("*.db3")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE topics SET type = 'std_msgs/msg/Bool'")
    bag = AnyBag(other)
    assert not list(bag.messages()) and "metadata" in bag.damage[0]


def test_what_is_no_bag_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        AnyBag(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no bag"):
        list(AnyBag(tmp_path / "empty").messages())
    (tmp_path / "empty/metadata.yaml").write_text("nothing: here\n")
    with pytest.raises(UserError, match="damaged"):
        AnyBag(tmp_path / "empty")


def test_the_example_map_and_the_nodes_own_file_can_be_read(tmp_path: Path) -> None:
    assert load_map(config("bag_topics.yaml")).topics["wrench"] == ""
    assert load_map(config("topics.yaml")).topics == load_map().topics
    (tmp_path / "map.yaml").write_text("topics: {eye: /x}\n")
    with pytest.raises(UserError, match="eye"):
        load_map(tmp_path / "map.yaml")
    (tmp_path / "map.yaml").write_text("topics: {3: /x, eye: /y}\n")
    with pytest.raises(UserError, match="names 3, eye under topics"):
        load_map(tmp_path / "map.yaml")
    (tmp_path / "map.yaml").write_text("topics: {scene_color: /c, wrist_color: c}\n")
    with pytest.raises(UserError, match="/c stands for scene_color and wrist_color"):
        load_map(tmp_path / "map.yaml")
    (tmp_path / "map.yaml").write_text("- a list\n")
    with pytest.raises(UserError, match="must hold"):
        load_map(tmp_path / "map.yaml")


def test_a_damaged_page_or_message_ends_the_reading_and_is_told(tmp_path: Path) -> None:
    plain = by_rosbags(BAGS / "home", tmp_path / "plain", SQLITE3)
    [file] = plain.glob("*.db3")
    with closing(sqlite3.connect(file)) as database:
        [[size]] = database.execute("PRAGMA page_size")
    whole = bytearray(file.read_bytes())
    page = len(whole) // 2 // size * size
    whole[page:page + 4] = b"\xff" * 4  # where the image that lies here goes on
    file.write_bytes(whole)
    packed = by_rosbags(BAGS / "home", tmp_path / "packed", SQLITE3, MESSAGE)
    [file] = packed.glob("*.db3")
    with closing(sqlite3.connect(file)) as database:
        [[middle]] = database.execute("SELECT id FROM messages ORDER BY timestamp LIMIT 1 "
                                      "OFFSET (SELECT count(*) / 2 FROM messages)")
        database.execute("UPDATE messages SET data = zeroblob(20) WHERE id = ?", (middle,))
        database.commit()
    for folder in (plain, packed):
        bag = AnyBag(folder)
        read = len(list(bag.messages()))
        assert 0 < read < len(list(read_raw(BAGS / "home"))), folder
        assert "damaged from some place on" in bag.damage[0]
