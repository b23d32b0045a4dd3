# SPDX-License-Identifier: Apache-2.0
"""Where the tool is in the picture, and what moves with it."""
from __future__ import annotations

import torch

from wm_ros.world_model.video.way import (
    POINTS,
    VIEW_DIM,
    WAY_DIM,
    carried,
    cell_view,
    tool_way,
    worst_still,
)

SIZE = 96


def way(now: tuple[float, float, float], then: tuple[float, float, float]) -> torch.Tensor:
    """Of a hand that points along the optical axis of a camera at the origin."""
    K = torch.tensor([[[80.0, 0, 47.5], [0, 80.0, 47.5], [0, 0, 1]]])
    straight = torch.tensor([[0.0, 0, 0, 1]])
    return tool_way(K, torch.zeros(1, 3), straight, SIZE, (torch.tensor([now]), straight),
                    (torch.tensor([[then]]), straight[:, None], torch.tensor([[0.08]])))


def test_a_pinhole_projects_the_tool():
    w = way((0.0, 0.0, 1.0), (0.12, -0.06, 0.5))
    assert w.shape == (1, 1, WAY_DIM)
    points = w[0, 0, :-2].view(2 * POINTS, 3)
    # the optical axis meets the middle between the pixels 47 and 48
    torch.testing.assert_close(points[0], torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(points[POINTS], torch.tensor(
        [80 * 0.24 * 2 / SIZE, -80 * 0.12 * 2 / SIZE, 0.5]))
    assert points[1, 2] < points[0, 2], "the wrist is behind the fingertips"
    assert w[0, 0, -2] == 1 and w[0, 0, -1] == 1


def test_the_cell_that_the_tool_will_be_in_lies_nearest():
    side = 6
    w = way((0.0, 0.0, 1.0), (0.3, 0.1, 1.0))  # 24 px across, 8 px down: of 16 px cells
    seen = cell_view(w, side)
    assert seen.shape == (1, 1, side * side, VIEW_DIM)
    near = seen[0, 0, :, 4 * POINTS + 2]  # first spread of the fingertips then
    assert int(near.argmax()) == 3 * side + 4
    assert not cell_view(torch.zeros_like(w), side).any(), "no way is known"


def test_what_differs_near_the_tool_does_not_count():
    w = way((0.0, 0.0, 1.0), (0.3, 0.1, 1.0))
    error = torch.zeros(1, 1, 36, 4)
    error[0, 0, 3 * 6 + 4] = 9.0  # where it will be
    error[0, 0, 6] = 2.0  # far from it
    assert float(worst_still(error, w)) == 2.0
    assert float(worst_still(error, torch.zeros_like(w))) == 9.0, "no way is known"


def test_what_the_hand_carries_moves_with_it():
    image = torch.zeros(1, 3, SIZE, SIZE)
    image[..., 46:50, 46:50] = 1
    moved = carried(image, way((0.0, 0.0, 1.0), (0.2, 0.0, 1.0))[:, 0])  # 16 px
    torch.testing.assert_close(moved[..., 46:50, 62:66], torch.ones(1, 3, 4, 4))
    torch.testing.assert_close(moved.sum(), image.sum())
    larger = carried(image, way((0.0, 0.0, 1.0), (0.0, 0.0, 0.5))[:, 0])
    assert larger.sum() > 3.5 * image.sum(), "what comes nearer grows"
    noise = torch.rand(1, 3, SIZE, SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(carried(noise, torch.zeros(1, WAY_DIM)), noise)
