# SPDX-License-Identifier: Apache-2.0
"""Put the mug on the tray."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.schema import ObjectRequest, Requirements
from wm_ros.sim.tasks.base import upright
from wm_ros.sim.tasks.placing import Placing

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

FLOOR = 0.004  # m, height of the tray's floor


class PutMugOnTray(Placing):
    """The mug stands on the tray, upright, let go."""

    name = "put_mug_on_tray"
    room = "home"
    templates = ("put the mug on the tray", "put the mug onto the tray",
                 "move the mug to the tray", "the mug belongs on the tray")
    held_out_templates = ("bring the mug over to the tray", "stand the mug on the serving tray")

    def thing(self) -> str:
        return "mug"

    def requirements(self) -> Requirements:
        return Requirements(objects=(ObjectRequest("mug", yaw=(-1.2, 1.2)),), furniture=("tray",),
                            separation=0.05)

    def place(self, sim: Simulator) -> np.ndarray:
        return sim.object_pose("tray").position + np.array([0.0, 0.0, FLOOR])

    def placed(self, sim: Simulator) -> bool:
        return (sim.contains("tray", "mug") and sim.touching("tray", "mug")
                and upright(sim.object_pose("mug")))
