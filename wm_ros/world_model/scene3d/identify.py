# SPDX-License-Identifier: Apache-2.0
"""Friction and mass of a thing from a few pushes, by comparing the twin with what happened.

Pushed slowly, a thing moves the same whatever it weighs; the force says mass times friction.
How it turns and slides along the fingers says a little about friction alone, so the product is
known better than its factors. Candidates are rolled out together, one model each.
"""
from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Array
from wm_ros.robot import RobotConfig
from wm_ros.world_model.scene3d.perceived import PerceivedScene, Thing
from wm_ros.world_model.scene3d.twin import Twin

FRICTIONS = (0.3, 0.45, 0.6, 0.8, 1.05)
MASS_SCALES = (0.25, 0.5, 1.0, 1.6, 2.5)
GRID = tuple(product(FRICTIONS, MASS_SCALES))
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
    :param force: mean force of the hand on the thing along the push while pushing, N
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
    force: float


@dataclass(frozen=True)
class Replay:
    """A trial in the twin, once for each friction and mass of ``GRID`` and last as perceived.

    :param moved: (len(GRID) + 1, 3) displacement of the thing's middle, m
    :param force: (len(GRID) + 1,) as the trial's, N
    :param misfit: (len(GRID) + 1,) sum of squared errors in units of the noise
    """

    moved: Array
    force: Array
    misfit: Array


@dataclass(frozen=True)
class Estimate:
    """friction (1) and mass (kg); misfit is the sum of squared errors in units of the noise."""

    friction: float
    mass: float
    misfit: float
    misfit_before: float


def mean_push(force: Array, direction: Array) -> float:
    """Mean from the first to the last contact of the hand's force along the push, N; the given
    force (H, 3) is the one on the hand. Contact chatters: pauses between count too."""
    along = -(force[:, :2] @ direction)
    pushing = np.flatnonzero(along > LEAST_FORCE)
    return float(along[pushing[0]:pushing[-1] + 1].mean()) if len(pushing) else 0.0


def replay(name: str, trial: Trial, robot: RobotConfig, kinematics: Kinematics | None = None,
           threads: int = 2) -> Replay:
    """Rolls one push of the thing ``name`` out for every candidate."""
    twin = Twin(trial.scene, robot, trial.q, trial.gripper, kinematics, threads)
    try:
        models = []
        for friction, scale in (*GRID, (trial.scene.thing(name).friction, 1.0)):
            model = copy.copy(twin.sim.model)
            Twin.set_contact(model, name, friction, scale)
            models.append(model)
        position, quaternion, width = (np.repeat(a[None], len(models), axis=0) for a in (
            trial.position, trial.quaternion, trial.width))
        told = twin.roll(position, quaternion, width, trial.dt, models, forces=True)
        i = twin.names.index(name)
    finally:
        twin.close()
    moved = told.poses[:, -1, i, :3] - told.poses[:, 0, i, :3]
    force = np.array([mean_push(f, trial.direction) for f in told.force])
    ratio = np.log(np.maximum(force, LEAST_FORCE) / max(trial.force, LEAST_FORCE))
    misfit = ((np.linalg.norm(moved - trial.displacement, axis=1) / MOVE_NOISE) ** 2
              + (ratio / FORCE_NOISE) ** 2)
    return Replay(moved, force, misfit)


def best(replays: Sequence[Replay]) -> int:
    """The row of ``GRID`` that fits these trials of one thing best."""
    return int(np.sum([r.misfit[:-1] for r in replays], axis=0).argmin())


def holds(replays: Sequence[Replay]) -> bool:
    """Whether what the other pushes tell foretells each push better than what was perceived."""
    if len(replays) < 2:
        return False
    rows = [best([r for r in replays if r is not one]) for one in replays]
    return sum(float(one.misfit[row] - one.misfit[-1])
               for one, row in zip(replays, rows, strict=True)) < 0


def identified(thing: Thing, replays: Sequence[Replay]) -> Estimate:
    """Best of the grid for a thing, from the trials in which it was pushed."""
    row = best(replays)
    friction, scale = GRID[row]
    return Estimate(friction, thing.mass * scale, sum(float(r.misfit[row]) for r in replays),
                    sum(float(r.misfit[-1]) for r in replays))


def updated(scene: PerceivedScene, name: str, estimate: Estimate) -> PerceivedScene:
    """The scene with what was learned of a thing."""
    things = tuple(replace(t, friction=estimate.friction, mass=estimate.mass, pushed=True)
                   if t.name == name else t for t in scene.things)
    return replace(scene, things=things)
