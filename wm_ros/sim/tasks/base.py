# SPDX-License-Identifier: Apache-2.0
"""What a task is: what it needs in the scene, how it is said, when it is done, how it is done."""
from __future__ import annotations

import copy
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from wm_ros.motion.pose import Pose
from wm_ros.sim import language
from wm_ros.sim.experts.moves import Expert
from wm_ros.sim.schema import Requirements

if TYPE_CHECKING:
    from wm_ros.sim.schema import Scene
    from wm_ros.sim.simulator import Simulator

AWAY = 0.05  # m between the tool centre point and a thing that has been let go


class Task:
    """One task, with its variant (which fruit, which button) drawn from a seed.

    :param seed: chooses the variant; the same seed gives the same one.
    :param split: ``"train"``, ``"held_out"`` or ``"novel"``; they draw from separate streams.
    """

    name: ClassVar[str] = ""
    room: ClassVar[str] = ""
    templates: ClassVar[tuple[str, ...]] = ()
    held_out_templates: ClassVar[tuple[str, ...]] = ()
    max_seconds: ClassVar[float] = 12.0
    hold_seconds: ClassVar[float] = 0.3  # how long success must last to count

    def __init__(self, seed: int = 0, split: str = "train") -> None:
        key = zlib.crc32(f"{self.name}/{split}".encode())
        self.seed = seed
        self.split = split
        self.vary(np.random.default_rng((key, seed)))

    def vary(self, rng: np.random.Generator) -> None:
        """Choose the variant; nothing to choose by default."""

    def slots(self) -> Mapping[str, str]:
        """Return the words for the slots of the templates."""
        return {}

    def others(self, scene: Scene) -> list[Task]:
        """Return the same task with what else is in the scene: what a try may do instead."""
        return []

    def _with(self, **choice: Any) -> Self:
        """The same task with another variant."""
        other = copy.copy(self)
        vars(other).update(choice)
        return other

    def requirements(self) -> Requirements:
        """Return what the scene must contain."""
        raise NotImplementedError

    def instruction(self, rng: np.random.Generator | None = None, held_out: bool = False) -> str:
        """Return the instruction: the plain one, or a random (held-out) paraphrase."""
        if rng is None:
            return language.fill(self.templates[0], self.slots())
        if held_out:
            return language.held_out(str(rng.choice(self.held_out_templates)), self.slots(), rng)
        return language.paraphrase(str(rng.choice(self.templates)), self.slots(), rng)

    def success(self, sim: Simulator) -> bool:
        """Whether the task is done right now (see :class:`Judge` for how long it must last)."""
        raise NotImplementedError

    def progress(self, sim: Simulator) -> float:
        """Return how far the task has come, 0 to 1."""
        raise NotImplementedError

    def expert(self, sim: Simulator, rng: np.random.Generator | None = None) -> Expert:
        """Return the expert of this task for this simulator."""
        raise NotImplementedError


class Judge:
    """Success that lasts: call :meth:`update` regularly; it is true once success has held."""

    def __init__(self, task: Task, sim: Simulator) -> None:
        self.task = task
        self.sim = sim
        self.since: float | None = None
        self.succeeded = False

    def update(self) -> bool:
        """Look at the simulator; return whether success has lasted ``hold_seconds`` by now."""
        if not self.task.success(self.sim):
            self.since = None
            self.succeeded = False
        else:
            if self.since is None:
                self.since = self.sim.time
            self.succeeded = self.sim.time - self.since >= self.task.hold_seconds - 1e-6
        return self.succeeded

    def progress(self) -> float:
        """Return how far the task has come, 0 to 1; 1 only once success has lasted."""
        return 1.0 if self.succeeded else min(self.task.progress(self.sim), 0.99)


def upright(pose: Pose, tilt: float = 0.25) -> bool:
    """Whether the z axis of a pose points up within ``tilt`` radians."""
    x, y = pose.quaternion[:2]
    return bool(1 - 2 * (x * x + y * y) > np.cos(tilt))


def let_go(sim: Simulator, name: str, away: float = AWAY) -> bool:
    """Whether the fingers do not touch the thing and the hand is away from its grasp."""
    if sim.touching("robot", name):
        return False
    thing = sim.object_pose(name)
    grasp = thing.apply(np.asarray(sim.scene.object(name).grasp.position))
    return float(np.linalg.norm(sim.tcp_pose().position - grasp)) > away


def nearness(distance: float, far: float = 0.4) -> float:
    """Return 1 at distance 0 and 0 from ``far`` on, for progress."""
    return float(np.clip(1.0 - distance / far, 0.0, 1.0))
