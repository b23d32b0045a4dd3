# SPDX-License-Identifier: Apache-2.0
"""What any family foresees of an expert's episode, asked by the common interface alone.

Frames are scored against *copying the present one*. Surprise is scored at the first imagined
time, by telling what then happened from the same moment with one thing moved aside by an unseen
hand.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wm_ros.errors import UserError
from wm_ros.evaluation.calibration import auroc
from wm_ros.evaluation.closed_loop import to_observation
from wm_ros.evaluation.psnr import psnr
from wm_ros.evaluation.recorded import record
from wm_ros.motion.pose import Pose
from wm_ros.sim.env import TaskEnv
from wm_ros.world_model.interface import (
    ActionChunks,
    ModelSpec,
    Observation,
    WorldModel,
    new_room,
)

LOOKS = 4  # moments of an episode that are scored
AHEAD = 16  # control steps that an episode goes on after the last of them, whatever the family
ASIDE = 0.15  # m that the unseen hand moves a thing, towards the middle of the table
MIDDLE = np.array([0.5, 0.0])


class Moment(NamedTuple):
    """A look, what was done then, and what was seen at the imagined times of the episode.

    :param chunk: as long as the model's own; where the episode ends, the last command holds on
    :param moved: the first of ``later`` with a thing moved; None where the room has none
    """

    words: str
    now: Observation
    chunk: ActionChunks
    later: list[Observation]
    moved: Observation | None


def moments(spec: ModelSpec, task: str, seed: int, split: str) -> list[Moment]:
    """``LOOKS`` moments of an expert's episode, evenly spread; the same for every family."""
    env = TaskEnv(task, seed, split, image_size=spec.image_size)
    try:
        episode = record(env)
        seen, first, end = episode.seen, spec.frame_steps[0], len(episode.seen)
        last = end - 1 - max(AHEAD, first)
        found = []
        for t in np.unique(np.linspace(0, last, LOOKS).round().astype(int)) if last >= 0 else ():
            # the hand comes when the expert is through
            env.sim.set_state(episode.states[t + first])
            found.append(Moment(env.instruction, seen[t], episode.chunk(t, spec),
                                [seen[t + k] for k in spec.frame_steps if t + k < end],
                                _tampered(env)))
        return found
    finally:
        env.close()


def score(model: WorldModel, task: str, seed: int, split: str) -> dict[str, Any]:
    """Scores of one episode's moments; ``frames`` and ``surprise`` are empty where the family
    gives none, and ``refused`` says why."""
    spec = model.spec
    out: dict[str, Any] = {"frames": [], "surprise": [], "refused": "",
                           "ahead": round(spec.frame_steps[0] * spec.dt, 2)}
    new_room(model)
    for moment in moments(model.spec, task, seed, split):
        try:
            state = model.observe(moment.now)
            imagined = model.imagine(state, moment.chunk, moment.words)
        except UserError as error:
            out["refused"] = str(error)
            break
        if imagined.frames is not None:
            out["frames"].append([
                [round(float(time), 2), psnr(image, later.scene_rgb),
                 psnr(moment.now.scene_rgb, later.scene_rgb)]
                for time, image, later in zip(imagined.times, imagined.frames[0], moment.later,
                                              strict=False)])
        if moment.moved is not None:
            out["surprise"].append([float(model.surprise(state, moment.later[0])),
                                    float(model.surprise(state, moment.moved))])
    return out


def summarise(scores: list[dict[str, Any]]) -> dict[str, Any]:
    """Gain over copying (dB) by time ahead, and how well surprise tells a moved thing, which is
    looked at ``surprise_ahead`` s after it was foretold."""
    frames = [row for s in scores for moment in s["frames"] for row in moment]
    gains: dict[str, list[float]] = {}
    for time, imagined, copied in frames:
        gains.setdefault(f"{time:.1f}", []).append(imagined - copied)
    pairs = np.array([pair for s in scores for pair in s["surprise"]]).reshape(-1, 2)
    told = bool(len(pairs)) and bool(pairs.any())
    return {
        "moments": len(pairs) or sum(len(s["frames"]) for s in scores),
        "gain_db": {time: [round(float(np.mean(g)), 2), round(float(np.std(g)), 2)]
                    for time, g in gains.items()},
        "surprise_auroc": auroc(np.concatenate([pairs[:, 0], pairs[:, 1]]),
                                np.repeat([0, 1], len(pairs))) if told else None,
        "surprise_ahead": next((s["ahead"] for s in scores if "ahead" in s), None),
        "refused": next((s["refused"] for s in scores if s["refused"]), "")}


def _tampered(env: TaskEnv) -> Observation | None:
    """The present look with the thing furthest from the hand moved aside."""
    sim = env.sim
    poses = {name: sim.object_pose(name) for name in env.scene.object_names()}
    if not poses:
        return None
    hand = sim.tcp_pose().position
    name = max(poses, key=lambda n: float(np.linalg.norm(poses[n].position - hand)))
    way = MIDDLE - poses[name].position[:2]
    way = way / max(float(np.linalg.norm(way)), 1e-6)
    sim.set_object_pose(name, Pose(poses[name].position + ASIDE * np.array([*way, 0.0]),
                                   poses[name].quaternion))
    return to_observation(env.observe())
