# SPDX-License-Identifier: Apache-2.0
"""Linear probes: what can be read off a latent with one matrix, in rooms never seen.

The probes are ridge regressions, fitted on latents of expert episodes of training layouts and
scored on held-out ones.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from wm_ros.evaluation.recorded import record
from wm_ros.sim.env import TaskEnv
from wm_ros.world_model.jepa.model import JepaWorldModel

STRIDE = 3  # control steps between two samples
RIDGE = 1e-2  # of the latents' variance
OPENINGS = {"drawer": "drawer", "door": "cabinet"}  # joint -> the furniture that it belongs to


def sample(model: JepaWorldModel, task: str, seed: int, split: str) -> dict[str, np.ndarray]:
    """Latents (T, D) of one expert's episode under ``latent``, and what was true (T, k):
    ``tcp`` m, ``gripper`` m, ``object`` m (the first thing that the task needs), ``drawer`` m,
    ``door`` rad; those that the task does not have are left out."""
    env = TaskEnv(task, seed, split, image_size=model.spec.image_size)
    needs = env.task.requirements()
    joints = [j for j, furniture in OPENINGS.items() if furniture in str(needs.furniture)]
    thing = next((o.name for o in env.scene.objects if o.required), None)
    rows: dict[str, list[Any]] = {}
    try:
        episode = record(env, STRIDE)
        for seen, state in zip(episode.seen, episode.states, strict=True):
            env.sim.set_state(state)
            truth: dict[str, Any] = {"tcp": seen.tcp_position, "gripper": [seen.gripper]}
            if thing is not None:
                truth["object"] = env.sim.object_pose(thing).position
            truth |= {j: [env.sim.joint_value(j)] for j in joints}
            for name, value in truth.items():
                rows.setdefault(name, []).append(value)
    finally:
        env.close()
    z = model.encode(np.stack([seen.scene_rgb for seen in episode.seen]),
                     np.stack([seen.wrist_rgb for seen in episode.seen]))
    return {"latent": z.cpu().numpy(), **{k: np.array(v) for k, v in rows.items()}}


def probe(training: list[dict[str, np.ndarray]],
          held: list[dict[str, np.ndarray]]) -> dict[str, dict[str, float]]:
    """R2 and error of a linear probe for everything that the samples hold.

    ``rmse`` is in m or rad, of vectors the root of the summed squares; ``r2`` the mean over the
    components.
    """
    names = sorted({name for s in training for name in s} - {"latent"})
    out = {}
    for name in names:
        sets = [([s for s in samples if name in s]) for samples in (training, held)]
        if not all(sets):
            continue
        (x, y), (u, v) = ((np.concatenate([s["latent"] for s in some]),
                           np.concatenate([s[name] for s in some])) for some in sets)
        guess = ridge(x, y, u)
        variance = np.square(v - v.mean(0)).mean(0)
        error = np.square(guess - v).mean(0)
        out[name] = {"r2": round(float(np.mean(1 - error / np.maximum(variance, 1e-12))), 4),
                     "rmse": round(float(np.sqrt(error.sum())), 5), "samples": len(v)}
    return out


def ridge(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Linear regression of ``y`` (N, k) on ``x`` (N, D), read off at ``at`` (M, D) -> (M, k)."""
    mean, target = x.mean(0), y.mean(0)
    a = (x - mean).astype(np.float64)
    gram = a.T @ a
    gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram, a.T @ (y - target))
    return np.asarray((at - mean) @ weights + target)
