# SPDX-License-Identifier: Apache-2.0
"""Rectified flow (Liu et al. 2022): straight paths from data (level 0) to noise (level 1)."""
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def corrupt(clean: Tensor, noise: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """(B, ...) at ``level`` (B,): the point on the path, and the velocity to predict."""
    t = level.view(-1, *[1] * (clean.dim() - 1)).to(clean.dtype)
    return (1 - t) * clean + t * noise, noise - clean


def euler(velocity: Callable[[Tensor, Tensor], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Integrate from noise to data in ``steps`` Euler steps."""
    x = noise
    levels = torch.linspace(1, 0, steps + 1, device=noise.device)
    for now, then in zip(levels[:-1], levels[1:], strict=True):
        x = x + (then - now) * velocity(x, now.expand(len(x)))
    return x


def action_levels(n: int, device: torch.device) -> Tensor:
    """(n,) levels that lean to the noisy end, where the path is decided: Beta(1.5, 1)."""
    return torch.rand(n, device=device).pow(1 / 1.5)


def mode_levels(labelled: Tensor) -> tuple[Tensor, Tensor]:
    """Noise levels of action and video (n,) for training all five modes of one network
    (Bi et al. 2025, Motus; Zhu et al. 2025, UWM).

    A third of the rows is the world model (clean actions), a sixth inverse dynamics (clean
    video), a sixth the video generator (actions at full noise), the rest joint prediction. Where
    nothing is ``labelled`` (n,), the action's level is at its maximum.
    """
    n, device = len(labelled), labelled.device
    mode = torch.rand(n, device=device)
    action, video = action_levels(n, device), torch.rand(n, device=device)
    action = torch.where(mode < 1 / 3, 0.0, action)
    video = torch.where((mode >= 1 / 3) & (mode < 1 / 2), 0.0, video)
    action = torch.where((mode >= 1 / 2) & (mode < 2 / 3), 1.0, action)
    hidden = labelled < 0.5
    return torch.where(hidden, 1.0, action), torch.where(hidden, torch.rand_like(video), video)
