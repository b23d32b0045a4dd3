# SPDX-License-Identifier: Apache-2.0
"""Turn the lamp on or off at its switch."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.experts.moves import Action, Expert, yaw_of
from wm_ros.sim.experts.push import push, withdraw
from wm_ros.sim.schema import Requirements
from wm_ros.sim.tasks.base import Task, nearness

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

OVER = 0.25  # rad, beyond the middle


class FlipSwitch(Task):
    """The lamp's lever is over and the hand is off it."""

    name = "flip_switch"
    room = "office"
    templates = ("turn {state} the lamp", "switch the lamp {state}", "turn the lamp {state}",
                 "flip the switch to turn the lamp {state}")
    held_out_templates = ("flick the lamp {state}", "i want the lamp {state}")
    max_seconds = 10.0

    def vary(self, rng: np.random.Generator) -> None:
        self.state = str(rng.choice(("on", "off")))

    def slots(self) -> Mapping[str, str]:
        return {"state": self.state}

    @property
    def sign(self) -> float:
        """Sign of the lever's angle in the wanted state."""
        return 1.0 if self.state == "on" else -1.0

    def requirements(self) -> Requirements:
        return Requirements(furniture=("switch", "lamp"),
                            joints={"lamp_switch": -0.45 * self.sign}, clutter=(0, 3))

    def success(self, sim: Simulator) -> bool:
        return (self.sign * sim.joint_value("lamp_switch") > OVER
                and sim.lamp_on == (self.state == "on")
                and not sim.touching("robot", "lamp_switch"))

    def progress(self, sim: Simulator) -> float:
        if self.success(sim):
            return 1.0
        tip = sim.handle_pose("lamp_switch").position
        reach = nearness(float(np.linalg.norm(sim.tcp_pose().position - tip)))
        over = float(np.clip(0.5 + self.sign * sim.joint_value("lamp_switch"), 0.0, 1.0))
        return 0.5 * reach + 0.4 * over

    def expert(self, sim: Simulator, rng: np.random.Generator | None = None) -> Expert:
        return _Flipper(sim, self.sign)


class _Flipper:
    def __init__(self, sim: Simulator, sign: float) -> None:
        self.sim = sim
        self.sign = sign

    def act(self) -> Action:
        tcp = self.sim.tcp_pose()
        tip = self.sim.handle_pose("lamp_switch").position
        if self.sign * self.sim.joint_value("lamp_switch") > 0.3:
            return withdraw(tcp, 0.18)
        turn = yaw_of(self.sim.object_pose("switch").quaternion)
        direction = self.sign * np.array([np.cos(turn), np.sin(turn)])
        contact = tip - np.array([0.0, 0.0, 0.012])
        return push(tcp, contact, direction, turn, before=0.045)
