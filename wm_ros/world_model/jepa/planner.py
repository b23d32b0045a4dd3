# SPDX-License-Identifier: Apache-2.0
"""Search for action sequences of low cost: CEM and MPPI, batched, warm-started.

Both draw sequences from a normal distribution and move it to where costs are low: CEM (Rubinstein
1999) to mean and spread of the best few, MPPI (Williams et al. 2017) to the mean of all, weighed
by exp(-cost). They know nothing of latents or robots.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from wm_ros.errors import UserError

#: (N, K, A) sequences -> (N,) costs
Cost = Callable[[Tensor], Tensor]
#: (N, K, A) drawn numbers -> the sequences that they stand for, inside the limits
Limit = Callable[[Tensor], Tensor]
METHODS = ("cem", "mppi")


@dataclass(frozen=True)
class Search:
    """Settings of a search.

    :param method: ``cem`` or ``mppi``
    :param candidates: sequences drawn an iteration
    :param elites: how many of them CEM keeps
    :param temperature: of MPPI, as a share of the costs' standard deviation
    :param narrowest: spread that never shrinks further, as a share of the first one
    """

    method: str = "cem"
    candidates: int = 300
    iterations: int = 10
    elites: int = 30
    temperature: float = 0.3
    narrowest: float = 0.05

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f"There is no planner {self.method!r}; known are cem and mppi.")
        if not 1 < self.elites <= self.candidates or self.iterations < 1:
            raise UserError("A search needs 2 elites or more, at least as many candidates, and "
                            "1 iteration.")
        if self.temperature <= 0:
            raise UserError("The planner's temperature must be above 0.")


@dataclass
class Plan:
    """What a search found, best first.

    :param mean: (K, A) centre of the last distribution, to start the next search from
    :param sequences: (M, K, A) the best ones met;  ``costs`` (M,)
    """

    mean: Tensor
    sequences: Tensor
    costs: Tensor


def search(cost: Cost, limit: Limit, starts: Tensor, spread: Tensor, settings: Search,
           generator: torch.Generator, least: int = 0) -> Plan:
    """Minimise ``cost`` over sequences drawn with ``spread`` (K, A) around the best of ``starts``
    (S, K, A).

    The centre itself is always among the candidates, and the best sequence so far is drawn
    again: a search never ends worse than it began. A cost that is NaN counts as infinite.

    :param least: sequences to return at least
    :raises UserError: if no sequence has a finite cost
    """
    first, starts = spread, limit(starts)
    best = starts[_finite(cost(starts)).argmin()][None]
    mean = best[0]
    for _ in range(settings.iterations):
        noise = torch.randn(max(settings.candidates, least) - 1 - len(best), *mean.shape,
                            generator=generator, device=mean.device)
        sequences = torch.cat([best, limit(torch.cat([mean[None], mean + spread * noise]))])
        costs = _finite(cost(sequences))
        order = costs.argsort()[:max(settings.elites, least)]
        elites = sequences[order[:settings.elites]]
        best = elites[:1]
        if settings.method == "cem":
            mean, spread = elites.mean(0), elites.std(0)
        else:
            apart = costs[costs.isfinite()].std().nan_to_num()
            scale = settings.temperature * apart.clamp_min(1e-9)
            weight = torch.softmax(-(costs - costs.min()) / scale, 0)[:, None, None]
            mean = (weight * sequences).sum(0)
            spread = (weight * (sequences - mean).square()).sum(0).sqrt()
        spread = torch.maximum(spread, settings.narrowest * first)
    return Plan(mean, sequences[order], costs[order])


def _finite(costs: Tensor) -> Tensor:
    """Costs with infinity for NaN. :raises UserError: if none is finite"""
    if not costs.isfinite().any():
        raise UserError("No motion has a finite cost: check the goal, and the checkpoint.")
    return costs.nan_to_num(torch.inf, torch.inf, torch.inf)


def shifted(mean: Tensor, blocks: float) -> Tensor:
    """A plan (K, A) when ``blocks`` of its blocks have passed; the last one stays."""
    at = (torch.arange(len(mean), device=mean.device) + blocks).clamp(0, len(mean) - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=len(mean) - 1)
    return torch.lerp(mean[low], mean[high], (at - low)[:, None])
