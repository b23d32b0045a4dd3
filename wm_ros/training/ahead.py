# SPDX-License-Identifier: Apache-2.0
"""Batches made one ahead: a GPU need not wait for the next one."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

Made = TypeVar("Made")


def batches(make: Callable[[], Made], count: int, device: torch.device) -> Iterator[Made]:
    """What ``count`` calls of ``make`` return, in order: the same on every device.

    For a GPU a thread makes the next one during the step, there or in memory that copies from
    fast; on a CPU it would take the cores from the step.
    """
    if device.type == "cpu":
        return (make() for _ in range(count))
    gpu = torch.cuda.current_device()  # a new thread would begin with the first one
    return in_thread(lambda: pinned(make()), count, lambda: torch.cuda.set_device(gpu))


def in_thread(make: Callable[[], Made], count: int,
              begin: Callable[[], None] | None = None) -> Iterator[Made]:
    """Likewise, by a thread that is never more than one call ahead.

    :param begin: what the thread calls first
    """
    with ThreadPoolExecutor(1, "batches", begin) as thread:
        waiting = [thread.submit(make)] if count > 0 else []
        for left in range(count, 0, -1):
            now = waiting.pop().result()
            if left > 1:
                waiting.append(thread.submit(make))
            yield now


def pinned(made: Any) -> Any:
    """The tensors of a batch, tuples in tuples, in page-locked memory unless they are on a device
    already; the rest as it is."""
    if isinstance(made, Tensor):
        return made.pin_memory() if made.device.type == "cpu" else made
    if isinstance(made, tuple):
        return getattr(type(made), "_make", tuple)(map(pinned, made))
    return made
