# SPDX-License-Identifier: Apache-2.0
"""What the tests of training share."""
from __future__ import annotations

import pytest
import torch

from wm_ros.training.batches import Looks
from wm_ros.world_model.geometry import quaternion_to_matrix
from wm_ros.world_model.video.inputs import Inputs
from wm_ros.world_model.video.parts import proprioception


@pytest.fixture
def looks() -> Looks:
    """Every pixel's colour is its point: a smooth slope."""
    g, n, size = torch.manual_seed(0), 6, 32
    u = torch.linspace(-0.5, 0.5, size)
    points = torch.stack([*torch.meshgrid(u, u, indexing="ij"), u.expand(size, -1)], -1)
    points = points.expand(n, -1, -1, -1).contiguous()
    q = torch.nn.functional.normalize(torch.randn(n, 4, generator=g), dim=1)
    felt = proprioception(torch.randn(n, 3, generator=g), quaternion_to_matrix(q),
                          torch.full((n,), 0.04), torch.randn(n, 6, generator=g))
    return Looks(Inputs(points.permute(0, 3, 1, 2).contiguous(), points,
                        torch.randn(n, 3, size, size, generator=g), felt),
                 torch.randn(n, 384, generator=g), torch.randn(n, 2, 3, generator=g),
                 torch.nn.functional.normalize(torch.randn(n, 2, 2, generator=g), dim=-1),
                 torch.ones(n, 2), torch.ones(n))
