# SPDX-License-Identifier: Apache-2.0
"""Work in other processes ends when its command ends."""
from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from wm_ros.errors import UserError
from wm_ros.evaluation.jobs import Workers


def test_answers_come_as_they_are_ready_or_in_order() -> None:
    calls = [(round, 1.26, 1), (abs, -3), (max, 4, 5)]
    with Workers(2) as workers:
        assert list(workers.answers(calls, in_order=True)) == [1.3, 3, 5]
        assert sorted(workers.answers(calls)) == [1.3, 3, 5]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_exception_ends_what_runs_and_drops_what_waits(error: type[BaseException]) -> None:
    with pytest.raises(error), Workers(1) as workers:
        answers = workers.answers([(os.getpid,), *[(time.sleep, 300)] * 5])
        process, began = next(answers), time.monotonic()
        raise error
    assert time.monotonic() - began < 20
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_dropped_ctrl_c_counts_at_the_next_answer() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Workers(1) as workers:
        answers = workers.answers([(abs, -1), (abs, -2)])
        next(answers)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        next(answers)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_process_that_was_ended_from_outside_is_told_in_one_sentence() -> None:
    with pytest.raises(UserError, match="fewer --workers"), Workers(1) as workers:
        answers = workers.answers([(os.getpid,), (time.sleep, 300)])
        os.kill(next(answers), signal.SIGKILL)
        next(answers)
