# SPDX-License-Identifier: Apache-2.0
"""Pictures may be moved and mirrored; what they say must stay true."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from torch.nn.functional import normalize

from wm_ros.training import variety
from wm_ros.training.batches import Batch, Looks
from wm_ros.world_model.geometry import quaternion_to_matrix
from wm_ros.world_model.video.inputs import ActionCodec
from wm_ros.world_model.video.locator import hand_rotation


def test_a_moved_picture_keeps_its_points(looks: Looks):
    moved = variety.vary(looks, np.random.default_rng(0), torch.ones(6, dtype=torch.bool))
    assert not torch.allclose(moved.inputs.points, looks.inputs.points, atol=0.02)
    off = moved.inputs.scene - moved.inputs.points.permute(0, 3, 1, 2)
    assert off.abs().max() < 1.5 / 31  # one is interpolated, the other the nearest pixel's
    assert torch.equal(moved.key_position, looks.key_position)
    assert torch.equal(moved.inputs.wrist, looks.inputs.wrist)


def test_a_mirrored_room_is_a_room(looks: Looks):
    which = torch.tensor([True, False] * 3)
    other = variety.mirror(looks, which)
    y = torch.tensor([1.0, -1.0, 1.0])
    assert torch.allclose(other.key_position[0], looks.key_position[0] * y)
    assert torch.equal(other.key_position[1], looks.key_position[1])
    # the same pixel column shows the mirrored point
    assert torch.allclose(other.inputs.points[0, :, 0], looks.inputs.points[0, :, -1] * y)
    m = torch.diag(y)
    before, after = hand_rotation(looks.inputs.proprio), hand_rotation(other.inputs.proprio)
    assert torch.allclose(after[0], m @ before[0] @ m, atol=1e-6)
    assert torch.allclose(torch.linalg.det(after), torch.ones(6), atol=1e-5)
    again = variety.mirror(other, which)
    for a, b in zip(again.inputs, looks.inputs, strict=True):
        assert torch.equal(a, b)


def test_tasks_whose_words_name_a_side_are_told(looks: Looks):
    cache = SimpleNamespace(
        tasks=["stack_bowls", "open_drawer"],
        instructions=["stack the bowls", "put the right bowl in the left bowl", "open it"],
        arrays={"episode_task": np.array([0, 0, 1]), "episode_instruction": np.array([0, 1, 2])})
    assert variety.sided(cache).tolist() == [True, False]


def test_a_mirrored_chunk_is_what_a_mirrored_room_asks_for(looks: Looks):
    n, h = len(looks.text), 5
    codec = ActionCodec(torch.rand(h) + 0.5, torch.rand(h) + 0.5)
    hand = normalize(torch.randn(n, 4), dim=1)
    position, chunk = torch.randn(n, 3), 0.3 * torch.randn(n, h, 7)
    nothing = torch.zeros(n)
    batch = Batch(looks.inputs, looks.text, chunk, torch.ones(n, h), 0.5 * chunk,
                  torch.rand(n, 4, 3), torch.rand(n, 2, 4, 3), torch.rand(n, 2, 20),
                  torch.rand(n, 2), torch.rand(n, 2), *looks[2:5], nothing, nothing,
                  looks.imitate)
    sides = torch.tensor([False, False, False, True, False, False])
    random = np.random.default_rng(3)
    seen = [variety.vary_chunks(batch, random, sides, 2, 1.0) for _ in range(8)]
    y, m = torch.tensor([1.0, -1.0, 1.0]), torch.diag(torch.tensor([1.0, -1.0, 1.0]))
    before = codec.decode(chunk, position, hand)
    mirrored = 0
    for other in seen:
        assert torch.equal(other.inputs.scene[:2], looks.inputs.scene[:2]), "they foresee"
        assert not torch.equal(other.inputs.scene[2:], looks.inputs.scene[2:])
        assert torch.equal(other.video, batch.video)
        for i in range(n):
            if torch.equal(other.inputs.wrist[i], looks.inputs.wrist[i]):
                assert torch.equal(other.action[i], chunk[i])
                assert torch.equal(other.executed[i], batch.executed[i])
                continue
            mirrored += 1
            assert i >= 2 and not sides[i]
            assert torch.allclose(other.executed[i], 0.5 * other.action[i])
            turned = hand[i:i + 1] * torch.tensor([-1.0, 1.0, -1.0, 1.0])
            after = codec.decode(other.action[i:i + 1], position[i:i + 1] * y, turned)
            assert torch.allclose(after[0][0], before[0][i] * y, atol=1e-5)
            assert torch.allclose(quaternion_to_matrix(after[1][0]),
                                  m @ quaternion_to_matrix(before[1][i]) @ m, atol=1e-5)
            assert torch.allclose(after[2][0], before[2][i])
    assert 5 < mirrored < 20
    none = variety.vary_chunks(batch, random, sides, 2, 0.0)
    assert torch.allclose(none.inputs.scene, looks.inputs.scene, atol=1e-5)
    assert torch.equal(none.action, chunk)
    half = variety.vary_chunks(batch, random, sides, 2, 0.5)
    now = [batch.now.tolist().index(row) for row in half.now.tolist()]
    assert now[:2] == [0, 1] and sorted(now) == list(range(n))
    assert torch.equal(half.text, batch.text[now]) and torch.equal(half.video, batch.video[now])
    assert torch.equal(half.action.abs(), chunk[now].abs())
