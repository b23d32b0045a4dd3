# SPDX-License-Identifier: Apache-2.0
"""Words and chunks that cannot be executed: the user reads one sentence, the arm does not move."""
from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]


@pytest.mark.parametrize(("words", "sentence"), [
    ("frobnicate the waltz", "No task is known"),
    ("   ", "empty"),
    ("go far", "work space"),
    ("go under", "work space"),
    ("go nan", "finite"),
    ("go jump", "starts"),
    ("go late", "too late"),
])
def test_instruction_that_cannot_be_done_is_explained_and_moves_nothing(
        system: Any, words: str, sentence: str) -> None:
    system.ready()
    before = system.history()[-1][1]
    result = system.do(words, 20.0)
    assert not result.success
    assert sentence in result.message
    assert "Traceback" not in result.message
    assert result.message.count("\n") == 0
    time.sleep(0.2)
    assert np.abs(system.history()[-1][1] - before).max() < 2e-3
