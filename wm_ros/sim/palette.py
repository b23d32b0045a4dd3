# SPDX-License-Identifier: Apache-2.0
"""Colour words and what they look like."""

from __future__ import annotations

import colorsys

import numpy as np

from wm_ros.sim.schema import Material, Rgba, Texture, Vec3

COLORS: dict[str, Vec3] = {
    "red": (0.80, 0.10, 0.09),
    "green": (0.13, 0.58, 0.20),
    "blue": (0.10, 0.25, 0.75),
    "yellow": (0.93, 0.78, 0.12),
    "orange": (0.95, 0.48, 0.08),
    "purple": (0.47, 0.20, 0.62),
    "pink": (0.92, 0.48, 0.62),
    "teal": (0.05, 0.55, 0.55),
    "brown": (0.42, 0.26, 0.14),
    "white": (0.90, 0.90, 0.88),
    "grey": (0.50, 0.51, 0.53),
    "black": (0.09, 0.09, 0.10),
    "steel": (0.68, 0.70, 0.72),
    "cream": (0.93, 0.88, 0.74),
    "wood": (0.66, 0.47, 0.29),
    "dark_wood": (0.38, 0.25, 0.16),
    "paper": (0.95, 0.95, 0.93),
    "screen": (0.10, 0.16, 0.26),
}


def vary(rgb: Vec3, rng: np.random.Generator, amount: float = 1.0) -> Vec3:
    """The same colour word in another paint: small changes of hue, saturation and value."""
    h, s, v = colorsys.rgb_to_hsv(*rgb)
    h = (h + amount * rng.uniform(-0.015, 0.015)) % 1.0
    s = float(np.clip(s * (1 + amount * rng.uniform(-0.12, 0.12)), 0, 1))
    v = float(np.clip(v * (1 + amount * rng.uniform(-0.12, 0.10)), 0, 1))
    return colorsys.hsv_to_rgb(h, s, v)


def scale(rgb: Vec3, factor: float) -> Vec3:
    return (min(rgb[0] * factor, 1.0), min(rgb[1] * factor, 1.0), min(rgb[2] * factor, 1.0))


def rgba(rgb: Vec3, alpha: float = 1.0) -> Rgba:
    return (round(rgb[0], 4), round(rgb[1], 4), round(rgb[2], 4), alpha)


def paint(color: str | Vec3, specular: float = 0.2, emission: float = 0.0) -> Material:
    """Plain paint of a colour word or an RGB triple."""
    rgb = COLORS[color] if isinstance(color, str) else color
    return Material(rgba(rgb), specular=specular, emission=emission)


def textured(pattern: str, first: Vec3, second: Vec3, repeat: float, seed: int = 0) -> Material:
    """A procedural texture; the material's own colour is the texture's mean, for SDF."""
    mean = (0.5 * (first[0] + second[0]), 0.5 * (first[1] + second[1]),
            0.5 * (first[2] + second[2]))
    return Material(rgba(mean), specular=0.1, texture=Texture(pattern, first, second, seed),
                    repeat=repeat)


FINISHES: dict[str, tuple[str, Vec3, Vec3, float]] = {
    # name: pattern, first colour, second colour, tiles a metre
    "oak": ("wood", (0.76, 0.58, 0.38), (0.58, 0.40, 0.23), 1.6),
    "walnut": ("wood", (0.45, 0.30, 0.19), (0.28, 0.18, 0.11), 1.6),
    "birch": ("wood", (0.86, 0.74, 0.56), (0.74, 0.60, 0.42), 1.6),
    "ash": ("wood", (0.62, 0.56, 0.48), (0.46, 0.41, 0.35), 1.6),
    "marble": ("stone", (0.90, 0.90, 0.89), (0.66, 0.66, 0.68), 1.5),
    "granite": ("stone", (0.34, 0.34, 0.36), (0.60, 0.58, 0.56), 3.0),
    "sandstone": ("stone", (0.80, 0.72, 0.60), (0.62, 0.54, 0.43), 2.0),
    "slate": ("stone", (0.36, 0.40, 0.44), (0.24, 0.27, 0.30), 2.0),
    "white_tiles": ("tiles", (0.93, 0.94, 0.93), (0.62, 0.64, 0.64), 2.5),
    "blue_tiles": ("tiles", (0.45, 0.62, 0.72), (0.84, 0.86, 0.86), 2.5),
    "green_tiles": ("tiles", (0.48, 0.66, 0.56), (0.86, 0.88, 0.84), 2.5),
    "light_planks": ("planks", (0.78, 0.62, 0.44), (0.50, 0.36, 0.24), 0.8),
    "dark_planks": ("planks", (0.46, 0.32, 0.21), (0.24, 0.16, 0.10), 0.8),
    "carpet": ("plaster", (0.36, 0.42, 0.50), (0.28, 0.33, 0.41), 4.0),
    "grey_carpet": ("plaster", (0.50, 0.49, 0.47), (0.41, 0.40, 0.39), 4.0),
    "cream_plaster": ("plaster", (0.93, 0.89, 0.79), (0.88, 0.83, 0.72), 1.0),
    "white_plaster": ("plaster", (0.94, 0.94, 0.92), (0.87, 0.87, 0.86), 1.0),
    "sage_plaster": ("plaster", (0.72, 0.79, 0.68), (0.65, 0.72, 0.61), 1.0),
    "sky_plaster": ("plaster", (0.70, 0.80, 0.87), (0.63, 0.73, 0.81), 1.0),
    "sky": ("sky", (0.55, 0.75, 0.95), (0.86, 0.93, 0.98), 0.0),
    "desktop": ("desktop", (0.10, 0.30, 0.50), (0.92, 0.93, 0.94), 0.0),
    "rose_plaster": ("plaster", (0.88, 0.74, 0.68), (0.82, 0.67, 0.61), 1.0),
}


def finish(name: str, rng: np.random.Generator | None = None) -> Material:
    """A finish or a colour word as a material; with `rng` in a slightly different shade."""
    if name in FINISHES:
        pattern, first, second, repeat = FINISHES[name]
        if rng is not None:
            brightness = rng.uniform(0.88, 1.08)
            first, second = scale(first, brightness), scale(second, brightness)
        # few distinct seeds: the pictures are cached
        seed = 0 if rng is None else int(rng.integers(4))
        return textured(pattern, first, second, repeat, seed)
    rgb = COLORS[name]
    return paint(rgb if rng is None else vary(rgb, rng))
