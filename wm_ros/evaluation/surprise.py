# SPDX-License-Identifier: Apache-2.0
"""The surprise test: what physics forbids must surprise a model, what light and paint do not.

After Garrido et al. 2025 and LeWorldModel (arXiv 2603.19312): in an expert's episode something
happens at a random moment; the score is the model's surprise at the first look after it, against
those of the undisturbed episodes.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wm_ros.evaluation.calibration import auroc
from wm_ros.evaluation.closed_loop import to_observation
from wm_ros.evaluation.recorded import record
from wm_ros.motion.pose import Pose
from wm_ros.sim.env import TaskEnv
from wm_ros.sim.simulator import Simulator
from wm_ros.world_model.interface import WorldModel, new_room

VIOLATIONS = ("teleport", "vanish", "interpenetrate")
HARMLESS = ("colour", "light")
LEAST_PIXELS = 15  # of a thing in the scene image: what is not seen cannot surprise
FAR = 0.15  # m, the shortest teleportation
GONE = Pose(np.array([0.0, 0.0, -2.0]), np.array([0.0, 0.0, 0.0, 1.0]))
WORKSPACE = (np.array([0.33, -0.35]), np.array([0.62, 0.35]))  # m, x and y of the table in reach


def watch(model: WorldModel, task: str, seed: int,
          split: str = "held_out") -> list[tuple[str, float]]:
    """Surprises of one expert's episode, and of every event at one moment of it.

    A look follows each first imagined time; what the model is to foretell is the expert's motion.

    :returns: (kind, surprise); ``normal`` for every undisturbed look
    """
    rng = np.random.default_rng((seed, 17, *task.encode()))
    env = TaskEnv(task, seed, split, image_size=model.spec.image_size)
    out: list[tuple[str, float]] = []
    at, state = int(rng.integers(2, 8)), None
    new_room(model)
    try:
        every = model.spec.frame_steps[0]
        episode = record(env, every)
        for look, now in enumerate(episode.seen):
            if state is not None:
                out.append(("normal", model.surprise(state, now)))
                env.sim.set_state(episode.states[look])
                # what lies hidden at the moment drawn is tried again at the next look
                if look >= at and (things := seen(env.sim)):
                    thing = things[int(rng.integers(len(things)))]
                    out += [(kind, model.surprise(state, after(env, kind, thing, rng)))
                            for kind in (*VIOLATIONS, *HARMLESS)]
                    at = 10**6
            state = model.observe(now, state)
            model.imagine(state, episode.chunk(look * every, model.spec), env.instruction,
                          render=False)
    finally:
        env.close()
    return out


def seen(sim: Simulator) -> list[str]:
    """Movable things that the scene camera shows."""
    owner = sim.visible_bodies("scene", sim.image_size)
    return [thing.name for thing in sim.scene.objects
            if int((owner == sim.model.body(thing.name).id).sum()) >= LEAST_PIXELS]


def after(env: TaskEnv, kind: str, thing: str, rng: np.random.Generator) -> Any:
    """What is observed right after an event; the simulator is as before when this returns."""
    sim, kept = env.sim, env.sim.state()
    undo = EVENTS[kind](sim, thing, rng)
    try:
        return to_observation(env.observe())
    finally:
        undo()
        sim.set_state(kept)


def teleport(sim: Simulator, thing: str, rng: np.random.Generator) -> Callable[[], None]:
    """It lies somewhere else at once, at least ``FAR`` away."""
    here = sim.object_pose(thing)
    while True:
        there = rng.uniform(*WORKSPACE)
        if np.linalg.norm(there - here.position[:2]) > FAR:
            break
    sim.set_object_pose(thing, Pose(np.array([*there, max(here.position[2], 0.0)]),
                                    here.quaternion))
    return _nothing


def vanish(sim: Simulator, thing: str, rng: np.random.Generator) -> Callable[[], None]:
    """It is gone."""
    sim.set_object_pose(thing, GONE)
    return _nothing


def interpenetrate(sim: Simulator, thing: str, rng: np.random.Generator) -> Callable[[], None]:
    """It is inside something solid: another thing or a piece of furniture within reach, else
    half in the table."""
    solid = [o.name for o in sim.scene.objects if o.name != thing]
    solid += [f.name for f in sim.scene.furnishings if f.active]
    here = sim.object_pose(thing)
    if solid:
        there = sim.object_pose(solid[int(rng.integers(len(solid)))]).position.copy()
    else:
        there = here.position - np.array([0.0, 0.0, 0.5 * sim.scene.object(thing).size[2]])
    sim.set_object_pose(thing, Pose(there, here.quaternion))
    return _nothing


def colour(sim: Simulator, thing: str, rng: np.random.Generator) -> Callable[[], None]:
    """Every material of the thing and of the table or a piece of furniture gets another tint."""
    kept = sim.model.mat_rgba.copy()
    named = [thing, *(f.name for f in sim.scene.furnishings)]
    for name in (named[0], named[int(rng.integers(1, len(named)))]):
        tint = rng.uniform(0.5, 1.4, 3)
        bodies = [sim.model.body(name).id]
        mine = np.isin(sim.model.geom_bodyid, bodies)
        for material in np.unique(sim.model.geom_matid[mine]):
            if material >= 0:
                sim.model.mat_rgba[material, :3] = np.clip(kept[material, :3] * tint, 0, 1)

    def undo() -> None:
        sim.model.mat_rgba[:] = kept
    return undo


def light(sim: Simulator, thing: str, rng: np.random.Generator) -> Callable[[], None]:
    """The lamps are turned up or down and take another tint."""
    m = sim.model
    diffuse, ambient = m.light_diffuse.copy(), m.vis.headlight.ambient.copy()
    strength = rng.choice([rng.uniform(0.6, 0.85), rng.uniform(1.15, 1.4)])
    tint = rng.uniform(0.85, 1.15, 3)
    m.light_diffuse[:] = diffuse * strength * tint
    m.vis.headlight.ambient[:] = ambient * strength * tint

    def undo() -> None:
        m.light_diffuse[:], m.vis.headlight.ambient[:] = diffuse, ambient
    return undo


def _nothing() -> None:
    """set_state undoes what only moved things."""


EVENTS: dict[str, Callable[[Simulator, str, np.random.Generator], Callable[[], None]]] = {
    "teleport": teleport, "vanish": vanish, "interpenetrate": interpenetrate,
    "colour": colour, "light": light}


def summarise(rows: list[tuple[str, float]]) -> dict[str, Any]:
    """AUROC of every kind of event against normal looks, medians, and the share above 1."""
    by_kind = {kind: np.array([v for k, v in rows if k == kind])
               for kind in ("normal", *VIOLATIONS, *HARMLESS)}
    normal = by_kind["normal"]
    out: dict[str, Any] = {}
    for kind, values in by_kind.items():
        if not len(values):
            continue
        out[kind] = {"looks": len(values), "median": round(float(np.median(values)), 3),
                     "above_limit": round(float((values > 1).mean()), 3)}
        if kind != "normal":
            out[kind]["auroc"] = auroc(np.concatenate([values, normal]),
                                       np.repeat([1, 0], [len(values), len(normal)]))
    groups = {"violations": VIOLATIONS, "harmless": HARMLESS}
    for name, kinds in groups.items():
        values = np.concatenate([by_kind[k] for k in kinds])
        out[name] = {"auroc": auroc(np.concatenate([values, normal]),
                                    np.repeat([1, 0], [len(values), len(normal)]))}
    return out
