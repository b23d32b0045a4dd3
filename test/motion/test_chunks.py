# SPDX-License-Identifier: Apache-2.0
"""Action chunks: the gripper acts where it was meant to, and unsound chunks are refused."""

import numpy as np
import pytest

from wm_ros.motion.chunks import (
    Grip,
    Patience,
    Waypoints,
    check_chunk,
    check_timing,
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


def broken(**changes: object) -> str | None:
    given: dict = {"poses": line(4), "gripper": [0.08] * 4, "dt": 0.1, "present": line(1)[0]}
    return check_chunk(**{**given, **changes})


def test_a_sound_chunk_is_accepted() -> None:
    assert broken() is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"poses": []}, "no poses"),
        ({"gripper": [0.08]}, "gripper widths"),
        ({"dt": 0.0}, "time step"),
        ({"gripper": [0.08, np.nan, 0.0, 0.0]}, "not finite"),
        ({"poses": [*line(3), Pose(np.array([np.nan, 0, 0]), np.array([1.0, 0, 0, 0]))]},
         "not finite"),
        ({"poses": [*line(3), top_down([0.7, 0, 0.2])]}, "jumps"),
        ({"poses": [*line(3), top_down([0.44, 0, 0.2], 2.0)]}, "turns"),
        ({"present": top_down([0.4, 0.5, 0.2])}, "away from the tool"),
        ({"gripper": [0.3] * 4}, "opens the gripper"),
        ({"poses": [Pose(p.position, 3 * p.quaternion) for p in line(4)]}, "unit length"),
    ],
)
def test_an_unsound_chunk_is_refused_in_one_sentence(changes: dict, reason: str) -> None:
    sentence = broken(**changes)
    assert sentence is not None and reason in sentence and "\n" not in sentence


def test_late_and_stale_chunks_are_refused() -> None:
    assert check_timing(start=10.0, validity=0.6, observed=9.8, now=10.2) is None
    assert "too late" in str(check_timing(start=10.0, validity=0.6, observed=9.8, now=11.0))
    assert "old" in str(check_timing(start=10.0, validity=5.0, observed=8.0, now=10.0))
    assert "finite" in str(check_timing(start=np.nan, validity=5.0, observed=8.0, now=10.0))


def test_a_grip_far_ahead_waits_for_another_look_but_not_for_ever():
    patience = Patience(soon=2, most=2)
    assert [patience.puts_off(3) for _ in range(4)] == [True, True, False, True]
    assert not patience.puts_off(1), "what is due now is done now"
