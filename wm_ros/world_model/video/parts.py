# SPDX-License-Identifier: Apache-2.0
"""What encoder and locator share: units, places as waves, convolutions told by words."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: metres that map to about one unit of network input
POINT_SCALE = 0.25
PROPRIO_DIM = 3 + 6 + 1 + 6 + 3


class FilmBlock(nn.Module):
    """Residual 3x3 convolutions, scaled and shifted by the words."""

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels, elementwise_affine=False)
        self.film = nn.Linear(condition, 2 * channels)
        self.a = nn.Conv2d(channels, channels, 3, padding=1)
        self.b = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        nn.init.zeros_(self.b.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition)[:, None, None].chunk(2, -1)  # (B, 1, 1, C)
        h = self.norm(x.permute(0, 2, 3, 1)) * (1 + scale) + shift
        return x + self.b(F.silu(self.a(h.permute(0, 3, 1, 2))))


def fourier(points: Tensor, bands: int = 6) -> Tensor:
    """(..., D) -> (..., D * 2 * bands), wavelengths from 4 units down by halves."""
    angles = points[..., None] * (2.0 ** torch.arange(bands, device=points.device) * math.pi / 2)
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)


def clip_points(points: Tensor) -> Tensor:
    """(B, H, W, 3) m -> (B, 3, H, W) in POINT_SCALE; outliers behind the room would drown the
    centimetres that matter."""
    return (points / POINT_SCALE).clamp(-6, 6).permute(0, 3, 1, 2)


def grid(x: Tensor) -> Tensor:
    """(1, H * W, 2) image coordinates in [-1, 1]."""
    v = torch.linspace(-1, 1, x.shape[2], device=x.device)
    u = torch.linspace(-1, 1, x.shape[3], device=x.device)
    return torch.stack(torch.meshgrid(v, u, indexing="ij"), -1).reshape(1, -1, 2)


def proprioception(position: Tensor, rotation: Tensor, gripper: Tensor, wrench: Tensor) -> Tensor:
    """Tool pose (B, 3) m and (B, 3, 3), width (B,) m, wrench (B, 6) -> (B, 19) of unit order."""
    return torch.cat([
        (position - position.new_tensor([0.5, 0.0, 0.2])) / POINT_SCALE,
        rotation[..., :2].flatten(1), gripper[:, None] / 0.04 - 1,
        torch.tanh(wrench / wrench.new_tensor([20.0, 20.0, 20.0, 2.0, 2.0, 2.0])),
        fourier(gripper[:, None] / 0.04, 2)[:, :3],
    ], 1)
