# SPDX-License-Identifier: Apache-2.0
"""What the measured depth shows that nobody foretold, and the hand cannot have done."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, maximum_filter, minimum_filter
from scipy.spatial.distance import cdist

from wm_ros.motion.pose import Array
from wm_ros.world_model.scene3d.imagery import Picture
from wm_ros.world_model.scene3d.view import View, axial_noise

DIFFERENT = 0.012  # m between the foretold and the measured depth, at least
SIGMAS = 4.0  # of the depth camera's noise, likewise
REACH = 0.1  # m from the tool's way: a change that begins there is the hand's own work
LEAST = 3  # pixels of one change; fewer are noise at an edge


def unexplained(told: Picture, seen: View, way: Array) -> int:
    """How many pixels show an unforeseen change away from the hand.

    What the hand touches goes another way than foretold now and then, and takes a drawer's whole
    front along: a connected patch of pixels that comes near ``way`` is left out.

    :param way: (N, 3) points that the tool, and what it moves, pass, m, base frame
    """
    patches, n = label(different(told, seen), np.ones((3, 3)))
    count, rays = 0, seen.rays().astype(np.float64)
    for patch in (patches == i for i in range(1, n + 1)):
        where = np.concatenate([rays[patch] * depth[patch, None]
                                for depth in (told.depth, seen.depth)])
        near = cdist(seen.pose.apply(where), way).min() < REACH
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
