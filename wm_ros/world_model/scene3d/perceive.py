# SPDX-License-Identifier: Apache-2.0
"""From a fused volume to a perceived scene: table, furniture, things."""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wm_ros.motion.pose import Array, Pose, distance
from wm_ros.world_model.scene3d.boxes import cover
from wm_ros.world_model.scene3d.fitting import fit, is_hollow, outside, smallest_rectangle
from wm_ros.world_model.scene3d.perceived import PerceivedScene, Piece, Solid, Thing, empty
from wm_ros.world_model.scene3d.surface import LEAST_WEIGHT, Points, surface_points
from wm_ros.world_model.scene3d.tsdf import SIDE, Volume

CELL = 0.005  # m, of the plan in which things are told apart
ABOVE = 0.006  # m over the table: not the table any more
LEAST_HEIGHT = 0.009  # m
LEAST_POINTS = 12
LONGEST, TALLEST = 0.175, 0.17  # m; what is larger is furniture
TABLE_CELL, FURNITURE_CELL = 0.02, 0.01  # m
THICK = 0.04  # m, of the table's boxes
# kg/m^3 of the shape's volume, guesses from household things: round ones are mostly fruit
DENSITY = {"sphere": 1000.0, "capsule": 1000.0, "box": 600.0, "cylinder": 600.0}
OPEN_DENSITY = 180.0  # of a bowl's outline
FRICTION = 0.6  # before anything was pushed
SAME = 0.03  # m between the middles of a thing now and before


@dataclass(frozen=True)
class Region:
    """Where things are looked for: corners (3,), m, base frame."""

    low: tuple[float, float, float] = (-0.40, -1.10, -0.16)
    high: tuple[float, float, float] = (1.00, 1.10, 0.56)


def find_height(points: Points) -> float | None:
    """Height (m) of the largest horizontal surface, or None; to a fraction of a voxel."""
    flat = points.position[points.normal[:, 2] > 0.95, 2].astype(np.float64)
    if len(flat) < 50:
        return None
    low = float(flat.min())
    count = np.bincount(np.floor((flat - low) / 0.005).astype(int))
    peak = low + 0.005 * (int(np.convolve(count, (1, 1, 1), "same").argmax()) + 0.5)
    return float(np.median(flat[np.abs(flat - peak) < 0.008]))


def _colour(points: Points) -> tuple[float, float, float]:
    r, g, b = (float(v) / 255 for v in np.median(points.rgb, axis=0))
    return r, g, b


def table_piece(points: Points, height: float) -> Piece:
    """Boxes under everything of the table that was seen or lies hidden between; holes stay."""
    xy = points.position[:, :2]
    z = points.position[:, 2] - height
    on = (np.abs(z) < 0.006) & (points.normal[:, 2] > 0.9)
    low = xy[on].min(0)
    shape = tuple(np.ceil((xy[on].max(0) - low) / TABLE_CELL).astype(int) + 1)

    def plan(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        cell = np.floor((xy[chosen] - low) / TABLE_CELL).astype(int)
        cell = cell[((cell >= 0) & (cell < shape)).all(1)]
        out = np.zeros(shape, np.int64)
        np.add.at(out, tuple(cell.T), 1)
        return out

    top, lower = plan(on) > 0, plan(z < -0.02) > 0
    # hidden by things or by the robot: inside the outline, and nothing lower was seen
    outline = ndimage.binary_closing(np.pad(top, 12), iterations=12)[12:-12, 12:-12]
    outline = ndimage.binary_fill_holes(outline | top) & ~(lower & ~top)
    boxes = []
    for first, last in cover(outline | top):
        size = (last - first) * TABLE_CELL
        middle = low + 0.5 * (first + last) * TABLE_CELL
        boxes.append(Solid("box", (float(size[0]), float(size[1]), THICK),
                           Pose.of((*middle, height - 0.5 * THICK))))
    return Piece("table", tuple(boxes), _colour(points.where(on)))


def clusters(points: Points, height: float) -> list[Points]:
    """Surface points above the table, split where the plan shows a gap of a centimetre."""
    up = points.where(points.position[:, 2] > height + ABOVE)
    if not len(up):
        return []
    cell = np.floor(up.position[:, :2] / CELL).astype(int)
    cell -= cell.min(0)
    plan = np.zeros(cell.max(0) + 3, bool)
    plan[tuple(cell.T)] = True
    plan = ndimage.binary_closing(np.pad(plan, 2))[2:-2, 2:-2] | plan
    label, count = ndimage.label(plan, np.ones((3, 3)))
    which = label[tuple(cell.T)]
    return [up.where(which == i) for i in range(1, count + 1)]


def heading(points: Points) -> float:
    """Direction (rad, modulo a quarter turn) that most upright faces agree with."""
    side = points.normal[np.abs(points.normal[:, 2]) < 0.3]
    if len(side) < 20:
        return smallest_rectangle(points.position[:, :2].astype(np.float64)).yaw
    angle = np.arctan2(side[:, 1], side[:, 0])
    return float(np.angle(np.exp(4j * angle).mean()) / 4)


def furniture_boxes(volume: Volume, points: Points, height: float) -> list[Solid]:
    """The seen shell and what lies hidden under it, as boxes along the piece's own heading.

    What was seen to be free stays free: bins and shelves stay hollow.
    """
    yaw = heading(points)
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    local = points.position.astype(np.float64).copy()
    local[:, :2] = local[:, :2] @ turn
    low = local.min(0)
    low[2] = height
    inset = local - 0.3 * FURNITURE_CELL * _turned(points.normal, turn)
    cell = np.floor((inset - low) / FURNITURE_CELL).astype(int)
    shape = cell.max(0) + 1
    cell = np.clip(cell, 0, shape - 1)
    shell = np.zeros(shape, bool)
    shell[tuple(cell.T)] = True
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    at = low + (grid.reshape(-1, 3) + 0.5) * FURNITURE_CELL
    at[:, :2] = at[:, :2] @ turn.T
    free = _free(volume, at).reshape(shape)
    under = np.flip(np.maximum.accumulate(np.flip(shell, 2), 2), 2)
    solid = ndimage.binary_closing(np.pad(shell | (under & ~free), 1))[1:-1, 1:-1, 1:-1]
    out = []
    for first, last in cover(solid):
        size = (last - first) * FURNITURE_CELL
        middle = low + 0.5 * (first + last) * FURNITURE_CELL
        middle[:2] = turn @ middle[:2]
        out.append(Solid("box", tuple(float(v) for v in size),
                         Pose.of(middle, (0, 0, np.sin(yaw / 2), np.cos(yaw / 2)))))
    return out


def _turned(normal: NDArray[np.float32], turn: Array) -> Array:
    out = normal.astype(np.float64).copy()
    out[:, :2] = out[:, :2] @ turn
    return out


def _free(volume: Volume, at: Array) -> NDArray[np.bool_]:
    """Whether points (n, 3) were seen to be free."""
    sdf, weight = volume.values(at)
    return np.asarray((weight >= LEAST_WEIGHT) & (sdf > 0.4 * volume.voxel))


def thing_of(points: Points, height: float, name: str) -> Thing:
    """A movable thing through a cluster's points."""
    bottom = float(np.percentile(points.position[:, 2], 1))
    support = height if bottom < height + 0.025 else bottom - 0.5 * CELL
    found = fit(points, support)
    foot = lower_half(points, found.solid) if found.solid.shape == "cylinder" else 1.0
    density = OPEN_DENSITY if is_hollow(points) else DENSITY[found.solid.shape]
    mass = float(np.clip(density * found.solid.volume(), 0.01, 2.0))
    return Thing(name, found.solid, _colour(points), mass, FRICTION, found.residual, len(points),
                 foot=foot)


def lower_half(points: Points, solid: Solid) -> float:
    """Radius of the outer wall's lower half as a share of the rim's; 1 where it is upright."""
    outer = outside(points).position
    bottom = solid.pose.position[2] - 0.5 * solid.size[1]
    low = (outer[:, 2] - bottom < 0.55 * solid.size[1])
    if not is_hollow(points) or low.sum() < LEAST_POINTS:
        return 1.0
    away = np.linalg.norm(outer[low, :2] - solid.pose.position[:2], axis=1)
    away = away[away > 0.4 * solid.size[0]]  # not the floor inside
    return float(np.clip(np.median(away) / solid.size[0], 0.5, 1.0)) if len(away) else 1.0


def perceive(volume: Volume, before: PerceivedScene | None = None,
             least_weight: float = LEAST_WEIGHT, furniture: bool = True) -> PerceivedScene:
    """Everything that the volume shows.

    :param before: the scene of the look before: names of things that are still about where
        they were are kept, and what pushes told of them
    :param furniture: whether furniture is worked out again; else it is that of ``before``
    """
    if before is not None and not furniture:  # a slab over the known table is enough
        height: float | None = before.height
        top = volume.low + volume.blocks * SIDE * volume.voxel
        points = surface_points(volume, [*volume.low[:2], before.height - 0.01],
                                [*top[:2], before.height + TALLEST + 0.02], least_weight)
    else:
        points = surface_points(volume, least_weight=least_weight)
        height = find_height(points)
    if height is None:
        return before or empty()
    pieces: list[Piece] = []
    things: list[Thing] = []
    for cluster in clusters(points, height):
        tall = float(np.percentile(cluster.position[:, 2], 99)) - height
        if len(cluster) < LEAST_POINTS or tall < LEAST_HEIGHT:
            continue
        r = smallest_rectangle(cluster.position[:, :2].astype(np.float64))
        if max(r.x, r.y) <= LONGEST and tall <= TALLEST:
            things.append(thing_of(cluster, height, ""))
        elif furniture or before is None:
            boxes = furniture_boxes(volume, cluster, height)
            pieces.append(Piece(f"furniture_{len(pieces)}", tuple(boxes), _colour(cluster)))
    if before is not None and not furniture:
        return replace(before, things=named(things, before.things))
    known = before.things if before is not None else ()
    return PerceivedScene(height, table_piece(points, height), tuple(pieces),
                          named(things, known))


def named(things: list[Thing], before: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """Names for things: the nearest one's of before, if near; else a new number."""
    left = list(before)
    taken = {t.name for t in before}
    out = []
    number = 0
    for thing in things:
        old = min(left, key=lambda t: distance(t.solid.pose, thing.solid.pose)[0], default=None)
        if old is not None and distance(old.solid.pose, thing.solid.pose)[0] < SAME:
            left.remove(old)
            thing = replace(thing, name=old.name)
            out.append(replace(thing, friction=old.friction, mass=old.mass, pushed=True)
                       if old.pushed else thing)
            continue
        while f"thing_{number}" in taken:
            number += 1
        taken.add(f"thing_{number}")
        out.append(replace(thing, name=f"thing_{number}"))
    return tuple(out)
