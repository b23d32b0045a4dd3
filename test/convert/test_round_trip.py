# SPDX-License-Identifier: Apache-2.0
"""`wm convert`: nothing recorded is lost, what is dropped is told, and a stop costs nothing."""
from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")
pytest.importorskip("wm_ros.msg")
from rclpy.serialization import serialize_message  # noqa: E402
from rosbags.rosbag2 import StoragePlugin  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from wm_ros.bridge import commands, times  # noqa: E402
from wm_ros.bridge.recorded import decode  # noqa: E402
from wm_ros.cli import main  # noqa: E402
from wm_ros.convert import episodes  # noqa: E402
from wm_ros.convert import pack as packing  # noqa: E402
from wm_ros.convert.command import find_bags  # noqa: E402
from wm_ros.convert.episodes import Maker, longest  # noqa: E402
from wm_ros.convert.index import Index, _look_at  # noqa: E402
from wm_ros.data.any_bag import AnyBag  # noqa: E402
from wm_ros.data.bag import BagWriter, Raw, read_raw, recover  # noqa: E402
from wm_ros.data.episode import VECTOR_FEATURES, Episode  # noqa: E402
from wm_ros.data.lerobot import Dataset, DatasetWriter  # noqa: E402
from wm_ros.files import alone  # noqa: E402
from wm_ros.paths import config  # noqa: E402

TEST = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TEST / "data"))
sys.path.insert(0, str(TEST / "bags"))
from other_bags import BAGS, arm_and_hand_apart, bent, by_rosbags, changed, torn  # noqa: E402
from synthetic import synthetic_episode  # noqa: E402


def convert(*words: object) -> int:
    return main(["convert", *map(str, words)])


def messages(bag: Path) -> list[Raw]:
    return sorted(AnyBag(bag).messages())


def state(root: Path) -> list[dict]:
    return list(json.loads((root / "convert.json").read_text())["sources"].values())


def seconds(raw: Raw) -> float:
    return raw.log_time * 1e-9


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both rooms' bags as a data set."""
    root = tmp_path_factory.mktemp("convert") / "set"
    assert convert(BAGS, "--out", root) == 0
    return root


def test_a_converted_set_can_be_trained_from(dataset: Path, tmp_path: Path) -> None:
    from wm_ros.data.cache import build_cache

    cache = build_cache([dataset], tmp_path / "cache", workers=1)
    assert len(cache) == 84 and set(cache.instructions) == {
        s["episodes"][0]["task"].replace("_", " ") for s in state(dataset)}
    made = Dataset(dataset)
    np.testing.assert_array_equal(cache.scene[:42], made.episode(0).images["scene"])


def test_a_bag_comes_back_from_a_data_set_byte_by_byte(
        dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(dataset, "--out", tmp_path / "bags") == 0
    assert convert(dataset, "--out", tmp_path / "bags") == 0
    assert "0 bags written, 2 were there already" in capsys.readouterr().err
    back = {folder.name.split("-")[0]: folder for folder in (tmp_path / "bags").glob("[!.]*")}
    assert set(back) == {"home", "office"}
    for room, folder in back.items():
        assert messages(folder) == messages(BAGS / room)
        assert "transient_local" in (folder / "metadata.yaml").read_text()


def test_rows_hold_what_was_recorded(dataset: Path) -> None:
    made = Dataset(dataset)
    assert len(made) == 2 and made.frames == 84
    rows = {source["name"]: source for source in state(dataset)}
    for source in rows.values():
        assert source["images"] == source["rows"] == 42 and source["dropped"] == {}
        assert source["actions_from"] == "commanded joints"
    episode = next(made.episode(i) for i in range(2)
                   if made.rows[i]["seed"] == rows["home"]["episodes"][0]["seed"])
    seen = {topic: [decode(r) for r in read_raw(BAGS / "home") if r.topic == topic]
            for topic in ("/scene_camera/color/image_raw", "/scene_camera/depth/image_rect_raw",
                          "/joint_states", "/wm/instruction")}
    assert episode.instruction == seen["/wm/instruction"][0].data
    for t, image in enumerate(seen["/scene_camera/color/image_raw"]):
        np.testing.assert_array_equal(episode.images["scene"][t].ravel(), image.data)
        depth = np.frombuffer(seen["/scene_camera/depth/image_rect_raw"][t].data, np.float32)
        np.testing.assert_array_equal(episode.depth[t].ravel(), np.rint(depth * 1000))
        stamp = image.header.stamp
        [joints] = [m for m in seen["/joint_states"] if m.header.stamp == stamp]
        np.testing.assert_array_equal(episode.state[t, :7], np.float32(joints.position[:7]))
    # an action is where the arm was told to be at the next row: near to where it then is
    ahead = np.linalg.norm(episode.action[:-1, :3] - episode.state[1:, 8:11], axis=1)
    behind = np.linalg.norm(episode.action[:-1, :3] - episode.state[:-1, 8:11], axis=1)
    assert np.median(ahead) < 0.02 and ahead.mean() < behind.mean()


def test_arm_and_hand_that_are_published_apart_give_the_same_rows(
        dataset: Path, tmp_path: Path) -> None:
    bag = changed(BAGS / "home", tmp_path / "bag", arm_and_hand_apart)
    assert convert(bag, "--out", tmp_path / "set") == 0
    [source] = state(tmp_path / "set")
    assert source["rows"] == 42 and source["dropped"] == {} == source["unusable"]
    [made] = map(Dataset(tmp_path / "set").episode, range(1))
    before = Dataset(dataset)
    reference = next(e for e in map(before.episode, range(len(before))) if e.task == made.task)
    for attribute, _ in VECTOR_FEATURES.values():
        np.testing.assert_array_equal(getattr(made, attribute), getattr(reference, attribute))
    np.testing.assert_array_equal(made.images["scene"], reference.images["scene"])


def test_depth_and_wrench_that_were_not_recorded_are_zeros_and_it_is_said(
        dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def without(raw: Raw) -> Iterator[Raw]:
        if raw.topic not in ("/scene_camera/depth/image_rect_raw", "/wrist/wrench"):
            yield raw

    def zeros(source: dict) -> list[str]:
        return [note.split(":")[0] for note in source["assumed"] if "zeros" in note]

    bag = changed(BAGS / "home", tmp_path / "bag", without)
    assert convert(bag, "--out", tmp_path / "set") == 0
    [source] = state(tmp_path / "set")
    assert source["rows"] == 42 and zeros(source) == ["depth", "wrench"]
    assert "depth: zeros" in capsys.readouterr().err
    made = Dataset(tmp_path / "set").episode(0)
    assert not made.depth.any() and not made.wrench.any()
    assert not any(map(zeros, state(dataset)))  # both were recorded


def test_images_alone_make_a_set_that_is_trained_from_as_video(
        dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def cameras(raw: Raw) -> Iterator[Raw]:
        if "camera" in raw.topic or raw.topic in ("/tf_static", "/wm/instruction"):
            yield raw

    bag, root = changed(BAGS / "home", tmp_path / "bag", cameras), tmp_path / "set"
    assert convert(bag, "--out", root) == 2 and "joint_states" in capsys.readouterr().err
    assert convert(bag, "--out", root, "--images-only") == 0
    [source] = state(root)
    assert source["rows"] == 42 and source["dropped"] == {} == source["unusable"]
    assert any("wm train --video" in note for note in source["assumed"])
    made, before = Dataset(root).episode(0), Dataset(dataset)
    reference = next(e for e in map(before.episode, range(len(before))) if e.task == made.task)
    np.testing.assert_array_equal(made.images["wrist"], reference.images["wrist"])
    np.testing.assert_array_equal(made.depth, reference.depth)
    np.testing.assert_allclose(made.camera, reference.camera, atol=1e-6)
    assert not made.state[:, :14].any() and (made.action == [0, 0, 0, 0, 0, 0, 1, 0]).all()
    # what the bag tells of the arm is left out where it is not to be used
    assert convert(BAGS / "home", "--out", tmp_path / "same", "--images-only") == 0
    same = Dataset(tmp_path / "same").episode(0)
    np.testing.assert_array_equal(same.images["scene"], made.images["scene"])
    assert not same.state[:, :14].any()
    assert convert(BAGS / "home", "--out", root) == 2
    assert "images only" in capsys.readouterr().err
    for family in ("video", "jepa"):
        assert main(["train", "--data", str(dataset), str(root), "--out", str(tmp_path / family),
                     "--config", f"{family}_tiny"]) == 2
        assert "name their set with --video" in capsys.readouterr().err


def test_images_that_a_lens_bends_become_rows_once_they_are_said_to_be_rectified(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = changed(BAGS / "home", tmp_path / "bag", bent)
    assert convert(bag, "--out", tmp_path / "bent") == 0
    [source] = state(tmp_path / "bent")
    assert source["rows"] == 0 and all("--rectified" in why for why in source["unusable"])
    assert convert(bag, "--out", tmp_path / "set", "--rectified") == 0
    [source] = state(tmp_path / "set")
    assert source["rows"] == 42 and source["unusable"] == {}
    assert convert(bag, "--out", tmp_path / "set") == 2
    assert "rectified True" in capsys.readouterr().err.replace("\n", " ")


def test_a_controller_that_falls_silent_costs_neither_rows_nor_memory(
        dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(raw: Raw) -> Iterator[Raw]:  # the arm is guided by hand for a while
        if (raw.topic != "/panda_arm_controller/controller_state"
                or not 1.0 < seconds(raw) - 1000.0 < 3.5):
            yield raw

    monkeypatch.setattr(commands, "KEEP", 3.0)  # s; as if the recording went on for long
    waiting, real = [], Maker._add

    def add(maker: Maker, i: int, found: dict) -> Iterator[Episode]:
        waiting.append(maker._reached - maker.choice.rows[i].stamp)
        return real(maker, i, found)

    monkeypatch.setattr(Maker, "_add", add)
    bag = changed(BAGS / "home", tmp_path / "bag", silent)
    assert convert(bag, "--out", tmp_path / "set") == 0
    [source] = state(tmp_path / "set")
    assert source["rows"] == 42 and source["dropped"] == {}
    assert source["actions_from"] == ("measured joints (22 rows) and "
                                      "commanded joints (20 rows)")
    assert max(waiting) < 1.4, "rows wait for commands that do not come"
    made = Dataset(tmp_path / "set").episode(0)
    # while nothing is commanded, an action is where the arm is at the next row
    np.testing.assert_allclose(made.action[11:33, :3], made.state[12:34, 8:11], atol=1e-5)


def test_large_images_make_short_episodes(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert longest(96) == 3000
    for size in (16, 224, 480, 1024):
        assert longest(size) > 100 and longest(size) * (3 + 3 + 2) * size**2 <= 1e9
    monkeypatch.setattr(episodes, "MOST", 18 * 8 * 32**2)  # bytes: 18 rows
    root = tmp_path / "set"
    assert convert(BAGS / "home", "--out", root, "--image-size", "32", "--min-seconds", "0") == 0
    made = Dataset(root)
    progress = [made.episode(i).progress for i in range(len(made))]
    assert sorted(map(len, progress)) == [6, 18, 18]
    # what goes on in the next episode is not done at the end of this one
    ends = sorted((round(float(p[0]), 3), round(float(p[-1]), 3)) for p in progress)
    assert ends == [(0.0, 0.429), (0.429, 0.857), (0.857, 1.0)]


def test_a_gap_does_not_make_a_task_done(tmp_path: Path) -> None:
    """One lost image in the middle: what was done before it goes on after it."""
    stamps: list[float] = []

    def lost(raw: Raw) -> Iterator[Raw]:
        if raw.topic == "/scene_camera/color/image_raw":
            stamps.append(seconds(raw))
            if 2.0 < seconds(raw) - stamps[0] < 2.3:
                return
        yield raw

    root = tmp_path / "set"
    assert convert(changed(BAGS / "home", tmp_path / "bag", lost), "--out", root) == 0
    made = Dataset(root)
    low, high = sorted((made.episode(i).progress for i in range(len(made))),
                       key=lambda progress: float(progress[0]))
    rows = len(low) + len(high)
    assert low[0] == 0 and low[-1] == pytest.approx(len(low) / rows)
    assert high[0] == pytest.approx(len(low) / rows) and high[-1] == 1


def collected(root: Path) -> list[Episode]:
    """A data set as `wm collect` writes it; one episode has a camera that moves."""
    writer = DatasetWriter(root)
    for seed, about in ((0, {}), (1, {"success": False, "deliberate_failure": True}),
                        (2, {"perturbed": True}), (3, {"practised": True})):
        episode = synthetic_episode(seed=seed, rows=14, **about)
        camera = episode.camera if seed == 2 else episode.camera[:1].repeat(14, 0)
        camera[:, 12:] /= np.linalg.norm(camera[:, 12:], axis=1, keepdims=True)
        episode.camera[:] = camera
        episode.state[:, 7] = np.abs(episode.state[:, 7]) % 0.08
        writer.commit(episode)
    with writer.lock():
        writer.merge()
    made = Dataset(root)
    return [made.episode(i) for i in range(len(made))]


def test_a_data_set_comes_back_from_bags_value_by_value(tmp_path: Path) -> None:
    before = collected(tmp_path / "set")
    assert convert(tmp_path / "set", "--out", tmp_path / "bags") == 0
    assert convert(tmp_path / "bags", "--out", tmp_path / "again") == 0
    again = Dataset(tmp_path / "again")
    after = {e.key: e for e in map(again.episode, range(len(again)))}
    assert set(after) == {e.key for e in before}
    for episode in before:
        other = after[episode.key]
        for name in ("instruction", "success", "perturbed", "deliberate_failure", "practised",
                     "room"):
            assert getattr(other, name) == getattr(episode, name)
        for camera in episode.images:  # converted sets keep every bit of an image
            np.testing.assert_array_equal(other.images[camera], episode.images[camera])
        np.testing.assert_array_equal(other.depth, episode.depth)
        np.testing.assert_array_equal(other.progress, episode.progress)
        turn = np.sign((other.camera[:, 12:] * episode.camera[:, 12:]).sum(1, keepdims=True))
        other.camera[:, 12:] *= turn  # q and -q are one rotation
        for attribute, _ in VECTOR_FEATURES.values():
            exact = attribute != "camera"
            np.testing.assert_allclose(getattr(other, attribute), getattr(episode, attribute),
                                       rtol=0, atol=0 if exact else 3e-7, err_msg=attribute)


def test_a_task_may_be_an_instruction_of_any_length_and_sign(tmp_path: Path) -> None:
    writer, tasks = DatasetWriter(tmp_path / "set"), ("turn on/off the lamp", "lamp " * 80)
    for task in tasks:  # as data sets of others have them
        writer.commit(synthetic_episode(task, 0, rows=12, instruction=task.strip()))
    with writer.lock():
        writer.merge()
    assert convert(tmp_path / "set", "--out", tmp_path / "bags") == 0
    assert convert(tmp_path / "bags", "--out", tmp_path / "again", "--min-seconds", "0") == 0
    assert {row["task_name"] for row in Dataset(tmp_path / "again").rows} == set(tasks)


def recording(folder: Path) -> tuple[BagWriter, list[Raw]]:
    """A recorder that is at work, and what it has still to write."""
    writer, kept = BagWriter(folder), list(read_raw(BAGS / "home"))
    for raw in kept[:len(kept) // 2]:
        writer.add_topic(raw.topic, raw.type)
        writer.write(raw.topic, raw.data, raw.log_time, raw.publish_time)
    writer.flush()
    return writer, kept[len(kept) // 2:]


def complete(writer: BagWriter, rest: list[Raw]) -> None:
    for raw in rest:
        writer.add_topic(raw.topic, raw.type)
        writer.write(raw.topic, raw.data, raw.log_time, raw.publish_time)
    writer.close()


def test_a_bag_that_is_still_being_recorded_is_not_converted(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer, rest = recording(tmp_path / "bag")
    for source in (tmp_path / "bag", writer.file):
        assert convert(source, "--out", tmp_path / "set") == 2
        assert "still being recorded" in capsys.readouterr().err.replace("\n", " ")
    complete(writer, rest)
    assert convert(tmp_path / "bag", "--out", tmp_path / "set") == 0
    assert Dataset(tmp_path / "set").frames == 42


@pytest.mark.parametrize("stopped", [False, True])
def test_a_bag_that_was_converted_before_it_was_complete_is_not_there_twice(
        tmp_path: Path, stopped: bool, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    writer, rest = recording(tmp_path / "bag")

    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packing, "is_recording", lambda _: False)  # as of a recorder without locks
        if stopped:
            patch.setattr(packing.report, "of_bag", stops)
        assert convert(tmp_path / "bag", "--out", tmp_path / "set") == (130 if stopped else 0)
    frames = Dataset(tmp_path / "set").frames
    complete(writer, rest)
    assert 10 < frames < 42
    assert convert(tmp_path / "bag", "--out", tmp_path / "set") == 2
    said = capsys.readouterr().err.replace("\n", " ")
    assert "not complete" in said and "another --out" in said
    assert Dataset(tmp_path / "set").frames == frames
    assert convert(tmp_path / "bag", "--out", tmp_path / "other") == 0
    # a new recording of the same name goes in once it has a name of its own
    (tmp_path / "bag").rename(tmp_path / "new")
    assert convert(tmp_path / "new", "--out", tmp_path / "set") == 0


def test_completing_a_torn_bag_that_was_converted_changes_nothing(tmp_path: Path) -> None:
    torn(BAGS / "home", tmp_path / "torn", 2 / 3)
    assert convert(tmp_path / "torn", "--out", tmp_path / "set") == 0
    before = (tmp_path / "set/convert.json").read_bytes()
    recover(tmp_path / "torn")
    assert convert(tmp_path / "torn", "--out", tmp_path / "set") == 0
    assert (tmp_path / "set/convert.json").read_bytes() == before


def test_recordings_of_rosbag2_in_sqlite3_convert_to_the_same_rows(
        dataset: Path, tmp_path: Path) -> None:
    foreign = by_rosbags(BAGS / "home", tmp_path / "home", StoragePlugin.SQLITE3)
    assert convert(foreign, "--out", tmp_path / "set") == 0
    [source] = state(tmp_path / "set")
    same = next(s for s in state(dataset) if s["name"] == "home")
    assert source["episodes"] == same["episodes"]  # even the same numbers


def test_what_is_dropped_is_told_with_its_reason(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def spoil(raw: Raw) -> Iterator[Raw]:
        t = seconds(raw) - 1000.0
        if raw.topic == "/wrist_camera/color/image_raw" and 1.35 < t < 2.05:
            return  # a silent camera
        if raw.topic == "/scene_camera/color/image_raw" and 2.55 < t < 2.65:
            raw = raw._replace(data=raw.data[:100])  # a damaged image
        if raw.topic == "/wrist/wrench" and 3.05 < t < 3.15:
            message = decode(raw)
            message.wrench.force.x = float("nan")
            raw = raw._replace(data=serialize_message(message))
        yield raw
        if raw.topic == "/wm/instruction":
            yield raw._replace(topic="/diagnostics_text")

    bag = changed(BAGS / "home", tmp_path / "spoilt", spoil)
    root = tmp_path / "set"
    assert convert(bag, "--out", root, "--min-seconds", "0.6") == 0
    [source] = state(root)
    assert source["images"] == 42 == source["rows"] + sum(source["dropped"].values())
    assert source["dropped"]["unsynchronised"] == 7
    assert source["lacking"] == {"wrist_color": 7}
    assert source["dropped"]["damaged image"] == 1
    assert source["dropped"]["unusable"] == 1 and any("NaN" in why for why in source["unusable"])
    assert "wrist_color is silent" in source["gaps"][0]["reason"]
    assert source["topics_not_mapped"] == {
        "/diagnostics_text": {"type": "std_msgs/msg/String", "messages": 1}}
    assert sum(e["rows"] for e in source["episodes"]) == Dataset(root).frames
    shown = capsys.readouterr().err
    assert "unsynchronised" in shown and "wrist_color is silent" in shown


def test_a_torn_recording_gives_what_it_holds_and_says_so(tmp_path: Path) -> None:
    torn(BAGS / "home", tmp_path / "torn", 2 / 3)
    assert convert(tmp_path / "torn", "--out", tmp_path / "set") == 0
    [source] = state(tmp_path / "set")
    assert 10 < source["rows"] < 40 and source["broken_off"]
    assert source["images"] == source["rows"] + sum(source["dropped"].values())


def test_a_stopped_conversion_goes_on_where_it_was(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, calls = tmp_path / "set", []
    one = packing._one

    def stop_at_the_second(path: Path, *args: object) -> None:
        calls.append(path.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        one(path, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(packing, "_one", stop_at_the_second)
    assert convert(BAGS, "--out", root) == 130
    assert len(Dataset(root)) == 1  # what is done can be used
    monkeypatch.setattr(packing, "_one", one)
    assert convert(BAGS, "--out", root) == 0
    assert len(Dataset(root)) == 2
    before = (root / "convert.json").read_bytes()
    assert convert(BAGS, "--out", root) == 0
    assert (root / "convert.json").read_bytes() == before and len(Dataset(root)) == 2


def test_a_kill_between_an_episode_and_its_report_loses_and_doubles_nothing(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "set"

    def die(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(packing.report, "of_bag", die)
        convert(BAGS / "home", "--out", root)
    assert convert(BAGS / "home", "--out", root) == 0
    assert len(Dataset(root)) == 1 and len(state(root)) == 1


def test_nothing_is_overwritten_and_mistakes_are_said_in_one_sentence(
        dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collected(tmp_path / "collected")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    capsys.readouterr()
    for words, said in (
            ((BAGS / "home", "--out", tmp_path / "full"), "nothing is overwritten"),
            ((BAGS / "home", "--out", tmp_path / "collected"), "not made by `wm convert`"),
            ((BAGS / "home", "--out", dataset, "--image-size", "64"), "image size 96"),
            ((BAGS / "home", "--out", dataset, "--instruction", "wave"), "another instruction"),
            ((dataset, "--out", tmp_path / "full"), "nothing is overwritten"),
            ((tmp_path / "full", "--out", tmp_path / "x"), "neither a bag nor"),
            ((tmp_path / "none", "--out", tmp_path / "x"), "does not exist"),
            ((BAGS / "home", "--out", tmp_path / "x", "--image-size", "7"), "even number")):
        assert convert(*words) == 2
        error = capsys.readouterr().err
        assert said in error.replace("\n", " "), error
    assert (tmp_path / "full/mine.txt").read_text() == "mine"


def test_an_episode_that_bears_another_bags_seed_is_kept(tmp_path: Path) -> None:
    sets = []
    for number in (0, 1):
        root = tmp_path / f"set{number}"
        writer = DatasetWriter(root)
        writer.commit(synthetic_episode("open_drawer", 0, rows=12 + number))
        with writer.lock():
            writer.merge()
        assert convert(root, "--out", tmp_path / "bags" / root.name) == 0
        sets.append(root)
    assert convert(tmp_path / "bags", "--out", tmp_path / "both", "--min-seconds", "0") == 0
    both = Dataset(tmp_path / "both")
    assert sorted(row["length"] for row in both.rows) == [12, 13]
    assert len({row["seed"] for row in both.rows}) == 2


def test_instructions_count_from_where_they_were_heard_whatever_the_clock() -> None:
    index = Index()
    for role, message in (("scene_color", 12.5), ("instruction", "open it"),
                          ("scene_color", 12.6), ("instruction", "close it"),
                          ("scene_color", 12.7)):
        if role == "instruction":
            raw = Raw("/words", "std_msgs/msg/String", 1_700_000_000 * 10**9, 0,
                      serialize_message(String(data=message)))
        else:
            image = Image()
            image.header.stamp = times.stamp(message)
            raw = Raw("/image", "sensor_msgs/msg/Image", 1_700_000_000 * 10**9, 0,
                      serialize_message(image))
        _look_at(index, role, raw)
    assert [index.instruction_at(t) for t in (12.5, 12.6, 12.7)] == ["", "open it", "close it"]


def test_a_folder_of_loose_files_is_as_many_bags_as_it_has_names(tmp_path: Path) -> None:
    for name in ("monday.mcap", "tuesday.mcap", "run3/run3_0.mcap", "run3/run3_1.mcap"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_bags([tmp_path]) == [tmp_path / "monday.mcap", tmp_path / "tuesday.mcap",
                                     tmp_path / "run3"]
    (tmp_path / "tuesday.mcap").unlink()
    assert find_bags([tmp_path]) == [tmp_path / "monday.mcap", tmp_path / "run3"]


def test_collecting_into_a_converted_set_is_refused(dataset: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", "--out", str(dataset), "--tasks", "open_drawer"]) == 2
    assert "made by `wm convert`" in capsys.readouterr().err
    assert not (dataset / "collect.json").exists()


def two_takes(folder: Path, poses: tuple[int, ...] = (7,), actions: tuple[int, ...] = ()) -> Path:
    """A recorded episode of 14 rows; the hand of some is nowhere, the command of others empty."""
    writer = DatasetWriter(folder / "set")
    writer.commit(synthetic_episode("open_drawer", 0, rows=14))
    with writer.lock():
        writer.merge()
    assert convert(folder / "set", "--out", folder / "bags") == 0
    [bag] = (folder / "bags").glob("[!.]*")
    seen: Counter[str] = Counter()

    def spoilt(raw: Raw) -> Iterator[Raw]:
        number, message = seen[raw.topic], decode(raw)
        seen[raw.topic] += 1
        if raw.topic == "/recorded/tcp_pose" and number in poses:
            message.pose.position.x = float("nan")
        if raw.topic == "/recorded/action" and number in actions:
            message.poses = []
        yield raw._replace(data=serialize_message(message))

    return changed(bag, folder / "spoilt", spoilt)


def test_rows_without_a_finite_pose_or_a_command_are_unusable(tmp_path: Path) -> None:
    bag = two_takes(tmp_path, (7,), (3,))
    assert convert(bag, "--out", tmp_path / "made", "--min-seconds", "0") == 0
    [source] = state(tmp_path / "made")
    assert [e["rows"] for e in source["episodes"]] == [3, 3, 6]
    assert source["unusable"] == {"state is not finite": 1,
                                  "an action has no pose or no gripper width": 1}


def test_a_bag_in_which_a_conversion_was_stopped_keeps_its_labels_and_its_episodes(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    bag, root = two_takes(tmp_path / "a"), tmp_path / "made"
    other = two_takes(tmp_path / "b", poses=())  # the same task and seed
    commit, left = DatasetWriter.commit, [1]

    def stops(writer: DatasetWriter, episode: Episode) -> None:
        if not left.pop():
            raise KeyboardInterrupt
        left.append(0)
        commit(writer, episode)

    again = (bag, "--out", root, "--min-seconds", "0")
    with monkeypatch.context() as patch:
        patch.setattr(DatasetWriter, "commit", stops)
        assert convert(*again) == 130
    assert convert(*again, "--room", "kitchen") == 2
    assert "another instruction, task, room" in capsys.readouterr().err.replace("\n", " ")
    assert convert(other, *again[1:]) == 0
    assert convert(*again) == 0
    assert sorted(row["length"] for row in Dataset(root).rows) == [6, 7, 14]


def test_bags_are_written_by_one_conversion_and_robots_are_not_mixed(
        dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with alone(tmp_path / "bags"):
        assert convert(dataset, "--out", tmp_path / "bags") == 2
        assert "Another process" in capsys.readouterr().err
    robot = yaml.safe_load(config("robots", "panda.yaml").read_text())
    (tmp_path / "fr3.yaml").write_text(yaml.safe_dump({**robot, "name": "fr3"}))
    (tmp_path / "map.yaml").write_text(f"robot: {tmp_path / 'fr3.yaml'}")
    assert convert(BAGS / "home", "--out", dataset, "--topics", tmp_path / "map.yaml") == 2
    assert "robot panda" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("option", ["--min-seconds=nan", "--min-seconds=inf", "--tolerance=nan"])
def test_durations_are_numbers(tmp_path: Path, option: str,
                               capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(BAGS / "home", "--out", tmp_path / "set", option) == 2
    assert "must be a number" in capsys.readouterr().err and not (tmp_path / "set").exists()
