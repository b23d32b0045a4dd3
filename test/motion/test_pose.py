# SPDX-License-Identifier: Apache-2.0
"""Poses: wrong algebra here would send the arm to the wrong place."""

import numpy as np
import pytest

from wm_ros.motion.pose import (
    Pose,
    distance,
    interpolate,
    quaternion_from_rotvec,
    quaternion_from_rpy,
    rotation_from_quaternion,
    rotvec_from_quaternion,
    rpy_from_rotation,
    top_down,
)


def random_pose(rng: np.random.Generator) -> Pose:
    return Pose.of(rng.normal(size=3), rng.normal(size=4))


def test_poses_compose_and_invert_like_matrices() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = random_pose(rng), random_pose(rng)
        assert np.allclose(a.compose(b).matrix(), a.matrix() @ b.matrix())
        assert np.allclose(a.inverse().matrix(), np.linalg.inv(a.matrix()))
        assert max(distance(Pose.from_matrix(a.matrix()), a)) < 1e-7


def test_rotation_vectors_survive_the_round_trip() -> None:
    rng = np.random.default_rng(1)
    for angle in (1e-9, 1e-4, 0.5, 3.0):
        axis = rng.normal(size=3)
        rotvec = axis / np.linalg.norm(axis) * angle
        assert np.allclose(rotvec_from_quaternion(quaternion_from_rotvec(rotvec)), rotvec)


def test_interpolation_takes_the_short_way_and_ends_at_both_ends() -> None:
    a, b = top_down([0.4, 0.0, 0.3], 0.0), top_down([0.5, 0.1, 0.1], 1.0)
    flipped = Pose(b.position, -b.quaternion)
    assert max(distance(interpolate(a, flipped, 0.0), a)) < 1e-9
    assert max(distance(interpolate(a, flipped, 1.0), b)) < 1e-7
    assert distance(interpolate(a, flipped, 0.5), a)[1] == pytest.approx(0.5, abs=1e-6)


def test_top_down_grasp_points_down_with_the_fingers_across() -> None:
    rotation = top_down([0, 0, 0]).rotation()
    assert np.allclose(rotation[:, 2], [0, 0, -1])
    assert np.allclose(rotation[:, 0], [1, 0, 0])
    turned = top_down([0, 0, 0], np.pi / 2).rotation()
    assert np.allclose(turned[:, 0], [0, 1, 0], atol=1e-12)


def test_a_quaternion_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="no length"):
        Pose.of([0, 0, 0], [0, 0, 0, 0])


def test_angles_about_fixed_axes_turn_in_the_order_that_urdf_says() -> None:
    x, y, z = (rotation_from_quaternion(quaternion_from_rotvec(angle * axis))
               for angle, axis in zip((0.3, -0.8, 2.0), np.eye(3), strict=True))
    turned = rotation_from_quaternion(quaternion_from_rpy(0.3, -0.8, 2.0))
    assert np.allclose(turned, z @ y @ x, atol=1e-12)


@pytest.mark.parametrize("pitch", [0.4, np.pi / 2, -np.pi / 2, np.pi / 2 - 1e-9, 1.570796])
def test_angles_give_the_rotation_that_they_were_read_from(pitch: float) -> None:
    """Straight up or down, what rounding leaves of the cosine must not become an angle."""
    rng = np.random.default_rng(3)
    for roll, yaw in rng.uniform(-np.pi, np.pi, (200, 2)):
        turned = rotation_from_quaternion(quaternion_from_rpy(roll, pitch, yaw))
        again = rotation_from_quaternion(quaternion_from_rpy(*rpy_from_rotation(turned)))
        assert np.allclose(again, turned, atol=2e-7)
