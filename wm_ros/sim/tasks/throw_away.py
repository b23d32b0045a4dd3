# SPDX-License-Identifier: Apache-2.0
"""Throw the paper ball into the bin."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.schema import ObjectRequest, Requirements
from wm_ros.sim.tasks.placing import Placing

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

RIM = 0.11  # m, height of the bin


class ThrowAway(Placing):
    """The paper ball lies in the bin, below its rim."""

    name = "throw_away"
    room = "office"
    templates = ("throw the paper ball in the bin", "throw away the paper ball",
                 "put the paper ball in the bin", "drop the crumpled paper into the bin")
    held_out_templates = ("get rid of the paper ball", "bin the crumpled paper")
    across = 0.02
    up = 0.03

    def thing(self) -> str:
        return "paper_ball"

    def requirements(self) -> Requirements:
        # the hand is 20 cm wide and the bin higher than the ball: keep them apart
        return Requirements(objects=(ObjectRequest("paper_ball"),), furniture=("bin",),
                            clutter=(0, 3), separation=0.09)

    def place(self, sim: Simulator) -> np.ndarray:
        return sim.object_pose("bin").position + np.array([0.0, 0.0, RIM + 0.01])

    def placed(self, sim: Simulator) -> bool:
        ball = sim.object_pose("paper_ball").position[2]
        return sim.contains("bin", "paper_ball") and bool(ball < RIM - 0.01)
