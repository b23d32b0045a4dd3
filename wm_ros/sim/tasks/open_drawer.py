# SPDX-License-Identifier: Apache-2.0
"""Open the drawer."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.experts.moves import (
    CLOSED,
    GENTLE,
    Action,
    Expert,
    step,
    yaw_of,
)
from wm_ros.sim.experts.pick_place import Grasp, pick, release, retreat
from wm_ros.sim.schema import Requirements
from wm_ros.sim.tasks.base import nearness
from wm_ros.sim.tasks.drawers import DrawerTask

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

OPENING = 0.05  # m, so that the inner finger fits between bar and front
FAR = 0.14  # m, the expert opens it this far


class OpenDrawer(DrawerTask):
    """The drawer is open by 12 cm or more and let go."""

    name = "open_drawer"
    room = "office"
    templates = ("open the drawer", "pull the drawer open", "open the desk drawer",
                 "slide the drawer open")
    held_out_templates = ("get the drawer open", "pull out the drawer")

    def requirements(self) -> Requirements:
        return Requirements(furniture=("drawer_unit",), clutter=(0, 3))

    def success(self, sim: Simulator) -> bool:
        return sim.joint_value("drawer") > 0.12 and self.clear(sim)

    def progress(self, sim: Simulator) -> float:
        if self.success(sim):
            return 1.0
        opened = float(np.clip(sim.joint_value("drawer") / FAR, 0.0, 1.0))
        handle = sim.handle_pose("drawer").position
        reach = nearness(float(np.linalg.norm(sim.tcp_pose().position - handle)))
        return max(0.3 * reach, 0.35 + 0.55 * opened if opened > 0.05 else 0.0)

    def expert(self, sim: Simulator, rng: np.random.Generator | None = None) -> Expert:
        return _Puller(sim, self)


class _Puller:
    def __init__(self, sim: Simulator, task: OpenDrawer) -> None:
        self.sim = sim
        self.task = task

    def act(self) -> Action:
        tcp, width = self.sim.tcp_pose(), self.sim.gripper_width
        turn = yaw_of(self.sim.object_pose("drawer_unit").quaternion)
        bar = self.sim.handle_pose("drawer").position
        grasp = Grasp(bar, turn + math.pi / 2, 0.014, OPENING)
        held = grasp.held(tcp, width)
        if self.sim.joint_value("drawer") >= FAR - (0.008 if held else 0.014):
            if np.linalg.norm(tcp.position - bar) < 0.03 and width < OPENING - 0.01:
                return release(tcp, OPENING)
            return retreat(tcp, opening=OPENING)
        if held:
            out = self.task.outwards(self.sim)
            target = np.array([*(bar[:2] + 0.04 * out), bar[2]])
            speed = float(np.interp(FAR - self.sim.joint_value("drawer"), [0.0, 0.03],
                                    [GENTLE, 0.018]))
            return Action(step(tcp, target, yaw_of(tcp.quaternion), speed), CLOSED)
        return pick(tcp, width, grasp)
