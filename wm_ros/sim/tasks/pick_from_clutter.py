# SPDX-License-Identifier: Apache-2.0
"""Pick one thing out of clutter."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.experts.moves import CLOSED, Action, Expert, rise
from wm_ros.sim.experts.pick_place import grasp_of, pick
from wm_ros.sim.randomize import namable
from wm_ros.sim.schema import ObjectRequest, Requirements, Scene
from wm_ros.sim.tasks.base import Task, nearness

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

THINGS = ("stapler", "marker", "eraser", "tape", "glue_stick", "sticky_notes")
HIGH = 0.10  # m, how high counts
TOP = 0.20  # m, where the expert holds it


class PickFromClutter(Task):
    """The thing is held 10 cm above the desk for half a second."""

    name = "pick_from_clutter"
    room = "office"
    templates = ("pick up the {thing}", "pick up the {thing} from the clutter",
                 "lift the {thing}", "take the {thing}")
    held_out_templates = ("get me the {thing}", "raise the {thing} off the desk")
    hold_seconds = 0.5

    def vary(self, rng: np.random.Generator) -> None:
        self.kind = str(rng.choice(THINGS))

    def slots(self) -> Mapping[str, str]:
        return {"thing": self.kind.replace("_", " ")}

    def others(self, scene: Scene) -> list[Task]:
        return [self._with(kind=name) for name in namable(scene) if name != self.kind]

    def requirements(self) -> Requirements:
        return Requirements(objects=(ObjectRequest(self.kind, yaw=(-1.2, 1.2)),),
                            clutter=(4, 6), separation=0.05)

    def success(self, sim: Simulator) -> bool:
        return bool(sim.object_pose(self.kind).position[2] > HIGH
                    and sim.touching("fingers", self.kind))

    def progress(self, sim: Simulator) -> float:
        if self.success(sim):
            return 1.0
        tcp, grasp = sim.tcp_pose(), grasp_of(sim, self.kind)
        lifted = float(np.clip(sim.object_pose(self.kind).position[2] / HIGH, 0.0, 1.0))
        if grasp.held(tcp, sim.gripper_width):
            return 0.5 + 0.4 * lifted
        return 0.4 * nearness(float(np.linalg.norm(tcp.position - grasp.position)))

    def expert(self, sim: Simulator, rng: np.random.Generator | None = None) -> Expert:
        return _Lifter(sim, self.kind)


class _Lifter:
    def __init__(self, sim: Simulator, thing: str) -> None:
        self.sim = sim
        self.thing = thing

    def act(self) -> Action:
        tcp, width = self.sim.tcp_pose(), self.sim.gripper_width
        grasp = grasp_of(self.sim, self.thing)
        if grasp.held(tcp, width):
            return Action(rise(tcp, TOP), CLOSED)
        return pick(tcp, width, grasp)
