# SPDX-License-Identifier: Apache-2.0
"""Close the cabinet's door."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.experts.moves import Expert
from wm_ros.sim.schema import Requirements
from wm_ros.sim.tasks.base import nearness
from wm_ros.sim.tasks.doors import DoorTask, Swinger

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

SHUT = 0.04  # rad


class CloseDoor(DoorTask):
    """The door is shut and let go."""

    name = "close_door"
    room = "home"
    templates = ("close the cabinet", "close the cabinet door", "close the door",
                 "close the door of the cabinet")
    held_out_templates = ("get the cabinet closed", "swing the cabinet door shut")

    def requirements(self) -> Requirements:
        return Requirements(furniture=("cabinet",), joints={"door": (0.7, 1.0)}, clutter=(0, 3))

    def success(self, sim: Simulator) -> bool:
        return sim.joint_value("door") < 2 * SHUT and self.clear(sim)

    def progress(self, sim: Simulator) -> float:
        if self.success(sim):
            return 1.0
        shut = float(np.clip(1.0 - sim.joint_value("door"), 0.0, 1.0))
        post = sim.handle_pose("door").position
        reach = nearness(float(np.linalg.norm(sim.tcp_pose().position - post)))
        return 0.3 * reach + 0.6 * shut

    def expert(self, sim: Simulator, rng: np.random.Generator | None = None) -> Expert:
        return Swinger(sim, SHUT, -1.0)
