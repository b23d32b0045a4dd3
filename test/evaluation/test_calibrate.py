# SPDX-License-Identifier: Apache-2.0
"""A fitted prediction says what happens; where nothing can be learned, it says so."""
from __future__ import annotations

import numpy as np
import pytest

from wm_ros.errors import UserError
from wm_ros.evaluation.calibrate import Look, fit, predicted
from wm_ros.evaluation.calibration import calibration


def looks(n: int, seed: int) -> list[Look]:
    """A model that is far too sure: what it says with log-odds z happens with 0.7 z - 2."""
    rng = np.random.default_rng(seed)
    z = rng.normal(2.0, 1.5, n)
    true = 1 / (1 + np.exp(-(0.7 * z - 2.0)))
    return [Look(*row) for row in zip(1 / (1 + np.exp(-z)), rng.random(n) < true, strict=True)]


def test_a_model_that_was_too_sure_means_what_it_says_after_fitting() -> None:
    numbers = fit(looks(3000, 0))
    fresh = looks(3000, 1)
    happened = np.array([look.happened for look in fresh])
    before = calibration(predicted(fresh, None), happened)
    after = calibration(predicted(fresh, numbers), happened)
    assert before["ece"] > 0.1 and after["ece"] < 0.04
    assert after["brier"] < before["brier"]
    assert np.allclose(numbers, [0.7, -2.0], atol=0.3)


def test_which_chunk_is_better_stays_as_it_is_whatever_is_fitted() -> None:
    contrary = [look._replace(happened=not look.happened) for look in looks(500, 2)]
    after = predicted(contrary, fit(contrary))
    assert (np.argsort(after) == np.argsort(predicted(contrary, None))).all()


def test_looks_of_one_outcome_alone_are_refused() -> None:
    with pytest.raises(UserError, match="in all the looks the same happened"):
        fit([Look(0.5, False)] * 10)
