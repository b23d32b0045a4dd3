# SPDX-License-Identifier: Apache-2.0
"""Rooms: what stands where, in which colours. One YAML file each in config/rooms/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import radians
from typing import Any

import yaml

from wm_ros.errors import UserError, said
from wm_ros.paths import config
from wm_ros.sim.furniture import BUILDERS
from wm_ros.sim.schema import Range

Zone = tuple[float, float, float, float]  # x0, x1, y0, y1 in metres


@dataclass(frozen=True)
class Place:
    """Where a thing may stand: a box, or a ring sector whose things face the base.

    bearing and turn in radians; radius in metres.
    """

    box: Zone | None = None
    radius: Range | None = None
    bearing: Range | None = None
    turn: Range = (0.0, 0.0)


@dataclass(frozen=True)
class FurnitureSpec:
    """A piece of furniture: its builder, colours to choose from and places."""

    name: str
    kind: str
    parked: tuple[float, float, float]  # x, y, yaw
    active: Place | None
    parameters: Mapping[str, Any]
    colors: Mapping[str, tuple[str, ...]]
    held_out: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class CameraSpec:
    """Where a camera stands and looks; `jitter` in metres for both ends, fovy in radians."""

    name: str
    at: tuple[float, float, float]
    target: tuple[float, float, float]
    fovy: float
    jitter: float = 0.0
    on_hand: bool = False


@dataclass(frozen=True)
class Room:
    """Everything that the randomisation draws from."""

    name: str
    reach: Range
    zones: Mapping[str, Zone]
    clutter_zone: Zone
    stain_zone: Zone | None
    furniture: tuple[FurnitureSpec, ...]
    cameras: tuple[CameraSpec, ...]
    light: Mapping[str, Range] = field(default_factory=dict)

    def spec(self, name: str) -> FurnitureSpec | None:
        return next((f for f in self.furniture if f.name == name), None)


def _place(data: Mapping[str, Any] | None) -> Place | None:
    if data is None:
        return None
    turn = tuple(radians(v) for v in data.get("turn", (0, 0)))
    if "box" in data:
        return Place(box=tuple(data["box"]), turn=turn)  # type: ignore[arg-type]
    bearing = tuple(radians(v) for v in data["bearing"])
    return Place(radius=tuple(data["radius"]), bearing=bearing, turn=turn)  # type: ignore[arg-type]


def _furniture(name: str, data: Mapping[str, Any]) -> FurnitureSpec:
    if data["kind"] not in BUILDERS:
        raise ValueError(f"{name}: no furniture builder {data['kind']!r}")
    rest = data.get("parked", data)
    x, y = rest["at"]
    return FurnitureSpec(
        name, data["kind"], (float(x), float(y), radians(rest.get("yaw", 0.0))),
        _place(data.get("active")), data.get("parameters", {}),
        {role: tuple(names) for role, names in data.get("colors", {}).items()},
        {role: tuple(names) for role, names in data.get("held_out", {}).items()},
    )


def _camera(name: str, data: Mapping[str, Any]) -> CameraSpec:
    return CameraSpec(name, tuple(data["at"]), tuple(data["target"]), radians(data["fovy"]),
                      data.get("jitter", 0.0), data.get("on_hand", False))


@cache
def load_room(name: str) -> Room:
    """Reads config/rooms/<name>.yaml.

    :raises UserError: if there is no such room or its file is wrong
    """
    path = config("rooms", f"{name}.yaml")
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise UserError(f"there is no room {name!r}: use one of {known}")
    try:
        data = yaml.safe_load(path.read_text())
        zone = data.get("stain_zone")
        return Room(
            name, tuple(data["reach"]),
            {key: tuple(value) for key, value in data["zones"].items()},
            tuple(data["clutter_zone"]), tuple(zone) if zone else None,
            tuple(_furniture(key, value) for key, value in data["furniture"].items()),
            tuple(_camera(key, value) for key, value in data["cameras"].items()),
            {key: tuple(value) for key, value in data["light"].items()},
        )
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} does not describe a room: {said(error)}.") from error
