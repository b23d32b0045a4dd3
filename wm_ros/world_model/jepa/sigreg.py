# SPDX-License-Identifier: Apache-2.0
"""SIGReg: latents shall be distributed like a standard normal, so that they cannot collapse.

Balestriero & LeCun 2025 (LeJEPA, arXiv 2511.08544), as LeWorldModel uses it: the Epps-Pulley
statistic of random one-dimensional projections (Cramer-Wold: all of them normal, so is the
whole).
"""
from __future__ import annotations

import torch
from torch import Tensor

KNOTS = 17
FARTHEST = 3.0  # largest frequency at which characteristic functions are compared


def sigreg(z: Tensor, projections: int = 512) -> Tensor:
    """Mean Epps-Pulley statistic over fresh random directions.

    :param z: (N, D) latents
    :returns: scalar; about 1 for N(0, I), growing with N times the distance from it
    """
    directions = torch.randn(z.shape[1], projections, device=z.device)
    return epps_pulley(z @ (directions / directions.norm(dim=0))).mean()


def epps_pulley(x: Tensor) -> Tensor:
    """Statistic of each column (N, M) against N(0, 1) (Epps & Pulley 1983) -> (M,).

    N times the squared distance of the empirical to the normal characteristic function, with
    weight exp(-t^2 / 2), by the trapezoidal rule on 17 knots of [0, 3]; negative frequencies
    mirror positive ones.
    """
    t = torch.linspace(0, FARTHEST, KNOTS, device=x.device)
    normal = torch.exp(-t.square() / 2)
    weight = torch.full_like(t, 2 * FARTHEST / (KNOTS - 1))
    weight[[0, -1]] /= 2
    phase = x.unsqueeze(-1) * t  # (N, M, knots)
    distance = (phase.cos().mean(0) - normal).square() + phase.sin().mean(0).square()
    return (distance * normal) @ weight * len(x)
