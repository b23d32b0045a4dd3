# SPDX-License-Identifier: Apache-2.0
"""Wipe the stain off the counter with the sponge."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.experts.moves import CLOSED, GENTLE, OPEN, Action, Expert, funnel, step
from wm_ros.sim.experts.pick_place import grasp_of, pick, release, retreat
from wm_ros.sim.schema import ObjectRequest, Requirements
from wm_ros.sim.tasks.base import Task, nearness

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

LOW = ("apple", "banana", "lemon", "orange", "plate", "spoon", "tomato")  # the hand clears them
CLEAN = 0.2  # fraction of the stain that may be left
LANE = 0.072  # m across that a sponge surely wipes, its long side across


class WipeCounter(Task):
    """Four fifths of the stain are wiped away."""

    name = "wipe_counter"
    room = "home"
    templates = ("wipe the counter", "wipe the stain off the counter",
                 "wipe the counter with the sponge", "clean up the stain")
    held_out_templates = ("scrub the dirty spot", "use the sponge to clean the counter")
    max_seconds = 15.0

    def requirements(self) -> Requirements:
        return Requirements(objects=(ObjectRequest("sponge", yaw=(-1.0, 1.0)),), stain=True,
                            clutter=(0, 3), clutter_kinds=LOW, separation=0.05)

    def success(self, sim: Simulator) -> bool:
        return sim.stain_left() <= CLEAN

    def progress(self, sim: Simulator) -> float:
        if self.success(sim):
            return 1.0
        tcp, grasp = sim.tcp_pose(), grasp_of(sim, "sponge")
        wiped = float(np.clip((1.0 - sim.stain_left()) / (1.0 - CLEAN), 0.0, 1.0))
        if grasp.held(tcp, sim.gripper_width):
            return 0.4 + 0.5 * wiped
        return max(0.3 * nearness(float(np.linalg.norm(tcp.position - grasp.position))),
                   0.4 * wiped)

    def expert(self, sim: Simulator, rng: np.random.Generator | None = None) -> Expert:
        return _Wiper(sim)


class _Wiper:
    """Wipes in lanes from side to side, that next to the robot first and each from its nearer end:
    what is left lies ahead in both cameras' sight, and where it ends can be told early."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim

    def act(self) -> Action:
        tcp, width = self.sim.tcp_pose(), self.sim.gripper_width
        grasp = grasp_of(self.sim, "sponge")
        dots = self.sim.stain_positions()
        if len(dots) == 0 or self.sim.stain_left() <= 0.01:
            return self.leave()
        if not grasp.held(tcp, width):
            return pick(tcp, width, grasp)
        sponge = self.sim.object_pose("sponge").position
        ways = dots[:, :2] - sponge[:2]
        lane = ways[ways[:, 0] < ways[:, 0].min() + LANE]
        low, high = lane.min(0), lane.max(0)
        end = low[1] if abs(low[1]) < abs(high[1]) else high[1]
        height = tcp.position[2] - sponge[2] - 0.001
        if sponge[2] < 0.012 and float(np.hypot(*lane.T).min()) < 0.12:
            aside = max(high[0] - 0.5 * LANE, 0.0) + min(low[0] + 0.5 * LANE, 0.0)
            along = 0.03 * max(1.0 - abs(aside) / 0.02, 0.0)  # beside its lane it first gets there
            ahead = np.array([*(tcp.position[:2] + (aside, math.copysign(along, end))), height])
            return Action(step(tcp, ahead, 0.0, 0.016), CLOSED)
        goal = np.array([*(tcp.position[:2] + (0.5 * (low[0] + high[0]), end)), height])
        return Action(funnel(tcp, goal, 0.0, 0.10, gentle=GENTLE), CLOSED)

    def leave(self) -> Action:
        """Let the sponge go where it is and leave."""
        tcp = self.sim.tcp_pose()
        low = tcp.position[2] < 0.05
        return release(tcp) if low and self.sim.gripper_width < OPEN - 0.012 else retreat(tcp)
