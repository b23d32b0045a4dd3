# SPDX-License-Identifier: Apache-2.0
"""Points along straight lines of the tool."""
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from wm_ros.motion.pose import Pose, distance, interpolate

ANGLE_STEP = 0.05  # rad between points


def along(start: Pose, waypoints: Sequence[Pose], max_step: float) -> Iterator[tuple[float, Pose]]:
    """Poses at most ``max_step`` (m) apart through the waypoints, with the share of the way done.

    Each line counts the same, as in MoveIt's fraction.
    """
    before = start
    for i, pose in enumerate(waypoints):
        metres, radians = distance(before, pose)
        count = max(1, math.ceil(max(metres / max_step, radians / ANGLE_STEP)))
        for k in range(1, count + 1):
            yield (i + k / count) / len(waypoints), interpolate(before, pose, k / count)
        before = pose
