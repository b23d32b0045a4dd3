# SPDX-License-Identifier: Apache-2.0
"""The common part of tasks that bring one thing to one place."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.experts.moves import Expert
from wm_ros.sim.experts.pick_place import PickPlace, grasp_of
from wm_ros.sim.tasks.base import Task, let_go, nearness

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator


class Placing(Task):
    """Bring the thing :meth:`thing` to the place :meth:`place`."""

    across = 0.012  # m, how far from the place it may be let go
    up = 0.008  # m, how far above

    def thing(self) -> str:
        """Return the name of the thing."""
        raise NotImplementedError

    def place(self, sim: Simulator) -> np.ndarray:
        """Return where the base of the thing shall be let go, (3,) m."""
        raise NotImplementedError

    def placed(self, sim: Simulator) -> bool:
        """Whether the thing is where it belongs, in hand or not."""
        raise NotImplementedError

    def success(self, sim: Simulator) -> bool:
        return self.placed(sim) and let_go(sim, self.thing())

    def progress(self, sim: Simulator) -> float:
        if self.success(sim):
            return 1.0
        if self.placed(sim):
            return 0.9
        tcp = sim.tcp_pose()
        grasp = grasp_of(sim, self.thing())
        to_thing = float(np.linalg.norm(tcp.position - grasp.position))
        to_place = float(np.linalg.norm(self.place(sim) - sim.object_pose(self.thing()).position))
        if grasp.held(tcp, sim.gripper_width):
            return 0.4 + 0.4 * nearness(to_place, 0.6)
        return 0.3 * nearness(to_thing)

    def expert(self, sim: Simulator, rng: np.random.Generator | None = None) -> Expert:
        return PickPlace(sim, self.thing(), lambda: self.place(sim), lambda: self.placed(sim),
                         self.across, self.up)
