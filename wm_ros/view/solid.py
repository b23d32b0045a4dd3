# SPDX-License-Identifier: Apache-2.0
"""Shapes in the scene of the page."""
from __future__ import annotations

from typing import Any, NamedTuple

from wm_ros.motion.pose import Pose

Colour = tuple[int, int, int]


class Solid(NamedTuple):
    """A mesh (trimesh, m) in a frame of the robot, or in the base frame for any other name."""

    name: str
    frame: str
    mesh: Any
    pose: Pose
    colour: Colour
