# SPDX-License-Identifier: Apache-2.0
"""Action chunks: the gripper acts where it was meant to, and no pose is driven twice."""


from wm_ros.motion.chunks import (
    Grip,
    Patience,
    Waypoints,
    split_at_gripper,
    trim_passed,
)
from wm_ros.motion.pose import Pose, top_down


def line(count: int, start: float = 0.4) -> list[Pose]:
    return [top_down([start + 0.02 * i, 0.0, 0.2]) for i in range(count)]


def test_the_gripper_closes_at_the_pose_it_was_commanded_with() -> None:
    poses = line(6)
    pieces = split_at_gripper(poses, [0.08, 0.08, 0.02, 0.02, 0.02, 0.02], 0.08)
    assert [type(p) for p in pieces] == [Waypoints, Grip, Waypoints]
    assert pieces[0].poses == poses[:3] and pieces[1].width == 0.02
    assert pieces[2].poses == poses[3:]


def test_a_ramp_of_the_gripper_is_one_movement() -> None:
    pieces = split_at_gripper(line(5), [0.08, 0.06, 0.04, 0.02, 0.02], 0.08)
    assert [p.width for p in pieces if isinstance(p, Grip)] == [0.02]


def test_noise_of_the_gripper_does_not_stop_the_arm() -> None:
    pieces = split_at_gripper(line(4), [0.079, 0.081, 0.078, 0.08], 0.08)
    assert len(pieces) == 1 and isinstance(pieces[0], Waypoints)


def test_close_and_open_again_keep_their_order() -> None:
    pieces = split_at_gripper(line(4), [0.0, 0.0, 0.08, 0.08], 0.08)
    assert [p.width for p in pieces if isinstance(p, Grip)] == [0.0, 0.08]


def test_poses_already_passed_are_not_driven_again() -> None:
    poses = line(6)
    assert trim_passed(poses, top_down([0.445, 0.003, 0.2])) == poses[3:]
    assert trim_passed(poses, top_down([0.39, 0.0, 0.2])) == poses
    assert trim_passed(poses, poses[2]) == poses[3:]
    assert trim_passed(poses, top_down([0.9, 0.0, 0.2])) == poses[-1:]


def test_a_grip_far_ahead_waits_for_another_look_but_not_for_ever():
    patience = Patience(soon=2, most=2)
    assert [patience.puts_off(3) for _ in range(4)] == [True, True, False, True]
    assert not patience.puts_off(1), "what is due now is done now"
