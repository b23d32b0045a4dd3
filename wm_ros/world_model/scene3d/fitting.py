# SPDX-License-Identifier: Apache-2.0
"""Simple shapes through surface points: upright box or cylinder, ball, lying capsule.

Signed distances of the shapes (Quilez) are minimised by robust least squares. Things rest on a
support of known height, so undersides need not be seen.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from wm_ros.motion.pose import Array, Pose
from wm_ros.world_model.scene3d.perceived import Solid
from wm_ros.world_model.scene3d.surface import Points

MOST_POINTS = 500
NOISE = 0.002  # m, residuals beyond it count less
BELOW = 0.05  # m; shapes reach below their support, so that no point is near an underside
PARAMETER_PRICE = 0.00016  # m of mean residual that one more parameter must save
HOLLOW = 0.12  # share of the points
LEAST, MOST = 0.004, 0.30  # m, sizes that are believed


class Fit(NamedTuple):
    """A shape and the mean distance of the points to it, m."""

    solid: Solid
    residual: float


class Rectangle(NamedTuple):
    """Smallest rectangle around points in the plane: middle (2,), x side, y side, yaw; m, rad."""

    middle: Array
    x: float
    y: float
    yaw: float


def _turn(xy: Array, yaw: float) -> Array:
    """Points (n, 2) in axes that are turned by yaw."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.asarray(xy @ np.array([[c, -s], [s, c]]))


def smallest_rectangle(xy: Array, steps: int = 45) -> Rectangle:
    """Around (n, 2) points, without their outermost percent; yaw in [0, pi / 2)."""
    best: Rectangle | None = None
    for yaw in np.arange(steps) * (0.5 * np.pi / steps):
        turned = _turn(xy, yaw)
        low, high = np.percentile(turned, (0.5, 99.5), axis=0)
        x, y = high - low
        if best is None or x * y < best.x * best.y:
            middle = _turn(0.5 * (low + high)[None], -yaw)[0]
            best = Rectangle(middle, float(x), float(y), float(yaw))
    assert best is not None
    return best


def _box_distance(p: Array, half: Array) -> Array:
    q = np.abs(p) - half
    return np.asarray(np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0))


def _solve(residuals: Callable[[Array], Array], start: Array, low: Array, high: Array
           ) -> tuple[Array, float]:
    start = np.clip(start, low + 1e-6, high - 1e-6)
    found = least_squares(residuals, start, bounds=(low, high), loss="soft_l1", f_scale=NOISE,
                          max_nfev=60)
    return found.x, float(np.abs(residuals(found.x)).mean())


def _box(p: Array, r: Rectangle, support: float, top: float) -> Fit:
    def distance(v: Array) -> Array:
        x, y, yaw, a, b, z = v
        local = np.empty_like(p)
        local[:, :2] = _turn(p[:, :2] - (x, y), yaw)
        local[:, 2] = p[:, 2] - 0.5 * (z + support - BELOW)
        return _box_distance(local, np.array([0.5 * a, 0.5 * b, 0.5 * (z - support + BELOW)]))

    start = np.array([*r.middle, r.yaw, r.x, r.y, top])
    reach = np.array([0.05, 0.05, 0.9, 0.0, 0.0, 0.02])
    low, high = start - reach, start + reach
    low[3:5], high[3:5] = LEAST, MOST
    low[5] = support + LEAST
    high[5] = max(high[5], low[5] + 0.01)
    v, residual = _solve(distance, start, low, high)
    x, y, yaw, a, b, z = v
    if a < b:  # x along the longer side
        a, b, yaw = b, a, yaw + 0.5 * np.pi
    yaw = (yaw + 0.5 * np.pi) % np.pi - 0.5 * np.pi
    height = z - support
    pose = Pose.of((x, y, support + 0.5 * height), (0, 0, np.sin(yaw / 2), np.cos(yaw / 2)))
    return Fit(Solid("box", (float(a), float(b), float(height)), pose), residual)


def _cylinder(p: Array, r: Rectangle, support: float, top: float) -> Fit:
    def distance(v: Array) -> Array:
        x, y, radius, z = v
        q = np.stack([np.hypot(p[:, 0] - x, p[:, 1] - y) - radius, p[:, 2] - z], 1)
        return np.asarray(np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0))

    start = np.array([*r.middle, 0.25 * (r.x + r.y), top])
    low = np.array([*(r.middle - 0.05), LEAST, support + LEAST])
    high = np.array([*(r.middle + 0.05), 0.5 * MOST, max(top + 0.02, support + 0.02)])
    (x, y, radius, z), residual = _solve(distance, start, low, high)
    height = z - support
    return Fit(Solid("cylinder", (float(radius), float(height)),
                     Pose.of((x, y, support + 0.5 * height))), residual)


def _ball(p: Array, r: Rectangle, support: float, top: float) -> Fit:
    def distance(v: Array) -> Array:
        x, y, radius = v
        return np.asarray(np.linalg.norm(p - (x, y, support + radius), axis=1) - radius)

    start = np.array([*r.middle, 0.25 * (r.x + r.y)])
    low = np.array([*(r.middle - 0.05), LEAST])
    high = np.array([*(r.middle + 0.05), 0.5 * MOST])
    (x, y, radius), residual = _solve(distance, start, low, high)
    return Fit(Solid("sphere", (float(radius),), Pose.of((x, y, support + radius))), residual)


def _capsule(p: Array, r: Rectangle, support: float, top: float) -> Fit:
    long, yaw = (r.x, r.yaw) if r.x >= r.y else (r.y, r.yaw + 0.5 * np.pi)
    short = min(r.x, r.y)

    def distance(v: Array) -> Array:
        x, y, angle, radius, length = v
        local = _turn(p[:, :2] - (x, y), angle)
        along = np.maximum(np.abs(local[:, 0]) - 0.5 * length, 0)
        rest = p[:, 2] - support - radius
        return np.asarray(np.sqrt(along**2 + local[:, 1] ** 2 + rest**2) - radius)

    start = np.array([*r.middle, yaw, 0.5 * short, max(long - short, 0.002)])
    low = np.array([*(r.middle - 0.05), yaw - 0.9, LEAST, 0.001])
    high = np.array([*(r.middle + 0.05), yaw + 0.9, 0.5 * MOST, MOST])
    (x, y, angle, radius, length), residual = _solve(distance, start, low, high)
    angle = (angle + 0.5 * np.pi) % np.pi - 0.5 * np.pi
    # the capsule's z axis lies along the heading: yaw after a quarter turn about y
    half = 0.5 * angle
    c, s = np.cos(half) * np.sqrt(0.5), np.sin(half) * np.sqrt(0.5)
    pose = Pose.of((x, y, support + radius), (-s, c, s, c))
    return Fit(Solid("capsule", (float(radius), float(length)), pose), residual)


def inner_walls(points: Points) -> NDArray[np.bool_]:
    """Points (n,) on the inside of a bowl or cup: upright faces that look at the middle."""
    middle = 0.5 * (points.position[:, :2].min(0) + points.position[:, :2].max(0))
    away = points.position[:, :2] - middle
    inward = np.einsum("nc,nc->n", away, points.normal[:, :2])
    return np.asarray((inward < -0.3 * np.linalg.norm(away, axis=1))
                      & (np.abs(points.normal[:, 2]) < 0.85))


def is_hollow(points: Points) -> bool:
    """Whether so much of the inside is seen that the thing must be open."""
    return bool(inner_walls(points).mean() > HOLLOW)


def outside(points: Points) -> Points:
    """Without the inner walls of bowls and cups."""
    kept = points.where(~inner_walls(points))
    return kept if len(kept) >= max(12, 0.4 * len(points)) else points


def fit(points: Points, support: float) -> Fit:
    """The simple shape that explains the points (n >= 6) best, resting on ``support`` (m)."""
    chosen = outside(points).position.astype(np.float64)
    if len(chosen) > MOST_POINTS:  # evenly, the same ones every time
        chosen = chosen[np.linspace(0, len(chosen) - 1, MOST_POINTS).astype(int)]
    r = smallest_rectangle(chosen[:, :2])
    top = float(np.percentile(chosen[:, 2], 98))
    prices = [(_box, 6), (_cylinder, 4)]
    if not is_hollow(points):  # open things do not roll
        prices += [(_ball, 3), (_capsule, 5)]
    fits = [(make(chosen, r, support, top), n) for make, n in prices]
    return min(fits, key=lambda f: f[0].residual + f[1] * PARAMETER_PRICE)[0]
