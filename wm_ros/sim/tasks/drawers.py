# SPDX-License-Identifier: Apache-2.0
"""The common part of the drawer tasks."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.experts.moves import yaw_of
from wm_ros.sim.tasks.base import Task

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

LENGTH = 0.18  # m, how far the drawer slides


class DrawerTask(Task):
    """A task on the drawer."""

    def outwards(self, sim: Simulator) -> np.ndarray:
        """Return the direction (2,) in which the drawer opens."""
        turn = yaw_of(sim.object_pose("drawer_unit").quaternion)
        return -np.array([np.cos(turn), np.sin(turn)])

    def clear(self, sim: Simulator) -> bool:
        """Whether the hand has let go and is above the handle."""
        handle = sim.handle_pose("drawer").position
        return (not sim.touching("robot", "drawer")
                and bool(np.linalg.norm(sim.tcp_pose().position - handle) > 0.05))
