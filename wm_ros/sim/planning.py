# SPDX-License-Identifier: Apache-2.0
"""The fixed furniture as boxes for a motion planner (MoveIt's planning scene or the embedded)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wm_ros.motion.pose import Array, Pose
from wm_ros.sim.randomize import STRUCTURE
from wm_ros.sim.schema import Furniture, Geom, Scene
from wm_ros.sim.shapes import bounds, half_extents

HOLLOW = frozenset({"tray", "bin", "sink"})  # one box a wall: hands reach inside
SHRINK = 0.004  # planners pad obstacles again; fingertips work within millimetres of them
SUNK = 0.010  # the table top likewise: a fingertip on a flat thing clears it by 2 to 3 mm


class PlanningBox(NamedTuple):
    """A box: full sizes (3,) in metres, pose of its centre in the world."""

    id: str
    size: Array
    pose: Pose


def _whole(furniture: Furniture) -> list[PlanningBox]:
    low, high = bounds(g for g in furniture.body.geoms if g.collide)
    middle = 0.5 * (low + high)
    return [PlanningBox(furniture.name, high - low - 2 * SHRINK,
                        furniture.pose.compose(Pose.of(middle)))]


def _walls(furniture: Furniture) -> list[PlanningBox]:
    out = []
    for number, geom in enumerate(g for g in furniture.body.geoms if g.collide):
        size = 2 * half_extents(geom)
        size = np.maximum(size - 2 * SHRINK, np.minimum(size, 0.002))
        pose = furniture.pose.compose(Pose.of(geom.position, geom.quaternion))
        out.append(PlanningBox(f"{furniture.name}_{number}", size, pose))
    return out


def _top(furniture: Furniture) -> list[PlanningBox]:
    """Plates of a table top, whose surface is sunk."""
    def is_plate(geom: Geom) -> bool:
        return geom.collide and abs(geom.position[2] + 0.5 * geom.size[2]) < 1e-6

    out = []
    for number, geom in enumerate(filter(is_plate, furniture.body.geoms)):
        at = np.array(geom.position) - [0.0, 0.0, SUNK]
        out.append(PlanningBox(f"{furniture.name}_{number}", 2 * half_extents(geom),
                               furniture.pose.compose(Pose.of(at))))
    return out


def planning_boxes(scene: Scene) -> list[PlanningBox]:
    """Boxes that the arm must not touch: table top, bodies of chests and cupboards, walls of
    bins. Not the things, nor handles, drawers, doors and buttons."""
    out: list[PlanningBox] = []
    for furniture in scene.furnishings:
        if furniture.kind in ("counter", "desk"):
            out += _top(furniture)
        elif furniture.kind in HOLLOW:
            out += _walls(furniture)
        elif furniture.kind not in STRUCTURE:
            out += _whole(furniture)
    return out
