# SPDX-License-Identifier: Apache-2.0
"""How unusual a prediction error is, in units of what held-out episodes show."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SHRINK = 0.05  # share of the mean variance that every direction gets: few samples, many directions


@dataclass
class Calibration:
    """Errors of normal episodes.

    A latent direction in which nothing ever errs (where a bowl stands) says more than one in
    which much does (the exact turn of the hand): errors are measured by Mahalanobis' distance.

    :param whiten: (D, D); ``|whiten @ error|^2 / D`` is 1 on average over normal errors
    :param limit: root of that quantity which 95 % of normal episodes never exceed
    """

    whiten: Tensor
    limit: float

    @classmethod
    def fit(cls, errors: Tensor) -> Calibration:
        """From errors (N, D) of normal moments; the limit is left at 1."""
        covariance = errors.T @ errors / len(errors)
        d = len(covariance)
        mean = covariance.diagonal().mean().clamp_min(1e-12)
        covariance = (1 - SHRINK) * covariance + SHRINK * mean * torch.eye(d)
        values, vectors = torch.linalg.eigh(covariance)
        return cls((vectors / values.sqrt()).T.contiguous(), 1.0)

    def distance(self, error: Tensor) -> Tensor:
        """(..., D) -> (...), 1 at the limit."""
        return (error @ self.whiten.T).square().mean(-1).sqrt() / self.limit
