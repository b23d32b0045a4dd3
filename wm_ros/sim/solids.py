# SPDX-License-Identifier: Apache-2.0
"""The parts of furniture that never move, as plain solids."""
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from wm_ros.motion.pose import Pose
from wm_ros.sim.schema import Body


class Solid(NamedTuple):
    """A ``box`` (x, y, z), ``cylinder`` (radius, height) or ``sphere`` (radius,); m."""

    shape: str
    size: tuple[float, ...]
    pose: Pose


def fixed_solids(body: Body, parent: Pose, grow: float) -> Iterator[Solid]:
    """Every part that things can touch, of a body and of what is fixed to it.

    :param parent: pose of the body's parent
    :param grow: each part is made larger by this on every side (m)
    """
    if body.joint is not None or body.free:
        return
    pose = parent.compose(body.pose)
    for geom in body.geoms:
        if geom.collide:
            yield Solid(*_grown(geom.shape, geom.size, grow),
                        pose.compose(Pose.of(geom.position, geom.quaternion)))
    for child in body.children:
        yield from fixed_solids(child, pose, grow)


def _grown(shape: str, size: tuple[float, ...], grow: float) -> tuple[str, tuple[float, ...]]:
    match shape:
        case "box":
            return "box", tuple(v + 2.0 * grow for v in size)
        case "cylinder":
            return "cylinder", (size[0] + grow, size[1] + 2.0 * grow)
        case "capsule":
            return "cylinder", (size[0] + grow, size[1] + 2.0 * (size[0] + grow))
        case "sphere":
            return "sphere", (size[0] + grow,)
        case "ellipsoid":
            return "box", tuple(2.0 * (v + grow) for v in size)
    raise ValueError(f"a {shape} has no solid that stands for it")
