# SPDX-License-Identifier: Apache-2.0
"""Friction and mass of a thing from a few pushes, by comparing the twin with what happened.

Pushed slowly, a thing moves the same whatever it weighs; the force says mass times friction.
How it turns and slides along the fingers says a little about friction alone, so the product is
known better than its factors. Candidates are rolled out together, one model each.
"""
from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Array
from wm_ros.robot import RobotConfig
from wm_ros.world_model.scene3d.perceived import PerceivedScene
from wm_ros.world_model.scene3d.twin import Twin

FRICTIONS = (0.3, 0.45, 0.6, 0.8, 1.05)
MASS_SCALES = (0.25, 0.5, 1.0, 1.6, 2.5)
MOVE_NOISE = 0.004  # m, of a displacement
FORCE_NOISE = 0.25  # relative, of a mean pushing force
LEAST_FORCE = 0.1  # N


@dataclass(frozen=True)
class Trial:
    """One push and what came of it.

    :param scene: perceived before the push;  ``q`` (n,) rad and ``gripper`` m then
    :param position: (H, 3) tool poses with ``quaternion`` (H, 4) and ``width`` (H,), each ``dt``
        s after the one before
    :param displacement: (3,) of the thing's middle, m
    :param force: mean force of the hand on the thing along the push while pushing, N, or None
    :param direction: (2,) of the push
    """

    scene: PerceivedScene
    q: Array
    gripper: float
    position: Array
    quaternion: Array
    width: Array
    dt: float
    displacement: Array
    direction: Array
    force: float | None = None


@dataclass(frozen=True)
class Estimate:
    """friction (1) and mass (kg); misfit is the sum of squared errors in units of the noise."""

    friction: float
    mass: float
    misfit: float
    misfit_before: float

    @property
    def weight_of_friction(self) -> float:
        """Force (N) that it takes to push the thing along: what pushes tell best."""
        return self.friction * self.mass * 9.81


def mean_push(force: Array, direction: Array) -> float:
    """Mean from the first to the last contact of the hand's force along the push, N; the given
    force (H, 3) is the one on the hand. Contact chatters: pauses between count too."""
    along = -(force[:, :2] @ direction)
    pushing = np.flatnonzero(along > LEAST_FORCE)
    return float(along[pushing[0]:pushing[-1] + 1].mean()) if len(pushing) else 0.0


def identify(name: str, trials: list[Trial], robot: RobotConfig,
             kinematics: Kinematics | None = None, threads: int = 2) -> Estimate:
    """Best of a grid of frictions and masses for the thing ``name``."""
    grid = list(product(FRICTIONS, MASS_SCALES))
    thing = trials[0].scene.thing(name)
    misfit, before = np.zeros(len(grid)), 0.0
    for trial in trials:
        twin = Twin(trial.scene, robot, trial.q, trial.gripper, kinematics, threads)
        try:
            models = []
            for friction, scale in [*grid, (thing.friction, 1.0)]:
                model = copy.copy(twin.sim.model)
                Twin.set_contact(model, name, friction, scale)
                models.append(model)
            n = len(models)
            position, quaternion, width = (np.repeat(a[None], n, axis=0) for a in (
                trial.position, trial.quaternion, trial.width))
            told = twin.roll(position, quaternion, width, trial.dt, models,
                             forces=trial.force is not None)
            i = twin.names.index(name)
        finally:
            twin.close()
        moved = told.poses[:, -1, i, :3] - told.poses[:, 0, i, :3]
        error = (np.linalg.norm(moved - trial.displacement, axis=1) / MOVE_NOISE) ** 2
        if trial.force is not None:
            force = np.array([mean_push(f, trial.direction) for f in told.force])
            ratio = np.log(np.maximum(force, LEAST_FORCE) / max(trial.force, LEAST_FORCE))
            error += (ratio / FORCE_NOISE) ** 2
        misfit += error[:-1]
        before += float(error[-1])
    best = int(misfit.argmin())
    friction, scale = grid[best]
    return Estimate(friction, thing.mass * scale, float(misfit[best]), before)


def updated(scene: PerceivedScene, name: str, estimate: Estimate) -> PerceivedScene:
    """The scene with what was learned of a thing."""
    things = tuple(replace(t, friction=estimate.friction, mass=estimate.mass, pushed=True)
                   if t.name == name else t for t in scene.things)
    return replace(scene, things=things)
