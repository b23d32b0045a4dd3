# SPDX-License-Identifier: Apache-2.0
"""What a world model returns (ActionChunks, Imagination), one chunk and one future at a time."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from wm_ros.bridge.chunks import Chunk, from_arrays
from wm_ros.bridge.rollouts import Rollout

NO_FRAMES = np.zeros((0, 1, 1, 3), np.uint8)


def chunk(proposed: Any, i: int, name: str, stamp: float, validity: float) -> Chunk:
    """The i-th of several proposed chunks.

    :param stamp: of the observation that it answers (s); its first pose is due one step later
    :param validity: s after its start until which it may be begun
    :raises UserError: when a number is not finite
    """
    dt = float(proposed.dt)
    return Chunk(name, stamp + dt, stamp, dt,
                 from_arrays(proposed.position[i], proposed.quaternion[i]),
                 np.asarray(proposed.gripper[i], dtype=float), validity,
                 float(proposed.success[i]), float(proposed.uncertainty[i]),
                 float(proposed.progress[i]))


def rollout(futures: Any, i: int, of: Chunk, stamp: float) -> Rollout:
    """The i-th of several imagined futures; only the chunk's own path where none was imagined."""
    if futures is None:
        return Rollout(of.id, stamp, NO_FRAMES, np.zeros(0), of.poses, of.success, of.uncertainty)
    frames = NO_FRAMES if futures.frames is None else futures.frames[i]
    return Rollout(of.id, stamp, frames, np.asarray(futures.times, dtype=float)[:len(frames)],
                   of.poses, float(futures.success[i]), float(futures.uncertainty[i]),
                   futures.latents[i])


def only(proposed: Any, i: int) -> Any:
    """The i-th of several chunks, in the same type."""
    pick = {name: getattr(proposed, name)[i:i + 1] for name in
            ("position", "quaternion", "gripper", "success", "progress", "uncertainty")}
    return replace(proposed, **pick)


def from_given(given: list[Chunk], like: Any) -> Any:
    """Chunks of a caller in the type of the model's own and brought to the horizon of these."""
    return replace(like, **given_fields(given, like.position.shape[1], float(like.gripper[0, 0])))


def given_fields(given: list[Chunk], horizon: int, width: float) -> dict[str, np.ndarray]:
    """Chunks of a caller as fields of the model's own type, brought to its horizon.

    :param width: present opening (m), which chunks that leave the gripper alone keep
    """
    count = len(given)

    def rows(values: Any) -> np.ndarray:
        rows = [np.asarray(v, dtype=float) for v in values]
        return np.stack([np.concatenate([r, np.repeat(r[-1:], max(0, horizon - len(r)), axis=0)])
                         [:horizon] for r in rows])
    unknown = np.full(count, np.nan)
    return {
        "position": rows([[p.position for p in c.poses] for c in given]),
        "quaternion": rows([[p.quaternion for p in c.poses] for c in given]),
        "gripper": rows([c.gripper if len(c.gripper) else np.full(len(c.poses), width)
                         for c in given]),
        "success": unknown, "progress": unknown.copy(), "uncertainty": unknown.copy()}
