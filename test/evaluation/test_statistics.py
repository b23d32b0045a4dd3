# SPDX-License-Identifier: Apache-2.0
"""Success rates must not promise more than the trials show."""
from __future__ import annotations

import numpy as np
import pytest

from wm_ros.evaluation.closed_loop import GRIPPER_STEPS, actions
from wm_ros.evaluation.statistics import wilson
from wm_ros.motion.chunks import Patience
from wm_ros.world_model import ActionChunks


@pytest.mark.parametrize(("won", "n", "low", "high"), [
    (16, 20, 0.584, 0.919), (20, 20, 0.839, 1.0), (0, 20, 0.0, 0.161), (95, 100, 0.888, 0.978)])
def test_intervals_are_wilsons(won, n, low, high):
    np.testing.assert_allclose(wilson(won, n), (low, high), atol=1e-3)


def test_no_trials_say_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def chunk(gripper: list[float]) -> ActionChunks:
    n = len(gripper)
    position = np.zeros((1, n, 3))
    position[0, :, 2] = 0.3 - 0.02 * np.arange(n)
    quaternion = np.tile([1.0, 0, 0, 0], (1, n, 1))
    zero = np.zeros(1)
    return ActionChunks(position, quaternion, np.array([gripper]), 0.1, zero, zero, zero)


def test_the_arm_waits_for_the_gripper_and_then_looks_again():
    steps = actions(chunk([0.08] * 3 + [0.0] * 13), 0, 0.08, 4)
    assert [w for _, w in steps] == [0.08] * 4 + [0.0] * GRIPPER_STEPS
    np.testing.assert_allclose(steps[-1][0].position[2], 0.3 - 0.06)


def test_a_hand_that_is_not_there_yet_looks_again_before_it_closes():
    patience, far = Patience(), chunk([0.08] * 3 + [0.0] * 13)
    assert [w for _, w in actions(far, 0, 0.08, 4, patience)] == [0.08] * 4
    near = actions(chunk([0.08] + [0.0] * 15), 0, 0.08, 4, patience)
    assert [w for _, w in near] == [0.08] * 2 + [0.0] * GRIPPER_STEPS


def test_the_first_poses_are_followed_when_the_gripper_rests():
    steps = actions(chunk([0.08] * 16), 0, 0.08, 4)
    assert len(steps) == 4
    np.testing.assert_allclose(steps[-1][0].position[2], 0.3 - 0.06)
