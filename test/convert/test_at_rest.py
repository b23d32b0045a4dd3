# SPDX-License-Identifier: Apache-2.0
"""What being done looks like in recordings that tell no progress: the rest at their end."""
from __future__ import annotations

import numpy as np
import pytest

from wm_ros.convert.episodes import at_rest
from wm_ros.data.episode import STATE_NAMES


@pytest.mark.parametrize(("column", "far"), [("tcp_z", 0.01), ("gripper", 0.02)])
@pytest.mark.parametrize(("still", "rows"), [(1, 1), (6, 6), (40, 10)])
def test_a_second_of_rest_at_most_counts(column: str, far: float, still: int, rows: int) -> None:
    state = np.zeros((60, len(STATE_NAMES)))
    state[:60 - still, STATE_NAMES.index(column)] = far
    state[-still:, STATE_NAMES.index("tcp_x")] = 0.001 * np.random.default_rng(0).random(still)
    assert at_rest(state) == rows


def test_an_arm_that_never_moves_rests_all_the_time() -> None:
    assert at_rest(np.ones((4, len(STATE_NAMES)))) == 4
