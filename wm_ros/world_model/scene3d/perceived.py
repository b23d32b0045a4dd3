# SPDX-License-Identifier: Apache-2.0
"""What was perceived: a table, fixed furniture as boxes, movable things as simple shapes."""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wm_ros.errors import UserError
from wm_ros.files import write_text
from wm_ros.motion.pose import Array, Pose
from wm_ros.sim import shapes
from wm_ros.sim.schema import Geom, Material

FORMAT = 1
#: kg up to which a thing belongs to the class
MASS_CLASSES = (("light", 0.08), ("medium", 0.25), ("heavy", np.inf))


def mass_class(mass: float) -> str:
    """``light`` (a sponge, a pen), ``medium`` (a mug, a fruit) or ``heavy`` (a full bottle)."""
    return next(name for name, limit in MASS_CLASSES if mass <= limit)


@dataclass(frozen=True)
class Solid:
    """A primitive: ``box`` (x, y, z full sizes), ``cylinder`` or ``capsule`` (radius, length
    along z between the caps' centres or ends), ``sphere`` (radius,); pose of its centre in the
    base frame; m."""

    shape: str
    size: tuple[float, ...]
    pose: Pose

    def volume(self) -> float:
        """m^3."""
        return shapes.volume(self._geom())

    def half_extent(self) -> Array:
        """(3,) along the world's axes, m."""
        return shapes.support(self._geom(), self.pose.rotation())

    def _geom(self) -> Geom:
        return Geom(self.shape, self.size, Material((0.0, 0.0, 0.0, 1.0)))


@dataclass(frozen=True)
class Thing:
    """A movable thing.

    :param rgb: mean colour, 0..1
    :param mass: estimate, kg;  ``friction`` sliding coefficient, 1
    :param residual: mean distance of the seen points to the fitted shape, m
    :param seen: number of surface points
    :param pushed: whether mass and friction come from pushes, not from the size
    :param foot: radius of an open thing's lower half, as a share of its rim's
    """

    name: str
    solid: Solid
    rgb: tuple[float, float, float]
    mass: float
    friction: float
    residual: float
    seen: int
    pushed: bool = False
    foot: float = 1.0

    @property
    def mass_class(self) -> str:
        return mass_class(self.mass)

    @property
    def base(self) -> Array:
        """Middle of the underside (3,), m."""
        out = self.solid.pose.position.copy()
        out[2] -= self.solid.half_extent()[2]
        return out


@dataclass(frozen=True)
class Piece:
    """Something that stays where it is, as boxes."""

    name: str
    boxes: tuple[Solid, ...]
    rgb: tuple[float, float, float]

    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest corner (3,), m."""
        half = np.array([b.half_extent() for b in self.boxes])
        middle = np.array([b.pose.position for b in self.boxes])
        return (middle - half).min(0), (middle + half).max(0)


@dataclass(frozen=True)
class PerceivedScene:
    """The table's height (m) and boxes, furniture, movable things."""

    height: float
    table: Piece
    furniture: tuple[Piece, ...] = ()
    things: tuple[Thing, ...] = ()

    def thing(self, name: str) -> Thing:
        return next(t for t in self.things if t.name == name)


def empty(height: float = 0.0) -> PerceivedScene:
    """A bare table, for before anything was seen."""
    top = Solid("box", (1.2, 2.0, 0.04), Pose.of((0.3, 0.0, height - 0.02)))
    return PerceivedScene(height, Piece("table", (top,), (0.6, 0.55, 0.5)))


# -- files ---------------------------------------------------------------------------------
def _solid_out(s: Solid) -> dict[str, Any]:
    return {"shape": s.shape, "size": [round(float(v), 5) for v in s.size],
            "position": [round(float(v), 5) for v in s.pose.position],
            "quaternion": [round(float(v), 6) for v in s.pose.quaternion]}


def _solid_in(data: dict[str, Any]) -> Solid:
    return Solid(str(data["shape"]), tuple(float(v) for v in data["size"]),
                 Pose.of(data["position"], data["quaternion"]))


def _piece_out(p: Piece) -> dict[str, Any]:
    return {"name": p.name, "rgb": list(p.rgb), "boxes": [_solid_out(b) for b in p.boxes]}


def _piece_in(data: dict[str, Any]) -> Piece:
    r, g, b = (float(v) for v in data["rgb"])
    return Piece(str(data["name"]), tuple(_solid_in(x) for x in data["boxes"]), (r, g, b))


def to_dict(scene: PerceivedScene) -> dict[str, Any]:
    """As plain data; m, quaternions x y z w, base frame."""
    things = [{"name": t.name, **_solid_out(t.solid), "rgb": [round(v, 3) for v in t.rgb],
               "mass": round(t.mass, 4), "mass_class": t.mass_class, "friction": t.friction,
               "residual": round(t.residual, 5), "seen": t.seen,
               "pushed": t.pushed, "foot": round(t.foot, 3)} for t in scene.things]
    return {"format": FORMAT, "height": scene.height, "table": _piece_out(scene.table),
            "furniture": [_piece_out(p) for p in scene.furniture], "things": things}


def from_dict(data: dict[str, Any]) -> PerceivedScene:
    """:raises KeyError, TypeError, ValueError: for data of another form"""
    if data["format"] != FORMAT:
        raise ValueError(f"format {data['format']}, not {FORMAT}")
    things = []
    for t in data["things"]:
        r, g, b = (float(v) for v in t["rgb"])
        things.append(Thing(str(t["name"]), _solid_in(t), (r, g, b), float(t["mass"]),
                            float(t["friction"]), float(t["residual"]), int(t["seen"]),
                            bool(t.get("pushed", False)), float(t.get("foot", 1.0))))
    return PerceivedScene(float(data["height"]), _piece_in(data["table"]),
                          tuple(_piece_in(p) for p in data["furniture"]), tuple(things))


def save(scene: PerceivedScene, path: Path) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(to_dict(scene), indent=1))


def load(path: Path) -> PerceivedScene:
    """:raises UserError: if the file is missing or of another form"""
    try:
        return from_dict(json.loads(path.read_text()))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"The scene {path} cannot be read ({error!r}): scan again.") from error
