# SPDX-License-Identifier: Apache-2.0
"""Geometry that grasps depend on."""
from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transforms3d.quaternions import mat2quat

from wm_ros.world_model.geometry import (
    point_map,
    quaternion_from_rotvec,
    quaternion_multiply,
    quaternion_to_matrix,
    rotvec_from_quaternion,
)
from wm_ros.world_model.video.inputs import ActionCodec

angles = st.floats(-2.0, 2.0)


@settings(max_examples=50, deadline=None)
@given(st.tuples(angles, angles, angles), st.tuples(angles, angles, angles))
def test_rotations_compose_like_their_matrices(a, b):
    qa, qb = (quaternion_from_rotvec(torch.tensor(v, dtype=torch.float64)) for v in (a, b))
    together = quaternion_to_matrix(quaternion_multiply(qa, qb))
    torch.testing.assert_close(together, quaternion_to_matrix(qa) @ quaternion_to_matrix(qb))


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.floats(-1.7, 1.7)] * 3))
def test_a_rotation_vector_survives_the_way_through_a_quaternion(v):
    v = torch.tensor(v, dtype=torch.float64)
    torch.testing.assert_close(rotvec_from_quaternion(quaternion_from_rotvec(v)), v,
                               atol=1e-6, rtol=1e-6)


def test_a_pixel_lands_where_its_surface_is():
    # camera 1 m above the origin, looking straight down, image x along base y
    R = np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, -1]])
    w, x, y, z = mat2quat(R)
    K = torch.tensor([[[100.0, 0, 48], [0, 100, 48], [0, 0, 1]]])
    depth = torch.full((1, 96, 96), 1.0)
    points = point_map(depth, K, torch.tensor([[0.0, 0, 1]]), torch.tensor([[x, y, z, w]]).float(),
                       torch.tensor([[0.1, 0.0, 0.0]]))
    # pixel (row 20, column 70): centre (70.5, 20.5)
    ray = R @ np.array([(70.5 - 48) / 100, (20.5 - 48) / 100, 1.0])
    np.testing.assert_allclose(points[0, 20, 70], ray + [0, 0, 1] - [0.1, 0, 0], atol=1e-6)


def test_unknown_depth_does_not_become_nan():
    depth = torch.tensor([[[0.0, float("inf")], [float("nan"), -1.0]]])
    K = torch.eye(3)[None]
    points = point_map(depth, K, torch.zeros(1, 3), torch.tensor([[0.0, 0, 0, 1]]),
                       torch.zeros(1, 3))
    assert torch.isfinite(points).all()


def test_a_chunk_survives_encoding():
    torch.manual_seed(0)
    codec = ActionCodec(torch.rand(16) + 0.1, torch.rand(16) + 0.1)
    tcp = torch.randn(5, 3), quaternion_from_rotvec(torch.randn(5, 3))
    position, width = torch.randn(5, 16, 3), torch.rand(5, 16) * 0.08
    turn = quaternion_from_rotvec(0.8 * torch.randn(5, 16, 3))
    back = codec.decode(codec.encode(position, turn, width, *tcp), *tcp)
    torch.testing.assert_close(back[0], position, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(quaternion_to_matrix(back[1]), quaternion_to_matrix(turn),
                               atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(back[2], width, atol=1e-6, rtol=1e-5)
