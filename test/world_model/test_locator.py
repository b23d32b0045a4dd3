# SPDX-License-Identifier: Apache-2.0
"""The locator's votes, frames and shapes."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from wm_ros.world_model.geometry import quaternion_to_matrix
from wm_ros.world_model.video.locator import Locator, agreed, hand_rotation, turned
from wm_ros.world_model.video.parts import POINT_SCALE, proprioception


def test_of_two_like_things_one_is_chosen_not_the_middle():
    cells = torch.zeros(1, 6, 3)
    cells[0, :3, 0], cells[0, 3:, 0] = 0.0, 1.0
    cells[0, :, 1] = torch.tensor([0.0, 0.05, -0.05] * 2)
    heat = torch.tensor([[[3.0, 2.0, 2.0, 2.9, 2.9, 2.9]]])
    where, weights = agreed(heat, cells, cells[:, None] + torch.tensor([0.0, 0.0, 0.1]))
    assert torch.allclose(where, torch.tensor([[[0.0, 0.0, 0.1]]]), atol=1e-6)
    assert torch.allclose(weights.sum(-1), torch.ones(1, 1)) and weights[..., 3:].max() == 0


def test_the_hands_rotation_comes_back_from_proprioception():
    q = torch.nn.functional.normalize(torch.randn(5, 4, generator=torch.manual_seed(0)), dim=1)
    rotation = quaternion_to_matrix(q)
    felt = proprioception(torch.zeros(5, 3), rotation, torch.full((5,), 0.04), torch.zeros(5, 6))
    assert torch.allclose(hand_rotation(felt), rotation, atol=1e-6)


def test_headings_go_from_the_base_to_the_hand_and_back():
    yaw = torch.tensor([0.3, -1.2])
    down = torch.stack([torch.cos(yaw / 2), torch.sin(yaw / 2), 0 * yaw, 0 * yaw], 1)
    hand = quaternion_to_matrix(down)
    wanted = torch.tensor([1.0, -1.0])  # headings in the base's frame
    axes = torch.stack([(2 * wanted).cos(), (2 * wanted).sin()], 1)
    turn = turned(axes, hand, -1)
    assert torch.allclose(turn[:, 1], (2 * (wanted - yaw)).sin(), atol=1e-6)
    assert torch.allclose(turn[:, 0], (2 * (wanted - yaw)).cos(), atol=1e-6)
    assert torch.allclose(turned(turn, hand, 1), axes, atol=1e-6)


def inputs(n: int, size: int = 32) -> tuple[Tensor, ...]:
    g = torch.manual_seed(1)
    down = quaternion_to_matrix(torch.tensor([[1.0, 0, 0, 0]]).expand(n, -1))
    felt = proprioception(torch.zeros(n, 3), down, torch.full((n,), 0.08), torch.zeros(n, 6))
    return (torch.randn(n, 3, size, size, generator=g), torch.randn(n, 3, size, size, generator=g),
            torch.randn(n, 3, size, size, generator=g), felt, torch.randn(n, 384, generator=g))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_points_stay_in_float32_whatever_the_weights_are(dtype: torch.dtype):
    locator = Locator(8, 32).to(dtype).eval()
    found = locator(*inputs(3))
    assert found.where.shape == found.refined.shape == (3, 2, 3)
    assert found.heat.shape == (3, 2, 256) and found.votes.shape == (3, 2, 256, 3)
    assert found.axes.shape == (3, 2, 256, 2) and found.turn.shape == (3, 2, 2)
    assert found.seen.shape == (3, 2, locator.size) and found.seen.dtype == dtype
    assert found.where.dtype == found.refined.dtype == torch.float32


def test_an_untrained_refinement_changes_nothing_and_a_shift_is_in_the_hands_axes():
    locator = Locator(8, 32).eval()
    found = locator(*inputs(2))
    assert torch.allclose(found.refined, found.where, atol=1e-6)
    with torch.no_grad():
        locator.shift.bias[:3] = torch.tensor([0.1, 0.2, 0.3]) / POINT_SCALE
        found = locator(*inputs(2))
    # a hand that points down has its y and z axes against the base's
    moved = (found.refined - found.where)[0, 0].numpy() * POINT_SCALE
    assert np.allclose(moved, [0.1, -0.2, -0.3], atol=1e-5)
