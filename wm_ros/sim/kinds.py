# SPDX-License-Identifier: Apache-2.0
"""Object kinds: one YAML file each in config/objects/, found by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wm_ros.errors import UserError, said
from wm_ros.paths import config
from wm_ros.sim.palette import COLORS, paint
from wm_ros.sim.schema import IDENTITY, Body, Container, Geom, Grasp, Material, Quat, Vec3
from wm_ros.sim.shapes import bounds, dish, quat_rpy

SHAPES = ("box", "cylinder", "sphere", "capsule", "ellipsoid")
OWN_COLORS = ("main", "dark")  # of parts: the drawn one, and black


@dataclass(frozen=True)
class Kind:
    """A kind of movable thing: parts in main and fixed colours, how it is grasped."""

    name: str
    rooms: tuple[str, ...]
    mass: float
    colors: tuple[str, ...]
    held_out_colors: tuple[str, ...]
    parts: tuple[dict[str, Any], ...]
    grasp: Grasp
    container: Container | None = None

    def geoms(self, main: Material) -> tuple[Geom, ...]:
        return tuple(g for part in self.parts for g in _part(part, main))

    def extent(self) -> tuple[Vec3, Vec3]:
        """Lowest and highest corner in the thing's frame, m."""
        low, high = bounds(self.geoms(paint("grey")))
        return tuple(low.tolist()), tuple(high.tolist())  # type: ignore[return-value]

    def body(self, name: str, main: Material, position: Vec3, quaternion: Quat) -> Body:
        return Body(name, position, quaternion, self.geoms(main), mass=self.mass, free=True,
                    container=self.container)


def _part(part: dict[str, Any], main: Material) -> list[Geom]:
    color = part.get("color", "main")
    material = main if color == "main" else paint("black" if color == "dark" else color)
    if "dish" in part:
        return dish(**part["dish"], material=material)
    shape = next(s for s in SHAPES if s in part)
    rpy = part.get("rpy")
    geom = Geom(shape, tuple(part[shape]), material, tuple(part.get("at", (0.0, 0.0, 0.0))),
                quat_rpy(*rpy) if rpy else IDENTITY, round=shape in ("sphere", "ellipsoid"))
    return [replace(geom, collide=part.get("collide", True), visible=part.get("visible", True))]


def _colors(kind: Kind) -> list[str]:
    parts = [part.get("color", "main") for part in kind.parts]
    return [*kind.colors, *kind.held_out_colors, *(c for c in parts if c not in OWN_COLORS)]


def _load(path: Path) -> Kind:
    try:
        data = yaml.safe_load(path.read_text())
        grasp, container = data["grasp"], data.get("container")
        if container:
            container = Container(**{**container, "half": tuple(container["half"])})
        kind = Kind(
            name=path.stem, rooms=tuple(data["rooms"]), mass=float(data["mass"]),
            colors=tuple(data["colors"]), held_out_colors=tuple(data.get("held_out_colors", ())),
            parts=tuple(data["parts"]), container=container,
            grasp=Grasp(tuple(grasp["position"]), tuple(grasp["yaw"]), float(grasp["width"])),
        )
        if other := [word for word in _colors(kind) if word not in COLORS]:
            raise UserError(f"{path} names a colour {other[0]!r}: use words of "
                            f"wm_ros/sim/palette.py, {', '.join(COLORS)}.")
        if not np.isfinite(kind.extent()).all():
            raise ValueError("no parts")
        return kind
    except (KeyError, TypeError, ValueError, StopIteration, yaml.YAMLError) as error:
        raise UserError(f"{path} does not describe an object kind: {said(error)}.") from error


@cache
def kinds() -> dict[str, Kind]:
    """All kinds by name."""
    return {path.stem: _load(path) for path in sorted(config("objects").glob("*.yaml"))}


def kind(name: str) -> Kind:
    """:raises UserError: for an unknown kind"""
    if name not in kinds():
        raise UserError(f"no object kind {name!r}: add config/objects/{name}.yaml or use one of "
                        f"{', '.join(kinds())}")
    return kinds()[name]
