# SPDX-License-Identifier: Apache-2.0
"""Footprints on the table and whether they keep clear of each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, sin


@dataclass(frozen=True)
class Footprint:
    """A turned rectangle on the table: centre, half sizes in metres, heading in radians."""

    x: float
    y: float
    hx: float
    hy: float
    yaw: float = 0.0

    @staticmethod
    def of(rect: tuple[float, float, float, float], x: float, y: float, yaw: float) -> Footprint:
        """A rectangle (x0, x1, y0, y1) of a frame that stands at (x, y), turned by yaw."""
        x0, x1, y0, y1 = rect
        mx, my = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
        c, s = cos(yaw), sin(yaw)
        return Footprint(x + c * mx - s * my, y + s * mx + c * my,
                         0.5 * (x1 - x0), 0.5 * (y1 - y0), yaw)

    def reach(self, ux: float, uy: float) -> float:
        """Half its width along the unit vector (ux, uy)."""
        c, s = cos(self.yaw), sin(self.yaw)
        return self.hx * abs(c * ux + s * uy) + self.hy * abs(-s * ux + c * uy)


def overlap(a: Footprint, b: Footprint, gap: float) -> bool:
    """Whether the rectangles come nearer than `gap` (separating axes; exact between faces)."""
    dx, dy = b.x - a.x, b.y - a.y
    for yaw in (a.yaw, b.yaw):
        for ux, uy in ((cos(yaw), sin(yaw)), (-sin(yaw), cos(yaw))):
            if abs(dx * ux + dy * uy) > a.reach(ux, uy) + b.reach(ux, uy) + gap:
                return False
    return True


@dataclass
class Table:
    """What stands on the table already, and strips that only moving parts may sweep."""

    taken: list[Footprint] = field(default_factory=list)
    sweeps: list[Footprint] = field(default_factory=list)

    def free(self, candidate: Footprint, gap: float) -> bool:
        return not (any(overlap(candidate, other, gap) for other in self.taken)
                    or any(overlap(candidate, other, 0.0) for other in self.sweeps))
