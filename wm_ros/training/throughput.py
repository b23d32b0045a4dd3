# SPDX-License-Identifier: Apache-2.0
"""How much of what the machine can multiply a training run uses."""
from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

SECONDS = 0.5  # spent on measuring the machine, once


def matmul_rate(dtype: torch.dtype, device: str | torch.device = "cpu", size: int = 1024,
                seconds: float = SECONDS) -> float:
    """GFLOP/s of a square matrix product: the practical limit of this machine."""
    a = torch.randn(size, size, dtype=dtype, device=device)
    durations: list[float] = []
    _product(a)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(durations) < 3:
        begin = time.perf_counter()
        _product(a)
        durations.append(time.perf_counter() - begin)
    return 2 * size**3 / float(np.median(durations)) / 1e9


def _product(a: torch.Tensor) -> None:
    a @ a
    if a.is_cuda:
        torch.cuda.synchronize(a.device)


class MachineShare:
    """Share of the measured matmul rate: FLOPs of one step, counted once, over its duration.

    ::

        share = MachineShare(torch.bfloat16, device)
        with share.counted():          # round the first step, forward and backward
            ...
        share.stepped()                # after every step
        bar.update(step, note=f"{losses} {share}")

    Of several processes each tells of its own threads or its own GPU.

    :param dtype: that the products are computed in
    """

    def __init__(self, dtype: torch.dtype, device: str | torch.device = "cpu"):
        self.peak = matmul_rate(dtype, device)
        self.flops = 0
        self._steps, self._begin = 0, time.perf_counter()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts the first time only; counting slows a step down."""
        if self.flops:
            yield
            return
        with FlopCounterMode(display=False) as counter:
            yield
        self.flops = int(counter.get_total_flops())
        self._begin = time.perf_counter()  # that step's time says nothing

    def stepped(self, steps: int = 1) -> None:
        """So many more steps are done."""
        self._steps += steps

    @property
    def share(self) -> float:
        """0..1 over all steps since the first; NaN before."""
        seconds = time.perf_counter() - self._begin
        if not self.flops or self._steps < 2:
            return float("nan")
        return (self._steps - 1) * self.flops / seconds / 1e9 / self.peak

    def __str__(self) -> str:
        return "" if np.isnan(self.share) else f"{100 * self.share:.0f} % of peak"
