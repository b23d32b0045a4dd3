# SPDX-License-Identifier: Apache-2.0
"""Which moments become rows: 10 Hz whatever the cameras do, and each other image has a reason."""
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("wm_ros.msg")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from wm_ros.convert.index import Index  # noqa: E402
from wm_ros.convert.rows import (  # noqa: E402
    NO_INSTRUCTION,
    SURPLUS,
    UNSYNCHRONISED,
    Choice,
    choose,
)
from wm_ros.errors import UserError  # noqa: E402


def index(scene: np.ndarray, wrist: np.ndarray | None = None, joints: np.ndarray | None = None,
          words: tuple[tuple[float, str], ...] = ((-np.inf, "go"),)) -> Index:
    made = Index(instructions=list(words))
    made.stamps["scene_color"] = list(scene)
    made.stamps["wrist_color"] = list(scene if wrist is None else wrist)
    made.stamps["joint_states"] = list(np.arange(-1, 100, 0.02) if joints is None else joints)
    made.mapped["scene_color"] = len(scene)
    return made


def accounted(made: Index, choice: Choice) -> None:
    assert len(choice.rows) + sum(choice.dropped.values()) == made.images


def spacing(choice: Choice) -> np.ndarray:
    return np.diff([row.stamp for row in choice.rows])


@pytest.mark.parametrize("rate", [9.7, 10.0, 10.3, 15.0, 29.97, 30.0, 60.0])
def test_any_camera_rate_gives_rows_at_10_hz_in_one_piece(rate: float) -> None:
    stamps = np.arange(0, 20, 1 / rate)
    made = index(stamps)
    choice = choose(made, 0.03)
    accounted(made, choice)
    assert {row.piece for row in choice.rows} == {0} and not choice.gaps
    mean = float(spacing(choice).mean())
    assert mean == pytest.approx(0.1, rel=0.035 if rate < 11 else 0.005)
    assert spacing(choice).max() < 0.15


def test_jitter_and_drift_do_not_cut_a_recording() -> None:
    rng = np.random.default_rng(0)
    stamps = np.arange(300) * 0.1002 + rng.uniform(-0.02, 0.02, 300)
    made = index(stamps)
    choice = choose(made, 0.03)
    accounted(made, choice)
    assert len(choice.rows) > 295 and len({row.piece for row in choice.rows}) == 1


def test_a_gap_cuts_and_names_the_silent_stream() -> None:
    scene = np.arange(0, 10, 0.1)
    wrist = scene[(scene < 4) | (scene > 6)]
    made = index(scene, wrist)
    choice = choose(made, 0.03)
    accounted(made, choice)
    assert {row.piece for row in choice.rows} == {0, 1}
    assert choice.dropped == {UNSYNCHRONISED: 100 - len(wrist)}
    assert choice.lacking == {"wrist_color": 100 - len(wrist)}
    [gap] = choice.gaps
    assert "wrist_color is silent" in gap.reason and gap.end - gap.start > 1.9


def test_a_slow_camera_is_told_of_its_rate() -> None:
    choice = choose(index(np.arange(0, 6, 0.125)), 0.03)
    assert {gap.reason for gap in choice.gaps} == {
        "complete moments are 0.12 s apart: record all streams at 10 Hz or more"}


def test_no_instruction_drops_and_a_new_one_begins_an_episode() -> None:
    made = index(np.arange(0, 6, 0.1), words=((1.0, "open it"), (3.0, "close it"), (5.0, "")))
    choice = choose(made, 0.03)
    accounted(made, choice)
    assert choice.dropped[NO_INSTRUCTION] == 20
    assert [{r.instruction for r in choice.rows if r.piece == p} for p in (0, 1)] == [
        {"open it"}, {"close it"}]
    assert choose(made, 0.03, "other").dropped[NO_INSTRUCTION] == 0


def test_the_nearest_message_of_each_stream_is_taken() -> None:
    made = index(np.arange(0, 3, 0.1), joints=np.arange(-1, 4, 0.02) + 0.007)
    for row in choose(made, 0.03).rows:
        assert abs(made.stamps["joint_states"][row.messages["joint_states"]] - row.stamp) < 0.0101


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(5, 40), st.floats(0, 0.03), st.floats(0, 0.4))
def test_every_image_is_a_row_or_has_a_reason(seed: int, rate: float, jitter: float,
                                              lost: float) -> None:
    rng = np.random.default_rng(seed)

    def stream() -> np.ndarray:
        stamps = np.arange(0, 8, 1 / rate)
        stamps = stamps + rng.uniform(-jitter, jitter, len(stamps))
        return stamps[rng.random(len(stamps)) > lost]

    made = index(stream(), stream())
    choice = choose(made, 0.03)
    accounted(made, choice)
    for piece in {row.piece for row in choice.rows}:
        steps = np.diff([row.stamp for row in choice.rows if row.piece == piece])
        assert ((steps > 0.0) & (steps <= 0.2)).all()
    assert set(choice.dropped) <= {SURPLUS, UNSYNCHRONISED}


def test_two_runs_under_the_same_stamps_are_not_mixed() -> None:
    made = index(np.concatenate([np.arange(0, 5, 0.1), np.arange(0, 3, 0.1)]))
    with pytest.raises(UserError, match=r"set back from 4.9 s to 0.0 s"):
        choose(made, 0.03)
