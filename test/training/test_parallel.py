# SPDX-License-Identifier: Apache-2.0
"""Processes that train together."""
from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from wm_ros.training import parallel  # noqa: E402


def begin(out: Path) -> None:
    """What one process begins with, before and after it agreed with the others."""
    torch.manual_seed(parallel.rank())
    part = torch.nn.Linear(3, 2)
    own = part.weight.detach().clone()
    parallel.alike(part)
    torch.save({"own": own, "agreed": part.weight.detach()}, out / f"{parallel.rank()}.pt")


def test_processes_begin_with_the_same_numbers(tmp_path):
    parallel.launch(begin, 2, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert not torch.equal(first["own"], second["own"])
    assert torch.equal(first["agreed"], first["own"])
    assert torch.equal(second["agreed"], first["own"])


def test_a_step_that_is_not_finite_is_left_out():
    part = torch.nn.Linear(2, 1)
    optimizer, before = torch.optim.SGD(part.parameters(), 0.1), part.weight.detach().clone()
    (part(torch.ones(1, 2)) * torch.nan).sum().backward()
    parallel.descend(part, optimizer)
    assert torch.equal(part.weight, before) and part.weight.grad is None
