# SPDX-License-Identifier: Apache-2.0
"""A run that was saved and loaded goes on as if it had not been."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from wm_ros.training import parallel, state
from wm_ros.training.config import TrainingConfig
from wm_ros.training.loop import make_optimizer
from wm_ros.training.state import Ema, Pace, load_state, save_state


class Run:
    """A small network in training: of those whose weights are averaged, or one whose BatchNorm
    has numbers that no gradient moves."""

    def __init__(self, seed: int, averaged: bool):
        torch.manual_seed(seed)
        normal = nn.LayerNorm(4) if averaged else nn.BatchNorm1d(4)
        self.module = nn.Sequential(nn.Linear(3, 4), normal, nn.Linear(4, 2))
        self.optimizer = make_optimizer(self.module, TrainingConfig(learning_rate=0.01))
        self.ema = Ema(self.module, 0.9) if averaged else None

    def step(self, number: int) -> None:
        random = torch.Generator().manual_seed(number)
        self.module(torch.randn(8, 3, generator=random)).square().mean().backward()
        parallel.descend(self.module, self.optimizer)
        if self.ema is not None:
            self.ema.update(self.module, number)

    def weights(self) -> dict[str, torch.Tensor]:
        return {k: v.clone() for k, v in self.module.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("averaged", [True, False])
def test_a_loaded_run_has_the_weights_their_average_and_the_optimizers_moments(
        tmp_path: Path, averaged: bool):
    first, other = Run(0, averaged), Run(1, averaged)
    for number in range(5):
        first.step(number)
    path = tmp_path / "state.safetensors"
    save_state(path, 5, first.module, first.ema, first.optimizer)
    other.step(7)  # what it holds must go
    assert not equal(first.weights(), other.weights())
    assert load_state(path, other.module, other.ema, other.optimizer) == 5
    assert equal(first.weights(), other.weights())
    if averaged:
        assert equal(first.ema.weights, other.ema.weights)
        assert not equal(first.ema.weights, first.weights())
    before = first.weights()
    for run in (first, other):  # equal only where the moments are
        run.step(6)
    assert equal(first.weights(), other.weights()) and not equal(before, first.weights())
    if averaged:
        assert equal(first.ema.weights, other.ema.weights)


def test_a_run_is_saved_now_and_then_at_its_last_step_and_when_its_time_is_over(monkeypatch):
    clock, saved = [0.0], []
    monkeypatch.setattr(state.time, "monotonic", lambda: clock[0])
    pace = Pace(steps=30, until=1000.0, every=120.0)

    def stops(step: int, now: float) -> bool:
        clock[0] = now
        return pace.stops(step, saved.append)

    assert not stops(1, 60) and not stops(2, 119) and not saved
    assert not stops(3, 121) and saved == [3]
    assert not stops(4, 240) and saved == [3], "the time runs from the last save on"
    assert not stops(5, 242) and saved == [3, 5]
    assert not stops(30, 243) and saved == [3, 5, 30]
    assert not stops(19, 1001) and saved == [3, 5, 30, 19]
    assert stops(20, 1002) and saved[-1] == 20


def test_a_run_that_goes_on_draws_what_no_other_does(monkeypatch):
    def drawn(seed: int, rank: int, stage: str, step: int) -> set[float]:
        monkeypatch.setattr(parallel, "rank", lambda: rank)
        made = SimpleNamespace(random=None, torch_random=torch.Generator())
        state.draw_anew(made, seed, stage, step)
        return {float(made.random.random()), float(torch.rand((), generator=made.torch_random)),
                float(torch.rand(()))}

    runs = [drawn(*about) for about in ((0, 0, "train", 0), (0, 0, "train", 8), (0, 1, "train", 0),
                                        (1, 0, "train", 0), (0, 0, "locator", 0))]
    assert drawn(0, 0, "train", 0) == runs[0]
    assert len(set.union(*runs)) == sum(map(len, runs))
