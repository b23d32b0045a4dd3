# SPDX-License-Identifier: Apache-2.0
"""Small made-up episodes that look a little like a room."""

from __future__ import annotations

import numpy as np

from wm_ros.data.episode import Episode


def synthetic_episode(task: str = "put_mug_on_tray", seed: int = 0, rows: int = 12,
                      size: int = 96, **about) -> Episode:
    """An episode whose every number follows from (task, seed)."""
    rng = np.random.default_rng([seed, len(task)])
    base = np.tile(np.linspace(90, 200, size)[:, None, None], (1, size, 3))
    for _ in range(6):
        y, x = rng.integers(0, size * 3 // 4, 2)
        base[y : y + size // 6, x : x + size // 6] = rng.integers(0, 255, 3)
    images = {}
    for camera in ("scene", "wrist"):
        frames = np.repeat(base[None], rows, 0)
        for t in range(rows):
            frames[t, 10:20, 2 * t : 2 * t + 10] = (230, 40, 30)
        images[camera] = frames.clip(0, 255).astype(np.uint8)
    depth = rng.integers(500, 2000, (rows, 1, 1)) + np.arange(size)[None, :, None] * np.ones(
        (rows, size, size), np.int64
    )
    return Episode(
        task=task,
        instruction=about.pop("instruction", f"do {task.replace('_', ' ')}"),
        seed=seed,
        success=about.pop("success", True),
        room="home",
        images=images,
        depth=depth.astype(np.uint16),
        state=rng.normal(size=(rows, 15)).astype(np.float32),
        wrench=rng.normal(size=(rows, 6)).astype(np.float32),
        camera=_cameras(rng.normal(size=(rows, 16)).astype(np.float32)),
        action=rng.normal(size=(rows, 8)).astype(np.float32),
        executed=rng.normal(size=(rows, 8)).astype(np.float32),
        progress=np.linspace(0, 1, rows, dtype=np.float32),
        **about,
    )


def _cameras(numbers: np.ndarray) -> np.ndarray:
    """Random calibrations and poses (rows, 16) with focal lengths above 0, as cameras have."""
    numbers[:, [0, 4]] = np.abs(numbers[:, [0, 4]]) + 0.1
    return numbers
