# SPDX-License-Identifier: Apache-2.0
"""Predicted probabilities are judged by what happened."""
from __future__ import annotations

import numpy as np
import pytest

from wm_ros.evaluation.calibration import auroc, calibration
from wm_ros.evaluation.closed_loop import Outcome, foretold


def test_honest_probabilities_have_no_calibration_error():
    p = np.repeat([0.05, 0.25, 0.75, 0.95], 1000)
    happened = np.concatenate([np.arange(1000) < 1000 * q for q in (0.05, 0.25, 0.75, 0.95)])
    scores = calibration(p, happened)
    assert scores["ece"] < 1e-6 and scores["auroc"] > 0.85
    assert [row[2] for row in scores["bins"]] == [1000] * 4


def test_a_boaster_is_found_out():
    scores = calibration(np.full(100, 0.95), np.arange(100) < 20)
    assert scores["ece"] == pytest.approx(0.75) and scores["auroc"] == 0.5


def test_unknown_predictions_do_not_count():
    assert calibration(np.full(3, np.nan), np.zeros(3)) == {}
    assert auroc(np.array([0.1, 0.9]), np.array([1, 1])) is None


def test_a_look_foretold_right_only_if_its_own_chunk_ended_in_success():
    looks = [(0, 0.1, 0.0), (10, 0.6, 0.5), (20, 0.9, 0.9)]
    won = Outcome("t", 1, "do", True, 2.4, 1.0, looks=looks)
    assert foretold(won, 16) == ([0.1, 0.6, 0.9], [False, True, True])
    lost = Outcome("t", 1, "do", False, 2.4, 1.0, looks=looks)
    assert foretold(lost, 16)[1] == [False] * 3
