# SPDX-License-Identifier: Apache-2.0
"""The simulated controllers keep a robot's promises: limits, tolerances, a soft stop."""
from __future__ import annotations

import numpy as np
import pytest

from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.trajectory import Path, make_path, refusal
from wm_ros.robot import load_robot
from wm_ros.sim.controllers import (
    ArmController,
    GripperController,
    Outcome,
    Tolerances,
)
from wm_ros.sim.link_tree import LinkTree

ROBOT = load_robot()
HOME = np.array(ROBOT.home)
DT = 0.01


def swing(amount: float = 0.3, seconds: float = 1.0) -> Path:
    """Joint 1 from rest to rest by ``amount`` rad."""
    t = np.linspace(0.0, seconds, 21)
    s = t / seconds
    shape, slope = 3 * s**2 - 2 * s**3, (6 * s - 6 * s**2) / seconds
    way = np.zeros(7)
    way[0] = amount
    return make_path(t, HOME + shape[:, None] * way, slope[:, None] * way, HOME)


def tolerances(path: float = 0.1, goal: float = 0.02, late: float = 0.5) -> Tolerances:
    return Tolerances(np.full(7, path), np.full(7, goal), late)


def drive(arm: ArmController, seconds: float, blocked: bool = False) -> Outcome | None:
    """Step the controller; a blocked arm stays at home."""
    for i in range(round(seconds / DT)):
        command = arm.sample((i + 1) * DT)
        outcome = arm.judge((i + 1) * DT, HOME if blocked else command)
        if outcome is not None:
            return outcome
    return None


def test_path_is_driven_to_its_end_and_reported_as_done() -> None:
    arm = ArmController(ROBOT, HOME)
    arm.start(swing(), tolerances(), 0.0)
    assert drive(arm, 1.5) is Outcome.DONE
    assert arm.command[0] == pytest.approx(0.3)
    assert arm.at_rest


def test_blocked_arm_gives_up_instead_of_pushing_on() -> None:
    arm = ArmController(ROBOT, HOME)
    arm.start(swing(), tolerances(), 0.0)
    assert drive(arm, 1.5, blocked=True) is Outcome.PATH_VIOLATED
    arm = ArmController(ROBOT, HOME)
    arm.start(swing(0.09), tolerances(), 0.0)
    assert drive(arm, 3.0, blocked=True) is Outcome.GOAL_VIOLATED


def test_an_arm_that_is_held_up_at_speed_holds_where_it_is() -> None:
    arm = ArmController(ROBOT, HOME)
    arm.start(swing(0.9, 0.7), tolerances(), 0.0)
    assert drive(arm, 1.5, blocked=True) is Outcome.PATH_VIOLATED
    assert drive(arm, 1.5) is None
    np.testing.assert_array_equal(arm.command, HOME)
    assert arm.at_rest and not arm.velocity.any()


def test_stop_brakes_within_the_limits_and_soon() -> None:
    arm = ArmController(ROBOT, HOME)
    arm.start(swing(0.9, 0.7), tolerances(), 0.0)
    for i in range(35):
        arm.sample((i + 1) * DT)
    speed = arm.velocity[0]
    assert speed > 1.5
    arm.peak[:] = 0.0
    arm.stop(0.35)
    before = arm.command.copy()
    for i in range(35, 70):
        arm.sample((i + 1) * DT)
    assert arm.at_rest
    assert (np.abs(arm.peak) <= ROBOT.acceleration_limits * 1.001).all()
    assert 0.0 < arm.command[0] - before[0] < speed * 0.3


def test_a_difference_that_fades_on_a_short_path_stays_within_the_acceleration_limits() -> None:
    arm = ArmController(ROBOT, HOME - 0.02)
    limit = ROBOT.acceleration_limits
    short = swing(seconds=0.16, amount=0.15 * limit[0] * 0.16**2)  # nine tenths of the limit
    arm.start(short, tolerances(), 0.0)
    assert drive(arm, 2.0) is Outcome.DONE
    assert arm.command == pytest.approx(short.positions[-1], abs=1e-6)
    assert (np.abs(arm.peak) <= limit).all()


def test_small_difference_to_the_start_fades_out_instead_of_jumping() -> None:
    arm = ArmController(ROBOT, HOME + 0.01)
    arm.start(swing(0.2), tolerances(), 0.0)
    np.testing.assert_allclose(arm.sample(0.0), HOME + 0.01)
    assert drive(arm, 1.5) is Outcome.DONE
    assert (np.abs(arm.peak) <= ROBOT.acceleration_limits).all()
    np.testing.assert_allclose(arm.command[1:], HOME[1:], atol=1e-6)


def test_path_that_begins_in_the_future_waits() -> None:
    arm = ArmController(ROBOT, HOME)
    arm.start(swing(), tolerances(), 1.0)
    np.testing.assert_allclose(arm.sample(0.5), HOME)


@pytest.mark.parametrize(("path", "word"), [
    (swing(), ""),
    (swing(3.5, 5.0), "position limits"),
    (swing(1.5, 0.5), "velocity limits"),
    (swing(0.35, 0.25), "acceleration limits"),
])
def test_trajectories_outside_of_the_limits_are_refused(path: Path, word: str) -> None:
    sentence = refusal(path, ROBOT, 1.02)
    assert word in sentence if word else sentence == ""


def test_an_arm_that_was_pushed_out_of_its_range_may_come_back_but_no_further_out() -> None:
    end = float(ROBOT.position_limits[5, 1])

    def way(first: float, last: float) -> Path:
        t = np.linspace(0.0, 1.0, 11)
        positions = np.tile(HOME, (11, 1))
        positions[:, 5] = end + np.linspace(first, last, 11)
        return make_path(t, positions, None, positions[0])

    assert refusal(way(0.01, -0.05), ROBOT, 1.02) == ""
    for first, last in ((-0.05, 0.01), (0.01, 0.02), (0.03, -0.05)):
        assert "position limits of panda_joint6" in refusal(way(first, last), ROBOT, 1.02)


def test_gripper_arrives_or_stalls_on_a_thing() -> None:
    for thing, expected in ((0.0, (True, False)), (0.045, (False, True))):
        gripper = GripperController(ROBOT, 0.08, 0.003, 0.0015, 0.1)
        gripper.start(0.0, 20.0)
        ended, width = None, 0.08
        for _i in range(300):
            width = max(gripper.sample(DT), thing)
            ended = gripper.judge(width, DT)
            if ended is not None:
                break
        assert ended == expected
        assert gripper.effort == 20.0


def test_transforms_of_the_links_agree_with_the_planner() -> None:
    tree = LinkTree(ROBOT.urdf_path.read_text())
    q = HOME + np.linspace(-0.3, 0.3, 7)
    edges = {link.child: link for link in
             [*tree.fixed(), *tree.moving(dict(zip(ROBOT.arm_joints, q, strict=True)))]}
    link = ROBOT.hand_link
    pose = edges[link].pose
    while edges[link].parent != ROBOT.base_link:
        link = edges[link].parent
        pose = edges[link].pose.compose(pose)
    expected = Kinematics(ROBOT).link_pose(q, ROBOT.hand_link)
    np.testing.assert_allclose(pose.position, expected.position, atol=1e-6)
    assert abs(pose.quaternion @ expected.quaternion) > 1 - 1e-9


def test_what_happens_between_two_points_is_refused_too() -> None:
    """Mean speeds within the limits, the cubic's not."""
    q = np.stack([HOME, HOME])
    q[1, 0] += 0.217
    rest = np.zeros_like(q)
    assert "limits" in refusal(Path(np.array([0.0, 0.1]), q, rest), ROBOT, 1.02)
    assert "acceleration" in refusal(Path(np.array([0.0, 0.15]), q, rest), ROBOT, 1.02)
    assert refusal(Path(np.array([0.0, 1.0]), q, rest), ROBOT, 1.02) == ""
