# SPDX-License-Identifier: Apache-2.0
"""Procedural textures: small pictures made from a seed, so that no image files are shipped."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wm_ros.sim.schema import Texture

SIZE = 128


def _noise(rng: np.random.Generator, cells: tuple[int, int]) -> NDArray[np.float64]:
    """Smooth periodic noise (SIZE, SIZE) in 0..1 with `cells` bumps down and across."""
    grid = rng.random(cells)
    rows = np.arange(SIZE) * cells[0] / SIZE
    cols = np.arange(SIZE) * cells[1] / SIZE
    r, c = rows.astype(int), cols.astype(int)
    fr, fc = rows - r, cols - c
    fr, fc = (fr * fr * (3 - 2 * fr))[:, None], (fc * fc * (3 - 2 * fc))[None]
    r2, c2 = (r + 1) % cells[0], (c + 1) % cells[1]
    top = grid[np.ix_(r, c)] * (1 - fc) + grid[np.ix_(r, c2)] * fc
    low = grid[np.ix_(r2, c)] * (1 - fc) + grid[np.ix_(r2, c2)] * fc
    return top * (1 - fr) + low * fr


def _blend(pattern: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """How much of the second colour (SIZE, SIZE) in 0..1."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    if pattern == "wood":
        grain = 0.5 * _noise(rng, (48, 2)) + 0.3 * _noise(rng, (24, 4)) + 0.2 * _noise(rng, (6, 2))
        return np.clip(1.6 * (grain - 0.5) + 0.5, 0, 1)
    if pattern == "planks":
        board = np.floor(y * 4)
        grain = 0.6 * _noise(rng, (64, 4)) + 0.4 * rng.random(4)[board.astype(int)]
        seam = ((y * 4) % 1 < 0.05) | (((x + 0.37 * board) % 1) < 0.012)
        return np.where(seam, 1.0, 0.75 * grain)
    if pattern == "tiles":
        grout = ((y * 4) % 1 < 0.06) | (((x * 2 + 0.5 * (np.floor(y * 4) % 2)) % 1) < 0.03)
        return np.where(grout, 1.0, 0.12 * _noise(rng, (8, 8)))
    if pattern == "checker":
        return ((np.floor(x * 2) + np.floor(y * 2)) % 2).astype(float)
    if pattern == "stone":
        speck = rng.random((SIZE, SIZE)) ** 6
        return np.clip(0.5 * _noise(rng, (16, 16)) + 0.3 * _noise(rng, (4, 4)) + speck, 0, 1)
    if pattern == "sky":
        return np.clip(y * 1.1, 0, 1)
    if pattern == "desktop":
        window = (np.abs(x - 0.36) < 0.25) & (np.abs(y - 0.45) < 0.28)
        lines = window & ((y * 16) % 1 < 0.45) & (x < 0.30 + 0.25 * np.sin(40 * np.floor(y * 16)))
        return np.where(lines, 0.35, np.where(window, 1.0, 0.25 * y))
    if pattern == "plaster":
        return 0.5 * _noise(rng, (32, 32)) + 0.5 * _noise(rng, (6, 6))
    raise ValueError(f"unknown texture pattern {pattern!r}")


@lru_cache(maxsize=64)
def pixels(texture: Texture) -> NDArray[np.uint8]:
    """The texture's picture (SIZE, SIZE, 3) uint8."""
    rng = np.random.default_rng(texture.seed)
    weight = _blend(texture.pattern, rng)[..., None]
    mixed = (1 - weight) * np.array(texture.first) + weight * np.array(texture.second)
    out = (255 * np.clip(mixed, 0, 1)).astype(np.uint8)
    out.setflags(write=False)
    return out
