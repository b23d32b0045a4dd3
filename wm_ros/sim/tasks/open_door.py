# SPDX-License-Identifier: Apache-2.0
"""Open the cabinet's door."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.experts.moves import Expert
from wm_ros.sim.schema import Requirements
from wm_ros.sim.tasks.base import nearness
from wm_ros.sim.tasks.doors import DoorTask, Swinger

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

WIDE = 0.9  # rad


class OpenDoor(DoorTask):
    """The door is open by more than 0.8 rad and let go."""

    name = "open_door"
    room = "home"
    templates = ("open the cabinet", "open the cabinet door", "open the door",
                 "pull the cabinet door open")
    held_out_templates = ("get the cabinet open", "swing the cabinet door open")

    def requirements(self) -> Requirements:
        return Requirements(furniture=("cabinet",), clutter=(0, 3))

    def success(self, sim: Simulator) -> bool:
        return sim.joint_value("door") > WIDE - 0.1 and self.clear(sim)

    def progress(self, sim: Simulator) -> float:
        if self.success(sim):
            return 1.0
        opened = float(np.clip(sim.joint_value("door") / WIDE, 0.0, 1.0))
        post = sim.handle_pose("door").position
        reach = nearness(float(np.linalg.norm(sim.tcp_pose().position - post)))
        return max(0.3 * reach, 0.35 + 0.55 * opened if opened > 0.05 else 0.0)

    def expert(self, sim: Simulator, rng: np.random.Generator | None = None) -> Expert:
        return Swinger(sim, WIDE, 1.0)
