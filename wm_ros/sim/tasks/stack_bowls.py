# SPDX-License-Identifier: Apache-2.0
"""Stack one bowl in the other."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.schema import ObjectRequest, Requirements
from wm_ros.sim.tasks.base import let_go, upright
from wm_ros.sim.tasks.placing import Placing

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator


class StackBowls(Placing):
    """One bowl stands in the other, upright, let go. The expert moves the right one, as the robot
    sees it; the words name no bowl, so either may be the upper one."""

    name = "stack_bowls"
    room = "home"
    templates = ("stack the bowls", "put one bowl in the other bowl",
                 "stack the two bowls", "put one of the bowls into the other")
    held_out_templates = ("pile up the bowls", "nest one bowl inside the other")
    across = 0.012
    up = 0.035
    max_seconds = 14.0

    def thing(self) -> str:
        return "bowl_2"

    def requirements(self) -> Requirements:
        return Requirements(
            objects=(ObjectRequest("bowl", name="bowl", zone=(0.42, 0.58, 0.06, 0.26)),
                     ObjectRequest("bowl", name="bowl_2", zone=(0.42, 0.58, -0.28, -0.10),
                                   yaw=(-0.3, 0.3))),
            clutter=(0, 2), separation=0.05)

    def place(self, sim: Simulator) -> np.ndarray:
        return sim.object_pose("bowl").position + np.array([0.0, 0.0, 0.02])

    def success(self, sim: Simulator) -> bool:
        return super().success(sim) and let_go(sim, "bowl")

    def placed(self, sim: Simulator) -> bool:
        left, right = sim.object_pose("bowl"), sim.object_pose("bowl_2")
        rise = right.position - left.position
        return (bool(np.hypot(*rise[:2]) < 0.03) and 0.002 < abs(float(rise[2])) < 0.045
                and upright(right, 0.35) and upright(left, 0.35)
                and sim.touching("bowl", "bowl_2"))
