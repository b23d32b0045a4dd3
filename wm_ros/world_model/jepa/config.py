# SPDX-License-Identifier: Apache-2.0
"""Sizes of the jepa family, by name, from ``config/models/*.yaml``."""
from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from wm_ros.errors import UserError


@dataclass(frozen=True)
class JepaConfig:
    """Shape of encoder and predictor; frozen into every checkpoint.

    :param image_size: side of both cameras' images, px; the wrist's is halved before encoding
    :param latent: numbers of one latent
    :param conv: channels of the encoder at 1/4 of the image; doubled at 1/8, again at 1/16
    :param points: places that are found in either image
    :param encoder_blocks: transformer blocks over the patches of both cameras
    :param cell: numbers kept of each patch before all are joined to one latent
    :param projector: hidden width of the projector (the layer with BatchNorm)
    :param width: channels of the predictor;  ``depth`` its blocks;  ``heads`` of attention
    :param expansion: hidden factor of the feed-forward parts
    :param context: latents that a prediction sees, the present one included
    :param block: control steps of one prediction
    :param blocks: predictions of one plan
    """

    image_size: int = 96
    latent: int = 128
    conv: int = 16
    points: int = 32
    encoder_blocks: int = 1
    cell: int = 16
    projector: int = 256
    width: int = 128
    depth: int = 2
    heads: int = 4
    expansion: int = 3
    context: int = 3
    block: int = 5
    blocks: int = 5

    def __post_init__(self) -> None:
        if wrong := [f.name for f in fields(self) if getattr(self, f.name) < 1]:
            raise UserError(f"{wrong[0]} must be at least 1.")
        if self.width % self.heads or 4 * self.conv % self.heads:
            raise UserError(f"width {self.width} and 4 conv {4 * self.conv} must be multiples of "
                            f"heads {self.heads}.")
        if self.image_size % 32:
            raise UserError("image_size must be a multiple of 32.")

    @property
    def horizon(self) -> int:
        """Control steps of one plan."""
        return self.block * self.blocks

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> JepaConfig:
        """Read what :meth:`to_dict` wrote, refusing names that do not exist."""
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise UserError(f"Unknown model setting {sorted(unknown)[0]!r}; "
                            f"known are {', '.join(sorted(known))}.")
        return cls(**values)
