# SPDX-License-Identifier: Apache-2.0
"""SIGReg, predictor, action blocks and search, each on its own."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from wm_ros.errors import UserError
from wm_ros.world_model.jepa import actions as coding
from wm_ros.world_model.jepa.config import JepaConfig
from wm_ros.world_model.jepa.encoder import Encoder
from wm_ros.world_model.jepa.planner import Search, search, shifted
from wm_ros.world_model.jepa.predictor import Predictor, roll
from wm_ros.world_model.jepa.sigreg import epps_pulley, sigreg
from wm_ros.world_model.jepa.surprise import Calibration

TINY = JepaConfig(latent=16, conv=4, cell=4, projector=16, width=16, heads=2)


def predictor() -> Predictor:
    torch.manual_seed(0)
    made = Predictor(TINY)
    torch.nn.init.normal_(made.leave.weight, std=0.3)
    return made.eval()


def test_normal_latents_pass_and_collapsed_ones_do_not():
    torch.manual_seed(0)
    normal = sigreg(torch.randn(1000, 32))
    assert normal < 2, "the statistic of a normal sample does not grow with its size"
    assert sigreg(torch.zeros(1000, 32)) > 100 * normal, "all latents the same"
    flat = torch.randn(1000, 1) * torch.ones(32)
    assert sigreg(flat) > 20 * normal, "one direction is all that varies"
    assert sigreg(2 * torch.randn(1000, 32)) > 20 * normal, "the wrong variance"


def test_the_statistic_is_that_of_epps_and_pulley():
    # closed form for weight exp(-t^2/2) over the whole line, here against the rule on [-3, 3]
    torch.manual_seed(1)
    x = torch.randn(200, 1, dtype=torch.float64)
    gap = x - x.T
    n = len(x)
    exact = (2 * torch.pi)**0.5 * ((-gap.square() / 2).exp().sum() / n
                                   - 2**0.5 * (-x.square() / 4).exp().sum() + n / 3**0.5)
    assert float(epps_pulley(x.float())) == pytest.approx(float(exact), rel=0.1)


def test_few_rooms_with_nothing_changing_in_them_fail():
    torch.manual_seed(0)
    rooms = torch.randn(16, 32).repeat_interleave(8, 0)
    assert sigreg(rooms) > 4 * sigreg(torch.randn(128, 32))


def test_the_gradient_drives_collapsed_latents_apart():
    torch.manual_seed(0)
    z = (0.1 * torch.randn(256, 8)).requires_grad_()
    optimizer = torch.optim.Adam([z], 0.05)
    for _ in range(100):
        optimizer.zero_grad()
        sigreg(z, 64).backward()
        optimizer.step()
    assert 0.7 < float(z.detach().std()) < 1.3


def test_predictions_depend_on_the_actions():
    p, z = predictor(), torch.randn(1, 16)
    actions = torch.randn(2, 3, 25)
    a, b = (roll(p, z, actions[i:i + 1]) for i in range(2))
    assert (a - b).abs().max() > 1e-2


def test_a_search_sees_what_training_saw():
    """Step by step with a memory gives the same as all steps at once."""
    p, z, actions = predictor(), torch.randn(2, 6, 16), torch.randn(2, 6, 25)
    with torch.no_grad():
        modulation = p.modulate(actions)
        whole, _ = p(z, modulation)
        memory, parts = None, []
        for t in range(6):
            one, memory = p(z[:, t:t + 1], modulation[:, :, t:t + 1], memory)
            parts.append(one)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-4)


def test_no_prediction_sees_what_comes_later():
    p, z, actions = predictor(), torch.randn(1, 5, 16), torch.randn(1, 5, 25)
    other = z.clone()
    other[:, 3:] += 1
    with torch.no_grad():
        modulation = p.modulate(actions)
        a, b = p(z, modulation)[0], p(other, modulation)[0]
    torch.testing.assert_close(a[:, :3], b[:, :3])
    assert (a[:, 3] - b[:, 3]).abs().max() > 1e-3


def test_both_cameras_reach_the_latent():
    encoder = Encoder(TINY).eval()
    scene, wrist = torch.randn(1, 3, 96, 96), torch.randn(1, 3, 48, 48)
    z = encoder(scene, wrist)
    assert z.shape == (1, 16)
    assert (encoder(scene + 0.5, wrist) - z).abs().max() > 1e-4
    assert (encoder(scene, wrist + 0.5) - z).abs().max() > 1e-4


def test_an_even_motion_is_the_same_number_for_every_step():
    knots = torch.tensor([[[0.5, -0.2, 0.1, 0.3, 1.0], [0.1, 0.0, -0.4, 0.0, -1.0]]])
    start, turned = torch.tensor([0.4, 0.1, 0.3]), coding.down(torch.tensor(0.3))
    position, quaternion, width = coding.decode(knots, start, turned, 5)
    again = coding.encode_chunk(position, quaternion, width, start, turned, 5)
    torch.testing.assert_close(again, coding.expand(knots, 5), atol=1e-4, rtol=1e-4)


def test_no_candidate_leaves_the_limits_of_the_demonstrators():
    torch.manual_seed(0)
    knots = coding.limit(5 * torch.randn(50, 3, 5))
    start, turned = torch.zeros(3), coding.down(torch.tensor(0.0))
    position, quaternion, width = coding.decode(knots, start, turned, 5)
    step = position.diff(dim=1, prepend=start.expand(50, 1, 3)).norm(dim=-1)
    assert float(step.max()) <= 0.022 + 1e-6
    assert float(coding.yaw_of(quaternion).diff(dim=1).abs().max()) <= 0.10 + 1e-5
    assert set(np.round(width.unique().tolist(), 4)) <= {0.0, 0.05, 0.08}


@pytest.mark.parametrize("method", ["cem", "mppi"])
def test_the_search_finds_a_known_optimum(method):
    """A point mass: the shortest way to a goal in five steps is straight and even."""
    goal = torch.tensor([1.0, -0.5])

    def cost(v):
        return (v.cumsum(1) - goal).square().sum(-1)[:, -1] + 0.1 * v.square().sum((1, 2))

    plan = search(cost, lambda v: v, torch.zeros(1, 5, 2), torch.full((5, 2), 0.5),
                  Search(method, iterations=20), torch.Generator().manual_seed(0))
    even = goal / 5 * (1 / (1 + 0.1 / 5))
    best = cost(even.expand(1, 5, 2))
    assert float(plan.costs[0]) < 1.2 * float(best)
    torch.testing.assert_close(plan.sequences[0], even.expand(5, 2), atol=0.12, rtol=0)
    assert (plan.costs.diff() >= 0).all(), "best first"


@pytest.mark.parametrize("method", ["cem", "mppi"])
def test_a_warm_start_is_never_left_for_something_worse(method):
    def cost(v):
        return (v - 3).square().sum((1, 2))  # far outside the first spread

    starts = torch.stack([torch.zeros(2, 2), torch.full((2, 2), 3.0), torch.ones(2, 2)])
    plan = search(cost, lambda v: v, starts, torch.full((2, 2), 0.1),
                  Search(method, candidates=20, elites=5, iterations=1),
                  torch.Generator().manual_seed(0))
    assert float(plan.costs[0]) < 1e-9


@pytest.mark.parametrize("method", ["cem", "mppi"])
def test_a_cost_that_is_no_number_is_never_the_best(method):
    def cost(v):
        own = v.square().sum((1, 2))
        return torch.where(v[:, 0, 0] > 0, own, torch.nan)

    plan = search(cost, lambda v: v, torch.stack([-torch.ones(2, 2), torch.ones(2, 2)]),
                  torch.full((2, 2), 0.5), Search(method, candidates=40, elites=5, iterations=4),
                  torch.Generator().manual_seed(0))
    assert 0 <= float(plan.costs[0]) <= 4.0 and plan.mean.isfinite().all()
    with pytest.raises(UserError, match="finite cost"):
        search(lambda v: v.sum((1, 2)) * torch.nan, lambda v: v, torch.zeros(1, 2, 2),
               torch.ones(2, 2), Search(method), torch.Generator().manual_seed(0))


def test_a_plan_moves_on_with_time():
    mean = torch.arange(5.0)[:, None]
    assert shifted(mean, 1.0)[:, 0].tolist() == [1, 2, 3, 4, 4]
    assert shifted(mean, 0.5)[:, 0].tolist() == [0.5, 1.5, 2.5, 3.5, 4]


def test_an_error_where_nothing_errs_counts_more():
    torch.manual_seed(0)
    errors = torch.randn(2000, 4) * torch.tensor([1.0, 1.0, 1.0, 0.05])
    scale = Calibration.fit(errors)
    usual, odd = torch.tensor([0.5, 0, 0, 0.0]), torch.tensor([0, 0, 0, 0.5])
    assert scale.distance(odd) > 1.5 * scale.distance(usual)
    assert float(scale.distance(errors).square().mean()) == pytest.approx(1, rel=0.3)


def test_mistyped_settings_get_one_sentence():
    with pytest.raises(UserError, match="planner"):
        Search("cme")
    with pytest.raises(UserError, match="latnet"):
        JepaConfig.from_dict({"latnet": 3})
    with pytest.raises(UserError, match="heads"):
        JepaConfig(width=30)
