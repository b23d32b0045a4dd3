# SPDX-License-Identifier: Apache-2.0
"""Close the drawer."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.experts.moves import Action, Expert, yaw_of
from wm_ros.sim.experts.push import push, withdraw
from wm_ros.sim.schema import Requirements
from wm_ros.sim.tasks.base import nearness
from wm_ros.sim.tasks.drawers import LENGTH, DrawerTask

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

SHUT = 0.008  # m


class CloseDrawer(DrawerTask):
    """The drawer is shut and the hand is away."""

    name = "close_drawer"
    room = "office"
    templates = ("close the drawer", "push the drawer shut", "close the desk drawer",
                 "slide the drawer shut")
    held_out_templates = ("get the drawer closed", "push in the drawer")

    def requirements(self) -> Requirements:
        return Requirements(furniture=("drawer_unit",), joints={"drawer": (0.08, 0.16)},
                            clutter=(0, 3))

    def success(self, sim: Simulator) -> bool:
        return sim.joint_value("drawer") < SHUT + 0.004 and self.clear(sim)

    def progress(self, sim: Simulator) -> float:
        if self.success(sim):
            return 1.0
        shut = float(np.clip(1.0 - sim.joint_value("drawer") / LENGTH, 0.0, 1.0))
        handle = sim.handle_pose("drawer").position
        reach = nearness(float(np.linalg.norm(sim.tcp_pose().position - handle)))
        return 0.3 * reach + 0.6 * shut

    def expert(self, sim: Simulator, rng: np.random.Generator | None = None) -> Expert:
        return _Pusher(sim, self)


class _Pusher:
    def __init__(self, sim: Simulator, task: CloseDrawer) -> None:
        self.sim = sim
        self.task = task

    def act(self) -> Action:
        tcp = self.sim.tcp_pose()
        bar = self.sim.handle_pose("drawer").position
        if self.sim.joint_value("drawer") < SHUT:
            return withdraw(tcp, bar[2] + 0.12)
        yaw = yaw_of(self.sim.object_pose("drawer_unit").quaternion)
        contact = bar - np.array([0.0, 0.0, 0.015])
        return push(tcp, contact, -self.task.outwards(self.sim), yaw, before=0.06)
