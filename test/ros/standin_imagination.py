# SPDX-License-Identifier: Apache-2.0
"""An imagination node with a scripted model in place of a trained one. For tests only."""
from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wm_ros.errors import UserError
from wm_ros.nodes.forked import run_forked
from wm_ros.world_model import loading
from wm_ros.world_model.geometry import point_map
from wm_ros.world_model.interface import (
    ActionChunks,
    Imagination,
    ModelSpec,
    Observation,
    State,
)

DOWN = np.array([1.0, 0.0, 0.0, 0.0])
GOALS = {"left": (0.45, 0.25, 0.30), "right": (0.45, -0.25, 0.30), "middle": (0.42, 0.0, 0.30),
         "far": (2.0, 0.0, 0.3), "under": (0.45, 0.0, -0.3)}
STEP = 0.02  # m in 0.1 s
LOW = 0.15  # m, higher than the things on the table and lower than the hand
CHANGED = 12.0  # pixels that are one unit of surprise


class StandIn:
    """Moves the tool to the place that the instruction names, 0.2 m/s, then rests."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        if not (folder / "good").exists():
            raise UserError(f"The checkpoint {folder} is broken; train or fetch it again.")
        self.spec = ModelSpec(family="standin")

    def observe(self, observation: Observation, state: State | None = None) -> State:
        return State(observation)

    def act(self, state: State, instruction: str, n: int = 1) -> ActionChunks:
        words = [w for w in instruction.split()
                 if w in (*GOALS, "nan", "late", "jump", "wander")]
        if not words:
            raise UserError(f"No task is known for the words {instruction!r}; say where to go.")
        obs = state.observation
        if words[0] == "wander":  # from side to side, for ever
            words[0] = ("left", "right")[int(time.time() / 3.0) % 2]
        goal = np.array(GOALS.get(words[0], (0.45, 0.25, 0.30)))
        way = goal - obs.tcp_position
        distance = float(np.linalg.norm(way))
        travelled = np.minimum(STEP * np.arange(1, 17), distance)
        position = obs.tcp_position + way * (travelled / max(distance, 1e-9))[:, None]
        if words[0] in ("far", "under"):  # nothing else than what cannot be reached
            position = np.repeat(goal[None], 16, axis=0)
        if words[0] == "late":
            time.sleep(2.0)  # longer than a chunk is valid
        if words[0] == "nan":
            position[3] = np.nan
        if words[0] == "jump":
            position[:] = goal
        width = 0.0 if "close" in instruction and distance < 0.03 else 0.08
        done = distance < 0.02 and (width > 0.01 or obs.gripper < 0.02)
        done = done and "wander" not in instruction
        return ActionChunks(
            position=np.repeat(position[None], n, axis=0),
            quaternion=np.tile(DOWN, (n, 16, 1)), gripper=np.full((n, 16), width), dt=0.1,
            success=np.full(n, 0.95 if done else 0.5), progress=np.full(n, float(done)),
            uncertainty=np.full(n, 0.01))

    def imagine(self, state: State, chunks: ActionChunks, instruction: str,
                render: bool = True) -> Imagination:
        n = len(chunks)
        frames = np.repeat(state.observation.scene_rgb[None, None], n, axis=0)
        return Imagination(np.repeat(frames, 2, axis=1) if render else None, np.array([0.8, 1.6]),
                           np.zeros((n, 2, 4, 8), np.float32), chunks.success, chunks.progress,
                           chunks.uncertainty)

    def surprise(self, state: State, observation: Observation) -> float:
        """Pixels low over the table whose colour is another one; the arm is above them."""
        before, now = state.observation, observation
        low = (_heights(before) < LOW) & (_heights(now) < LOW)
        other = np.abs(before.scene_rgb.astype(int) - now.scene_rgb).max(axis=-1) > 40
        return float((low & other).sum() / CHANGED)


def _heights(seen: Observation) -> np.ndarray:
    """(H, W) m over the table of what each pixel shows."""
    fields = (seen.scene_depth, seen.scene_K, seen.scene_position, seen.scene_quaternion,
              np.zeros(3))
    points = point_map(*(torch.as_tensor(np.asarray(f, dtype=np.float32))[None] for f in fields))
    return np.asarray(points[0, ..., 2])


def load(folder: Any, device: str = "cpu", **_: Any) -> StandIn:
    return StandIn(Path(folder), device)


def serve() -> int:
    import wm_ros.world_model

    loading.load_model = wm_ros.world_model.load_model = load  # type: ignore[assignment]
    loading.takes = lambda *_: False  # type: ignore[assignment]  # its folder has no config.yaml
    from wm_ros.nodes.imagination import main
    return main()


if __name__ == "__main__":
    sys.exit(run_forked(serve))
