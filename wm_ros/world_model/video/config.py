# SPDX-License-Identifier: Apache-2.0
"""Sizes of the video family, by name, from ``config/models/*.yaml``."""
from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from wm_ros.errors import UserError


@dataclass(frozen=True)
class VideoConfig:
    """Shape of one network; frozen into every checkpoint.

    :param width: channels of the transformer
    :param depth: blocks, each with a context, an action and a video expert
    :param heads: attention heads
    :param expansion: hidden factor of the feed-forward parts
    :param conv: channels of the scene image's encoder at 1/4 of its size; ``wrist_conv`` likewise
    :param locator: channels of the locator's finest map, at 1/2 of the image's size
    :param scene_queries: tokens drawn from the scene camera; ``wrist_queries`` likewise
    :param registers: free context tokens
    :param latent_side: tokeniser cells a side; ``latent_channels`` numbers a cell
    :param tokeniser_conv: channels of the tokeniser's first stage
    :param horizon: poses a chunk; ``frame_steps`` indices of the imagined frames in it
    """

    image_size: int = 96
    horizon: int = 16
    frame_steps: tuple[int, ...] = (8, 16)
    width: int = 256
    depth: int = 4
    heads: int = 4
    expansion: int = 3
    conv: int = 64
    wrist_conv: int = 32
    locator: int = 16
    scene_queries: int = 12
    wrist_queries: int = 6
    registers: int = 4
    latent_side: int = 6
    latent_channels: int = 48
    tokeniser_conv: int = 32

    def __post_init__(self) -> None:
        counts = [f.name for f in fields(self) if f.name != "frame_steps"]
        if wrong := [name for name in counts if getattr(self, name) < 1]:
            raise UserError(f"{wrong[0]} must be at least 1.")
        if self.width % self.heads:
            raise UserError(f"width {self.width} must be a multiple of heads {self.heads}.")
        if self.image_size % 16 or self.image_size // self.latent_side != 16:
            raise UserError("image_size must be 16 times latent_side.")
        rising = (isinstance(self.frame_steps, tuple) and self.frame_steps
                  and all(isinstance(k, int) for k in self.frame_steps)
                  and list(self.frame_steps) == sorted(set(self.frame_steps)))
        if not rising or self.frame_steps[0] < 1 or self.frame_steps[-1] > self.horizon:
            raise UserError(f"frame_steps must be whole numbers that rise within 1 to horizon "
                            f"{self.horizon}, such as [{max(1, self.horizon // 2)}, "
                            f"{self.horizon}].")

    @property
    def latent_tokens(self) -> int:
        """Tokens of one imagined frame."""
        return self.latent_side**2

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VideoConfig:
        """Read what :meth:`to_dict` wrote, refusing names that do not exist."""
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise UserError(f"Unknown model setting {sorted(unknown)[0]!r}; "
                            f"known are {', '.join(sorted(known))}.")
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v
                                 for k, v in values.items()}
        return cls(**plain)
