# SPDX-License-Identifier: Apache-2.0
"""What the measured depth shows that nobody foretold, and the hand cannot have done: changes away
from the hand, and the loss of what it carries."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, maximum_filter, minimum_filter
from scipy.spatial.distance import cdist

from wm_ros.motion.pose import Array, Pose
from wm_ros.world_model.scene3d.imagery import Picture, project
from wm_ros.world_model.scene3d.view import View, axial_noise

DIFFERENT = 0.012  # m between the foretold and the measured depth, at least
SIGMAS = 4.0  # of the depth camera's noise, likewise
REACH = 0.1  # m from the tool's way: a change that begins there is the hand's own work
LEAST = 3  # pixels of one change; fewer are noise at an edge
BESIDE, OVER, UNDER = 0.02, 0.05, 0.06  # m around the fingers: what is there is in the hand
ON_TABLE = 0.012  # m over the table: not the table any more
GONE = 0.02  # m by which what is seen lies behind what is gone, at least


def unexplained(told: Picture, seen: View, way: Array) -> int:
    """How many pixels show an unforeseen change away from the hand.

    What the hand touches goes another way than foretold now and then, and takes a drawer's whole
    front along: a connected patch of pixels that comes near ``way`` is left out.

    :param way: (N, 3) points that the tool, and what it moves, pass, m, base frame
    """
    patches, n = label(different(told, seen), np.ones((3, 3)))
    count = 0
    for patch in (patches == i for i in range(1, n + 1)):
        where = np.concatenate([seen.surface(d, patch) for d in (told.depth, seen.depth)])
        near = cdist(where, way).min() < REACH
        if not near and (pixels := int(patch.sum())) >= LEAST:
            count += pixels
    return count


def different(told: Picture, seen: View) -> NDArray[np.bool_]:
    """(H, W): pixels whose measured depth is none of those foretold around them, or the other
    way round; where the arm is, or nothing is known, next to them, they do not count."""
    with np.errstate(invalid="ignore"):
        known = seen.known() & np.isfinite(told.depth) & (told.depth > 0) & ~told.robot
    known = minimum_filter(known, 3)
    limit = np.maximum(DIFFERENT, SIGMAS * axial_noise(np.where(known, seen.depth, 0.0)))
    out = np.zeros_like(known)
    for one, other in ((seen.depth, told.depth), (told.depth, seen.depth)):
        near, far = minimum_filter(one, 3), maximum_filter(one, 3)
        out |= known & ((other < near - limit) | (other > far + limit))
    return out


def in_hand(view: View, tool: Pose, opening: float, table: float) -> Array:
    """(N, 3) m, tool frame: what is seen between and beside the fingers and is not the robot's.

    :param tool: pose of the tool in the base frame
    :param opening: between the fingers, m
    :param table: height of the table, m
    """
    at = view.surface(view.depth, view.known())
    local = tool.inverse().apply(at)
    near = np.hypot(local[:, 0], local[:, 1]) < 0.5 * opening + BESIDE
    near &= (local[:, 2] > -OVER) & (local[:, 2] < UNDER)
    return np.asarray(local[near & (at[:, 2] > table + ON_TABLE)])


def lost(points: Array, seen: View) -> int:
    """In how many pixels a carried thing is not seen any more; 0 if anything of it is left.

    :param points: (N, 3) m of its surface, base frame, where the hand must have taken it
    """
    u, v, z, inside = project(seen, points)
    u, v, z = u[inside], v[inside], z[inside]
    visible = seen.known()[v, u]
    u, v, z = u[visible], v[visible], z[visible]
    nearest = minimum_filter(np.where(seen.known(), seen.depth, np.inf), 3)[v, u]
    behind = nearest > z + np.maximum(GONE, SIGMAS * axial_noise(seen.depth[v, u]))
    pixels = len(set(zip(u.tolist(), v.tolist(), strict=True)))
    return pixels if pixels >= LEAST and behind.all() else 0
