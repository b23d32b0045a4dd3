# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PINNED: dict[str, str] = json.loads((ROOT / "test" / "interface_hashes.json").read_text())
OWN = sorted(f for kind in ("msg", "srv", "action") for f in (ROOT / kind).glob(f"*.{kind}"))
UNDERLAY = sorted(f for kind in ("msg", "srv", "action")
                  for f in (ROOT / "underlay").glob(f"*/{kind}/*.{kind}"))
CONSTANT = re.compile(r"^\S+\s+[A-Z][A-Z0-9_]*\s*=")
# a field of a physical quantity has to say in what it is measured
UNITS = re.compile(r"m/s|N\*m|\b(?:metres|seconds|milliseconds|radians|pixels|N|Hz|m|s|ns)\b"
                   r"|no unit|count")
FRAMES = re.compile(r"frame")
#: what a field of a type is filled with; other than what it starts with
FILLED: dict[str, object] = {
    "string": "words", "boolean": True, "float": 0.5, "double": 0.5,
    **{f"{sign}int{bits}": 7 for sign in ("", "u") for bits in (8, 16, 32, 64)}}


def full_name(file: Path) -> str:
    package = "wm_ros" if file in OWN else file.parent.parent.name
    return f"{package}/{file.parent.name}/{file.stem}"


def fields(file: Path) -> list[tuple[str, str, str]]:
    """Type, name and comment of each field of a definition; constants are left out."""
    rows = []
    for line in file.read_text().splitlines():
        if not line.strip() or line.startswith(("#", "---")) or CONSTANT.match(line):
            continue
        definition, _, comment = line.partition("#")
        kind, name = definition.split()[:2]
        rows.append((kind, name, comment.strip()))
    return rows


def installed_hash(name: str) -> str:
    """The type hash that the build recorded, where rosidl installs it."""
    from ament_index_python.packages import get_package_share_directory

    package, kind, stem = name.split("/")
    file = Path(get_package_share_directory(package), kind, f"{stem}.json")
    description = json.loads(file.read_text())
    return next(entry["hash_string"] for entry in description["type_hashes"]
                if entry["type_name"] == name)


def test_every_type_is_pinned_and_nothing_else_is():
    assert sorted(PINNED) == sorted(map(full_name, OWN + UNDERLAY))


@pytest.mark.parametrize("name", sorted(PINNED))
def test_a_robot_with_ros_understands_this_type(name):
    assert installed_hash(name) == PINNED[name], (
        f"{name} differs on the wire from what others were built with")


def test_pinned_hashes_follow_from_the_definitions():
    """An implementation of REP 2011 other than rosidl's comes to the same hashes."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    messages = [file for file in OWN + UNDERLAY if file.parent.name == "msg"]
    added: dict = {}
    for file in messages:
        added |= get_types_from_msg(file.read_text(), full_name(file))
    store.register({name: value for name, value in added.items() if name not in store.types})
    for file in messages:
        name = full_name(file)
        assert store.generate_msgdef(name), name
        assert store.hash_rihs01(name) == PINNED[name], name


@pytest.mark.parametrize("file", OWN + UNDERLAY, ids=full_name)
def test_a_reader_finds_every_field_explained(file):
    for kind, name, comment in fields(file):
        assert comment, f"{full_name(file)}: {kind} {name} has no comment"
    assert file.read_text().startswith("# "), f"{full_name(file)} does not say what it is for"


@pytest.mark.parametrize("file", OWN, ids=full_name)
def test_a_reader_finds_unit_and_frame_of_every_quantity(file):
    for kind, name, comment in fields(file):
        where = f"{full_name(file)}: {kind} {name}  # {comment}"
        if re.match(r"(float|u?int)\d+", kind) and name != "representation":
            assert UNITS.search(comment), f"no unit: {where}"
        if re.match(r"geometry_msgs/|sensor_msgs/Image|std_msgs/Header", kind):
            assert FRAMES.search(comment), f"no frame: {where}"
        if kind.endswith(("/Time", "/Duration", "/Duration[]")):
            assert "s" in re.findall(r"\b\w+\b", comment), f"no unit: {where}"


@pytest.mark.parametrize("name", sorted(PINNED))
def test_this_type_survives_the_wire(name):
    from rclpy.serialization import deserialize_message, serialize_message

    package, kind, stem = name.split("/")
    interface = getattr(importlib.import_module(f"{package}.{kind}"), stem)
    parts = {"msg": [interface]}.get(kind) or [
        getattr(interface, part) for part in
        (("Request", "Response") if kind == "srv" else ("Goal", "Result", "Feedback"))]
    for part in parts:
        message = part()
        for field, type_name in part.get_fields_and_field_types().items():
            if type_name in FILLED:
                setattr(message, field, FILLED[type_name])
        assert deserialize_message(serialize_message(message), part) == message


def test_the_motion_librarys_error_codes_are_moveits():
    from moveit_msgs.msg import MoveItErrorCodes

    from wm_ros.motion.errors import ErrorCode

    assert {c.name: getattr(MoveItErrorCodes, c.name, None) for c in ErrorCode} == {
        c.name: c.value for c in ErrorCode}


def test_an_observation_survives_the_wire():
    from array import array

    import rclpy
    from rclpy.serialization import deserialize_message, serialize_message
    from sensor_msgs.msg import Image

    from wm_ros.msg import Observation

    assert rclpy  # serialization needs the middleware's libraries
    image = Image(width=2, height=1, encoding="rgb8", step=6, data=array("B", range(6)))
    sent = Observation(sequence=2**40, camera_names=["scene"], images=[image],
                       gripper_width=0.04, latent=array("f", [0.5, -1.0]),
                       latent_shape=array("I", [1, 2]), instruction="put the mug on the tray")
    assert deserialize_message(serialize_message(sent), Observation) == sent
