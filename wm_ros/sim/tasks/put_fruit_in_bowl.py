# SPDX-License-Identifier: Apache-2.0
"""Put a fruit in the bowl."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.randomize import namable
from wm_ros.sim.schema import ObjectRequest, Requirements, Scene
from wm_ros.sim.tasks.base import Task
from wm_ros.sim.tasks.placing import Placing

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

FRUIT = ("apple", "lemon", "orange")


class PutFruitInBowl(Placing):
    """The fruit lies in the bowl, let go."""

    name = "put_fruit_in_bowl"
    room = "home"
    templates = ("put the {fruit} in the bowl", "put the {fruit} into the bowl",
                 "pick up the {fruit} and drop it in the bowl",
                 "the {fruit} goes in the bowl")
    held_out_templates = ("move the {fruit} over into the bowl",
                          "i want the {fruit} inside the bowl")
    across = 0.018
    up = 0.03

    def vary(self, rng: np.random.Generator) -> None:
        self.fruit = str(rng.choice(FRUIT))

    def slots(self) -> Mapping[str, str]:
        return {"fruit": self.fruit}

    def others(self, scene: Scene) -> list[Task]:
        return [self._with(fruit=name) for name in namable(scene)
                if name in FRUIT and name != self.fruit]

    def thing(self) -> str:
        return self.fruit

    def requirements(self) -> Requirements:
        return Requirements(
            objects=(ObjectRequest(self.fruit, yaw=(-1.2, 1.2)), ObjectRequest("bowl")),
            separation=0.05)

    def place(self, sim: Simulator) -> np.ndarray:
        bowl = sim.object_pose("bowl").position
        return bowl + np.array([0.0, 0.0, sim.scene.object("bowl").size[2] + 0.01])

    def placed(self, sim: Simulator) -> bool:
        return sim.contains("bowl", self.fruit) and sim.touching("bowl", self.fruit)
