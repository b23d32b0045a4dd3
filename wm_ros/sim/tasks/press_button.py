# SPDX-License-Identifier: Apache-2.0
"""Press the button of a colour."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.experts.moves import CLOSED, TIP, Action, Expert, funnel
from wm_ros.sim.schema import Requirements, Scene
from wm_ros.sim.tasks.base import Task, nearness

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

COLORS = ("red", "green", "blue")
CLICK = 0.006  # m of travel
DEEP = 0.009  # m, how far the expert presses


class PressButton(Task):
    """The button is pressed past its click, and no other one together with it."""

    name = "press_button"
    room = "office"
    templates = ("press the {color} button", "push the {color} button",
                 "press the button that is {color}", "hit the {color} button")
    held_out_templates = ("give the {color} button a push", "the {color} button, press it")
    max_seconds = 8.0

    def vary(self, rng: np.random.Generator) -> None:
        self.color = str(rng.choice(COLORS))

    def slots(self) -> Mapping[str, str]:
        return {"color": self.color}

    def others(self, scene: Scene) -> list[Task]:
        return [self._with(color=color) for color in COLORS if color != self.color]

    def requirements(self) -> Requirements:
        return Requirements(furniture=("button_panel",), clutter=(0, 3))

    @property
    def button(self) -> str:
        """Name of the button's joint and body."""
        return f"button_{self.color}"

    def success(self, sim: Simulator) -> bool:
        others = [f"button_{color}" for color in COLORS if color != self.color]
        return (sim.joint_value(self.button) > CLICK
                and all(sim.joint_value(other) < CLICK / 2 for other in others))

    def progress(self, sim: Simulator) -> float:
        if self.success(sim):
            return 1.0
        top = sim.handle_pose(self.button).position
        return 0.9 * nearness(float(np.linalg.norm(sim.tcp_pose().position - top)))

    def expert(self, sim: Simulator, rng: np.random.Generator | None = None) -> Expert:
        return _Presser(sim, self.button)


class _Presser:
    def __init__(self, sim: Simulator, button: str) -> None:
        self.sim = sim
        self.button = button

    def act(self) -> Action:
        top = self.sim.handle_pose(self.button).position
        rest = top[2] + self.sim.joint_value(self.button)
        goal = np.array([top[0], top[1], rest + TIP - DEEP])
        return Action(funnel(self.sim.tcp_pose(), goal, 0.0, 0.095), CLOSED)
