# SPDX-License-Identifier: Apache-2.0
"""Kinematics: the arm must reach what it can, near where it is, and say so when it cannot."""

import numpy as np
import pytest

from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Pose, distance, rotvec_from_rotation, top_down
from wm_ros.robot import load_robot


@pytest.fixture(scope="module")
def arm() -> Kinematics:
    return Kinematics(load_robot("panda"))


def random_q(arm: Kinematics, rng: np.random.Generator) -> np.ndarray:
    low, high = arm.robot.position_limits.T
    return rng.uniform(low + 0.05, high - 0.05)


def test_tcp_is_the_urdfs_own_tool_frame(arm: Kinematics) -> None:
    q = np.asarray(arm.robot.home) + 0.2
    urdf = arm.scene.forwardKinematics(arm.full(q), arm.robot.tcp_link)
    assert np.allclose(arm.tcp_matrix(q), urdf, atol=1e-9)


def test_jacobian_agrees_with_differences(arm: Kinematics) -> None:
    q = np.asarray(arm.robot.home) + 0.1
    at, step = arm.tcp_matrix(q), 1e-6
    for i, column in enumerate(arm.jacobian(q).T):
        moved = np.linalg.inv(at) @ arm.tcp_matrix(q + step * np.eye(7)[i])
        assert np.allclose(column[:3], moved[:3, 3] / step, atol=1e-5)
        assert np.allclose(column[3:], rotvec_from_rotation(moved[:3, :3]) / step, atol=1e-5)


def test_a_nearby_pose_is_reached_without_leaving_the_posture(arm: Kinematics) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        seed = random_q(arm, rng)
        target = arm.fk(np.clip(seed + rng.normal(0, 0.03, 7), *arm.robot.position_limits.T))
        q = arm.ik(target, seed)
        assert q is not None and np.abs(q - seed).max() < 0.3
        assert distance(arm.fk(q), target) < (1e-4, 1e-3)
        assert arm.in_limits(q)


def test_poses_over_the_table_are_all_reached_from_home(arm: Kinematics) -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        radius, angle = rng.uniform(0.35, 0.70), rng.uniform(-0.9, 0.9)
        place = [radius * np.cos(angle), radius * np.sin(angle), rng.uniform(0.02, 0.3)]
        pose = top_down(place, rng.uniform(-1.5, 1.5))
        assert arm.ik(pose, np.asarray(arm.robot.home)) is not None


def test_far_poses_are_found_from_any_posture(arm: Kinematics) -> None:
    rng = np.random.default_rng(2)
    found = [arm.ik(arm.fk(random_q(arm, rng)), np.asarray(arm.robot.home)) for _ in range(100)]
    assert sum(q is not None for q in found) >= 97


@pytest.mark.parametrize("pose", [top_down([1.3, 0, 0.3]), top_down([0, 0, 2.0]),
                                  Pose.of([np.nan, 0, 0])])
def test_an_unreachable_pose_gives_nothing(arm: Kinematics, pose: Pose) -> None:
    assert arm.ik(pose, np.asarray(arm.robot.home)) is None
