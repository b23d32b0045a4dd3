# SPDX-License-Identifier: Apache-2.0
"""A replay shows the model what was recorded, and compares with what then happened."""
from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("wm_ros.msg")
from rosbags.rosbag2 import CompressionMode, StoragePlugin  # noqa: E402

from wm_ros.bridge import commands  # noqa: E402
from wm_ros.convert import to_bag  # noqa: E402
from wm_ros.data.bag import Raw  # noqa: E402
from wm_ros.data.topic_map import load_map  # noqa: E402
from wm_ros.errors import UserError  # noqa: E402
from wm_ros.motion.kinematics import Kinematics  # noqa: E402
from wm_ros.replay import plans  # noqa: E402
from wm_ros.replay.player import UNJUDGED  # noqa: E402
from wm_ros.robot import load_robot  # noqa: E402
from wm_ros.world_model import ActionChunks, Imagination, State  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bags"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
from frozen_model import FrozenModel, play  # noqa: E402
from other_bags import (  # noqa: E402
    BAGS,
    arm_and_hand_apart,
    as_png,
    bent,
    by_rosbags,
    changed,
    torn,
)
from synthetic import synthetic_episode  # noqa: E402

ROOMS = ("home", "office")


def without(*topics: str):
    def change(raw: Raw) -> Iterator[Raw]:
        if raw.topic not in topics:
            yield raw
    return change


@pytest.mark.parametrize("room", ROOMS)
def test_every_recorded_moment_reaches_the_model_as_the_nodes_would_show_it(room: str) -> None:
    model = FrozenModel()
    outcome = play(BAGS / room, model=model, every=0.1)
    assert outcome.images == 42 and outcome.observations == 42 and len(outcome.looks) == 42
    seen = {round(o.stamp, 3): o for o in model.seen}
    assert sorted(seen) == pytest.approx(list(np.arange(42) * 0.1 + 1000.0), abs=1e-3)
    kinematics = Kinematics(load_robot("panda"))
    for o in seen.values():
        np.testing.assert_allclose(kinematics.fk(o.q).position, o.tcp_position, atol=1e-9)
        assert o.scene_rgb.shape == (96, 96, 3) and 0.2 < np.median(o.scene_depth) < 3.0
        assert -1e-4 <= o.gripper <= 0.081 and o.scene_K[0, 0] > 50


def test_a_model_that_keeps_a_map_is_shown_each_moment_once_and_in_order() -> None:
    model = FrozenModel()
    outcome = play(BAGS / "home", model=model)
    stamps = [o.stamp for o in model.seen]
    assert stamps == sorted(set(stamps)) and len(stamps) == len(outcome.looks)


class _Mapping(FrozenModel):
    """Keeps a map, as it were: its frames are filled with the number of looks fused so far."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[tuple[float, int]] = []  # stamp of the look, what its frames show

    def imagine(self, state: State, chunks: ActionChunks, instruction: str,
                render: bool = True) -> Imagination:
        future = super().imagine(state, chunks, instruction, render)
        self.drawn.append((state.observation.stamp, len(self.seen)))
        return dataclasses.replace(future, frames=np.full_like(future.frames, len(self.seen)))


def test_what_is_imagined_at_a_look_knows_no_later_one() -> None:
    model = _Mapping()
    outcome = play(BAGS / "home", model=model)
    judged = [k for k, look in enumerate(outcome.looks) if "futures" in look]
    assert len(judged) >= 5 and len(model.seen) == len(outcome.looks)
    assert model.drawn == [(model.seen[k].stamp, k + 1) for k in judged]


def test_looks_are_planned_among_the_furniture_of_their_own_time(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Raw] = []

    def twice(raw: Raw) -> Iterator[Raw]:
        kept.extend([raw] if raw.topic == "/wm/furniture" else [])
        yield raw
        if kept and raw.topic == "/joint_states" and abs(raw.log_time - 1002.02e9) < 1e6:
            yield kept[0]._replace(log_time=raw.log_time)

    done: list[str] = []
    monkeypatch.setattr(plans.WouldBe, "furniture", lambda *_: done.append("furniture"))
    monkeypatch.setattr(plans.WouldBe, "plan", lambda *_: done.append("plan") or {"fraction": 1.0})
    outcome = play(changed(BAGS / "home", tmp_path / "bag", twice))
    before = sum(look["t"] < 2.02 for look in outcome.looks)
    assert done == ["furniture", *["plan"] * before, "furniture",
                    *["plan"] * (len(outcome.looks) - before)]


def test_commands_that_fall_silent_take_no_look_its_future(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(raw: Raw) -> Iterator[Raw]:
        if raw.topic != "/panda_arm_controller/controller_state" or raw.log_time < 1001e9:
            yield raw
    reference = play(BAGS / "home")
    judged = [look["t"] for look in reference.looks if "futures" in look]
    monkeypatch.setattr(commands, "KEEP", 3.0)  # s; as if the recording went on for long
    outcome = play(changed(BAGS / "home", tmp_path / "bag", silent))
    assert outcome.source == "commanded joints"
    assert [look["t"] for look in outcome.looks if "futures" in look] == judged
    assert all("imagined_db" in future for look in outcome.looks
               for future in look.get("futures", []))
    for played in (reference, outcome):
        assert played.troubles[UNJUDGED] == len(played.looks) - len(judged) > 0


def test_a_future_is_compared_with_the_image_of_its_own_moment() -> None:
    model = FrozenModel()
    outcome = play(BAGS / "home", model=model)
    images = {round(o.stamp, 3): o.scene_rgb.astype(float) for o in model.seen}
    judged = [look for look in outcome.looks if "futures" in look]
    assert len(judged) >= 5
    for look in judged:
        assert [f["after"] for f in look["futures"]] == [0.8, 1.6]
        for future in look["futures"]:
            assert future["imagined_db"] == future["copied_db"]  # it imagined the present
        then = round(1000.0 + look["t"] + 0.8, 3)
        if then in images:
            apart = np.square(images[then] - images[round(1000.0 + look["t"], 3)]).mean()
            assert look["futures"][0]["imagined_db"] == pytest.approx(
                10 * np.log10(255**2 / apart), abs=1e-6)


def test_plans_are_compared_with_the_commands_of_the_recording() -> None:
    still, rising = play(BAGS / "home"), play(BAGS / "home", model=FrozenModel(0.3))
    assert still.source == "commanded joints"
    for a, b in zip(still.looks, rising.looks, strict=True):
        if "commands" in a:
            assert a["commands"]["position_m"] < 0.35
            assert b["commands"]["end_position_m"] > 0.02
            assert a["commands"]["gripper_m"] < 0.081
    # a plan that stays where it is can be driven; the furniture was in the recording
    assert {look["plan"]["fraction"] for look in still.looks} == {1.0}


def test_a_plan_that_breaks_the_safety_limits_is_refused_as_by_the_planning_node() -> None:
    outcome = play(BAGS / "home", model=FrozenModel(2.0))
    assert all("jumps" in look["plan"]["refused"] or "work space" in look["plan"]["refused"]
               for look in outcome.looks)


def test_without_a_controllers_reference_the_measured_joints_stand_for_the_commands(
        tmp_path: Path) -> None:
    bag = changed(BAGS / "home", tmp_path / "bag",
                  without("/panda_arm_controller/controller_state"))
    outcome = play(bag)
    assert outcome.source == "measured joints"
    assert any("commands" in look for look in outcome.looks)


class _Told(FrozenModel):
    """Keeps the commands that it imagines the future of."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[np.ndarray] = []  # positions

    def imagine(self, state: State, chunks: ActionChunks, instruction: str,
                render: bool = True) -> Imagination:
        self.told.append(chunks.position[0])
        return super().imagine(state, chunks, instruction, render)


@pytest.mark.parametrize("executed", ["all", "some", "none"])
def test_the_future_follows_what_was_executed_and_plans_what_was_wanted(
        tmp_path: Path, executed: str) -> None:
    episode = synthetic_episode(rows=40, perturbed=True)
    episode.camera[:, 12:] /= np.linalg.norm(episode.camera[:, 12:], axis=1, keepdims=True)
    episode.action[:, :3], episode.action[:, 3:7] = [0.4, 0.0, 0.4], [0.0, 1.0, 0.0, 0.0]
    episode.executed[:] = episode.action + [0.03, *[0.0] * 7]
    to_bag.write(episode, load_map(), tmp_path / "whole")

    def change(raw: Raw) -> Iterator[Raw]:
        if raw.topic != "/recorded/executed_action" or executed == "all" or (
                executed == "some" and raw.log_time < 1002e9):
            yield raw

    model = _Told()
    outcome = play(changed(tmp_path / "whole", tmp_path / "bag", change), model=model, plan=False)
    assert outcome.source == "recorded actions"
    judged = [look for look in outcome.looks if "futures" in look]
    assert len(judged) == len(model.told) >= 5
    x = [round(float(positions[:, 0].mean()), 6) for positions in model.told]
    assert set(x) == {"all": {0.43}, "some": {0.43, 0.4}, "none": {0.4}}[executed]
    for look in judged:  # the plan stays where the hand is; the wish was 0.4, 0, 0.4
        wish = np.linalg.norm(model.seen[outcome.looks.index(look)].tcp_position - [0.4, 0, 0.4])
        assert look["commands"]["position_m"] == pytest.approx(wish, abs=1e-6)


def test_arm_and_hand_that_are_published_apart_give_the_same_looks(tmp_path: Path) -> None:
    apart = play(changed(BAGS / "home", tmp_path / "bag", arm_and_hand_apart))
    assert apart.looks == play(BAGS / "home").looks
    assert any("futures" in look for look in apart.looks)


def test_other_names_another_storage_and_compressed_images_give_the_same_looks(
        tmp_path: Path) -> None:
    reference = play(BAGS / "home")
    png = changed(BAGS / "home", tmp_path / "png", as_png)
    names = {"/scene_camera/color/image_raw/compressed": "/cam/image/compressed",
             "/joint_states": "/arm/joints", "/wm/instruction": "/task"}
    foreign = by_rosbags(png, tmp_path / "foreign", StoragePlugin.SQLITE3,
                         CompressionMode.MESSAGE, names)
    file = tmp_path / "map.yaml"
    file.write_text(json.dumps({"topics": {
        "scene_color": "/cam/image/compressed", "joint_states": "/arm/joints",
        "wrist_color": "/wrist_camera/color/image_raw/compressed", "instruction": "/task"}}))
    assert play(foreign, load_map(file)).looks == reference.looks


def test_a_bag_without_depth_and_wrench_is_replayed_too(tmp_path: Path) -> None:
    bag = changed(BAGS / "office", tmp_path / "bag", without(
        "/scene_camera/depth/image_rect_raw", "/wrist/wrench"))
    model = FrozenModel()
    assert play(bag, model=model).observations == 42
    assert not model.seen[0].scene_depth.any() and not model.seen[0].wrench.any()


def test_images_that_a_lens_bends_are_replayed_once_they_are_said_to_be_rectified(
        tmp_path: Path) -> None:
    bag = changed(BAGS / "home", tmp_path / "bag", bent)
    with pytest.raises(UserError, match="--rectified"):
        play(bag)
    assert play(bag, rectified=True).looks == play(BAGS / "home").looks


def test_camera_poses_may_come_from_the_map(tmp_path: Path) -> None:
    bag = changed(BAGS / "home", tmp_path / "bag", without("/tf_static"))
    with pytest.raises(UserError, match="no transform"):
        play(bag)
    pose = {"position": [1.1, 0.0, 0.7], "quaternion": [0.0, 1.0, 0.0, 0.0]}
    topics = dataclasses.replace(load_map(), camera_poses={
        "scene_camera_optical_frame": {"parent": "panda_link0", **pose},
        "wrist_camera_optical_frame": {"parent": "panda_hand", **pose}})
    model = FrozenModel()
    play(bag, topics, model)
    np.testing.assert_allclose(model.seen[0].scene_position, pose["position"])


def test_the_instruction_can_be_given_and_its_lack_is_said(tmp_path: Path) -> None:
    bag = changed(BAGS / "home", tmp_path / "bag", without("/wm/instruction"))
    with pytest.raises(UserError, match="--instruction"):
        play(bag)
    assert play(bag, instruction="do it").looks[0]["instruction"] == "do it"


def test_a_missing_topic_is_named_with_those_that_would_fit(tmp_path: Path) -> None:
    bag = changed(BAGS / "home", tmp_path / "bag", without("/wrist_camera/color/image_raw"))
    with pytest.raises(UserError, match="wrist_color.*/scene_camera/color/image_raw"):
        play(bag)


def test_a_bag_whose_recorder_was_killed_is_replayed_as_far_as_it_goes(tmp_path: Path) -> None:
    torn(BAGS / "home", tmp_path / "torn", 1 / 2)
    outcome = play(tmp_path / "torn")
    assert 5 < outcome.observations < 42
    assert [look["t"] for look in outcome.looks] == [
        look["t"] for look in play(BAGS / "home").looks[:len(outcome.looks)]]


def test_recorded_nan_is_counted_and_does_not_end_the_replay(tmp_path: Path) -> None:
    from rclpy.serialization import serialize_message

    from wm_ros.bridge.recorded import decode

    def break_some(raw: Raw) -> Iterator[Raw]:
        if raw.topic == "/wrist/wrench":
            message = decode(raw)
            if 1001.0 < message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec < 1002.0:
                message.wrench.force.x = float("nan")
                raw = raw._replace(data=serialize_message(message))
        yield raw

    outcome = play(changed(BAGS / "home", tmp_path / "bag", break_some))
    assert 25 < outcome.observations < 42
    assert any("NaN" in why for why in outcome.troubles)
