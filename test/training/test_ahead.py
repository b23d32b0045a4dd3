# SPDX-License-Identifier: Apache-2.0
"""Batches that are made one ahead are the same ones."""
from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import pytest
import torch

from wm_ros.training import ahead


class Two(NamedTuple):
    a: torch.Tensor
    rest: tuple


def test_a_thread_makes_the_same_batches_in_order_and_none_too_many():
    alone, other = np.random.default_rng(3), np.random.default_rng(3)
    straight = list(ahead.batches(lambda: alone.integers(99, size=4).tolist(), 5,
                                  torch.device("cpu")))
    assert straight == list(ahead.in_thread(lambda: other.integers(99, size=4).tolist(), 5))
    assert alone.bit_generator.state == other.bit_generator.state
    assert list(ahead.in_thread(lambda: pytest.fail("made"), 0)) == []


def test_the_thread_is_one_batch_ahead_and_ends_with_who_takes_them():
    made: list[str] = []
    second = threading.Event()

    def make() -> int:
        made.append(threading.current_thread().name)
        if len(made) == 2:
            second.set()
        return len(made)

    batches = ahead.in_thread(make, 9, lambda: made.clear())
    assert next(batches) == 1 and second.wait(10)
    batches.close()
    assert len(made) == 2 and len(set(made)) == 1
    assert made[0] not in [thread.name for thread in threading.enumerate()]


def test_on_a_cpu_nothing_is_made_before_it_is_asked_for():
    made: list[str] = []
    batches = ahead.batches(lambda: made.append(threading.current_thread().name), 3,
                            torch.device("cpu"))
    assert not made
    next(batches)
    assert made == [threading.current_thread().name]


def test_what_goes_wrong_in_the_thread_is_raised_where_batches_are_taken():
    with pytest.raises(ZeroDivisionError):
        next(ahead.in_thread(lambda: 1 // 0, 2))


def test_all_tensors_of_a_batch_are_pinned_and_its_shape_stays(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self + 1)
    zero = torch.zeros(2)
    number, pair = ahead.pinned((7, Two(zero, (zero, "words"))))
    assert number == 7 and isinstance(pair, Two) and pair.rest[1] == "words"
    assert pair.a.tolist() == pair.rest[0].tolist() == [1, 1]


def test_what_is_on_a_device_already_is_not_pinned():
    there = torch.zeros(2, device="meta")
    assert ahead.pinned((there,))[0] is there
