# SPDX-License-Identifier: Apache-2.0
"""The robot file: a wrong one must be refused in one sentence."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from wm_ros.errors import UserError
from wm_ros.motion.kinematics import Kinematics
from wm_ros.paths import config
from wm_ros.robot import load_robot


def test_the_shipped_robot_loads_with_consistent_shapes() -> None:
    robot = load_robot("panda")
    assert robot.dof == 7
    assert robot.position_limits.shape == (7, 2)
    assert robot.urdf_path.is_file() and robot.srdf_path.is_file()
    assert robot.is_group("panda_arm") and robot.is_group("arm") and not robot.is_group("legs")


def test_home_holds_the_gripper_straight_down_over_the_table() -> None:
    robot = load_robot("panda")
    pose = Kinematics(robot).fk(np.asarray(robot.home))
    assert np.allclose(pose.position, [0.40, 0.0, 0.35], atol=1e-3)
    assert np.allclose(pose.rotation()[:, 2], [0, 0, -1], atol=1e-3)


def test_an_unknown_robot_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="panda"):
        load_robot("octopus")


@pytest.mark.parametrize("damage", ["missing", "short", "nan", "home"])
def test_a_broken_robot_file_is_refused_in_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "broken.yaml"
    shutil.copy(config("robots", "panda.yaml"), path)
    data = yaml.safe_load(path.read_text())
    if damage == "missing":
        del data["tcp_link"]
    elif damage == "short":
        data["limits"]["velocity"].pop()
    elif damage == "nan":
        data["limits"]["acceleration"][0] = float("nan")
    else:
        data["home"][3] = 1.0
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(UserError, match="does not describe a robot"):
        load_robot(str(path))


@pytest.mark.parametrize("key", ["urdf", "srdf"])
def test_a_description_that_is_not_there_is_named(tmp_path: Path, key: str) -> None:
    path = tmp_path / "mine.yaml"
    data = yaml.safe_load(config("robots", "panda.yaml").read_text())
    path.write_text(yaml.safe_dump({**data, key: "no_such.xml"}))
    with pytest.raises(UserError, match=f"names {tmp_path}/no_such.xml as its {key}"):
        load_robot(str(path))


@pytest.mark.parametrize(("block", "value", "said"), [
    ("gripper", None, "gripper is empty"), ("servo", None, "servo is empty"),
    ("gripper", {"open_width": float("inf")}, "gripper.open_width"),
    ("gripper", {"open_width": 0.0}, "open_width above"),
    ("gripper", {"finger_scale": 0.0}, "scales other than 0"),
    ("limits", {"velocity": [-1.0] * 7}, "limits.velocity must be above 0"),
    ("limits", {"position": [[1.0, -1.0]] * 7}, "limits.position must be"),
    ("tcp_offset", {"position": [0.0, 0.0, float("nan")]}, "tcp_offset.position"),
    ("servo", {"gripper_damping": float("nan")}, "servo.gripper_damping")])
def test_values_that_no_robot_has_are_named(tmp_path: Path, block: str, value: dict | None,
                                            said: str) -> None:
    data = yaml.safe_load(config("robots", "panda.yaml").read_text())
    data[block] = value and data[block] | value
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(UserError, match=said):
        load_robot(str(tmp_path / "mine.yaml"))


def test_a_robot_file_is_found_at_home_and_a_missing_one_is_said_to_be(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(config("robots", "panda.yaml"), tmp_path / "mine.yaml")
    assert load_robot("~/mine.yaml").name == "panda"
    with pytest.raises(UserError, match=f"^There is no robot file {tmp_path}/other.yaml.$"):
        load_robot("~/other.yaml")
