# SPDX-License-Identifier: Apache-2.0
"""Cubic Hermite interpolation between points with velocities, as trajectories are driven."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wm_ros.motion.pose import Array


class Cubic(NamedTuple):
    """``((a s + b) s + c) s + start`` for s from 0 to 1 within ``h`` seconds."""

    start: Array
    a: Array
    b: Array
    c: Array
    h: Array | float

    @staticmethod
    def between(start: Array, end: Array, v0: Array, v1: Array, h: Array | float) -> Cubic:
        """From one point to the next, positions and velocities of any shape, ``h`` s apart."""
        way, m0, m1 = end - start, v0 * h, v1 * h
        return Cubic(start, m0 + m1 - 2.0 * way, 3.0 * way - 2.0 * m0 - m1, m0, h)

    def position(self, s: Array | float) -> Array:
        return ((self.a * s + self.b) * s + self.c) * s + self.start

    def velocity(self, s: Array | float) -> Array:
        return ((3.0 * self.a * s + 2.0 * self.b) * s + self.c) / self.h

    def acceleration(self, s: Array | float) -> Array:
        return (6.0 * self.a * s + 2.0 * self.b) / self.h**2

    def turns(self) -> tuple[Array, Array]:
        """Where the way may turn back, both s within 0..1."""
        a, b, c = 3.0 * self.a, self.b, self.c  # of a s^2 + 2 b s + c
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.sqrt(b * b - a * c)
            far = -(b + np.copysign(root, b))  # without loss of digits where a is small
            both = far / a, c / far
        first, second = (np.clip(np.nan_to_num(s, posinf=0.0, neginf=0.0), 0.0, 1.0)
                         for s in both)
        return first, second

    def fastest(self) -> Array:
        """Where the velocity has its extreme, s within 0..1."""
        with np.errstate(divide="ignore", invalid="ignore"):
            s = -self.b / (3.0 * self.a)
        return np.clip(np.nan_to_num(s, posinf=0.0, neginf=0.0), 0.0, 1.0)


def span(times: Array, positions: Array, velocities: Array, t: float) -> tuple[Cubic, float]:
    """The cubic around ``t`` (s) of a path with times (N,), and s in it; beyond the path's ends,
    that at the end."""
    i = int(np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(times) - 2))
    h = float(times[i + 1] - times[i])
    return (Cubic.between(positions[i], positions[i + 1], velocities[i], velocities[i + 1], h),
            (t - float(times[i])) / h)
