# SPDX-License-Identifier: Apache-2.0
"""What the locator is taught."""
from __future__ import annotations

import pytest
import torch

from wm_ros.training import locating
from wm_ros.training.batches import Looks
from wm_ros.world_model.video.locator import KeyPoses, Locator, hand_rotation, turned


def test_right_votes_cost_nothing_and_heat_wants_the_nearest_cells(looks: Looks):
    found = locating.find(Locator(8, 32), looks)
    target = looks.key_position
    heading = turned(looks.key_turn.flip(-1), hand_rotation(looks.inputs.proprio)[:, None], 1)
    right = found._replace(votes=target[:, :, None].expand_as(found.votes), where=target,
                           refined=target, turn=looks.key_turn,
                           axes=heading[:, :, None].expand_as(found.axes))
    cost = locating.losses(right, looks)
    assert cost.votes.item() == cost.refined.item() == cost.turn.item() == cost.axes.item() == 0
    away = torch.cdist(target, found.cells)
    pointed = right._replace(heat=-0.5 * (away / locating.NEAR).square())
    assert locating.losses(pointed, looks).heat < cost.heat


def test_where_a_grasp_was_in_vain_heat_goes_down_and_nothing_else_is_learnt(looks: Looks):
    found = locating.find(Locator(8, 32), looks)
    there = found.cells[:, 100]
    vain = looks._replace(imitate=-torch.ones(6), key_position=torch.stack([there] * 2, 1))
    heat = torch.zeros_like(found.heat, requires_grad=True)
    cost = locating.losses(found._replace(heat=heat), vain)
    assert cost.total().item() == pytest.approx(0.05 * cost.wrong.item()) and cost.wrong > 0
    cost.total().backward()
    near = torch.cdist(there[:, None], found.cells)[:, 0] < locating.BESIDE
    assert heat.grad is not None and (heat.grad[:, 0][near] > 0).all() and near.any(1).all()
    assert (heat.grad[:, 0][~near] < 0).all() and (heat.grad[:, 1] == 0).all()
    certain = heat.detach() + 200 * near[:, None]
    assert torch.isfinite(locating.losses(found._replace(heat=certain), vain).wrong)


@pytest.mark.parametrize("field", ["imitate", "key_valid"])
def test_failures_and_what_comes_after_the_last_release_are_not_learnt(looks: Looks, field: str):
    found: KeyPoses = locating.find(Locator(8, 32), looks)
    without = looks._replace(**{field: torch.zeros_like(getattr(looks, field))})
    assert locating.losses(found, without).total().item() == 0
