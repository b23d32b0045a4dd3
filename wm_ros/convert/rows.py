# SPDX-License-Identifier: Apache-2.0
"""Which moments of a recording become rows of a data set at 10 Hz, and why the others do not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wm_ros.convert.index import LEADER, Index
from wm_ros.data.episode import FPS
from wm_ros.errors import UserError

PERIOD = 1.0 / FPS
PULL = 0.2  # share of a row's lateness by which the next one is expected later: follows drift
OPTIONAL = ("action", "executed_action", "tcp_pose", "progress")
SET_BACK = 1.0  # s that images may come late, be it through a slow network
EXACT = 1e-4  # s, for what was recorded for one moment alone

NO_INSTRUCTION = "no instruction"
SURPLUS = "faster than 10 Hz"
DAMAGED = "damaged image"
UNSYNCHRONISED = "unsynchronised"
SHORT = "in a piece too short for an episode"
UNUSABLE = "unusable"
NO_COMMAND = "no command after it"


@dataclass
class Row:
    """A moment that is complete: number of each stream's message; ``piece`` has no gaps in it."""

    stamp: float
    instruction: str
    piece: int
    messages: dict[str, int]


@dataclass
class Gap:
    """A stretch without rows between two pieces (s of the recording) and what it lacks."""

    start: float
    end: float
    reason: str


@dataclass
class Choice:
    """The rows of a recording; ``dropped`` says why each other scene image gave none."""

    rows: list[Row] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    lacking: Counter[str] = field(default_factory=Counter)  # stream that an image did not have
    gaps: list[Gap] = field(default_factory=list)


def choose(index: Index, tolerance: float, instruction: str = "") -> Choice:
    """Pick rows 0.1 s apart from the moments at which every stream has a message.

    :param tolerance: largest difference (s) of stamps within one row
    :param instruction: instead of the recorded ones
    :raises UserError: the clock was set back in between: two runs under the same stamps
    """
    choice = Choice()
    _check_clock(index)
    moments = _moments(index, tolerance, instruction, choice)
    at, piece, expected, before = 0, -1, -np.inf, ""
    last: Row | None = None
    while at < len(moments):
        stamp, words, _ = moments[at]
        fresh = last is None or stamp > expected + PERIOD / 2 or words != before
        if not fresh and stamp < expected - PERIOD / 2:
            choice.dropped[SURPLUS] += 1
            at += 1
            continue
        if fresh:
            if last is not None:
                choice.gaps.append(Gap(last.stamp, stamp, _why(index, last.stamp, stamp,
                                                               words != before)))
            piece, expected = piece + 1, stamp
        else:
            at = _nearest(moments, at, expected, words, choice)
            stamp = moments[at][0]
        last = Row(stamp, words, piece, moments[at][2])
        choice.rows.append(last)
        expected += PERIOD + PULL * (stamp - expected)
        before, at = words, at + 1
    return choice


def _check_clock(index: Index) -> None:
    stamps = np.array(index.stamps[LEADER], float)
    stamps = stamps[np.isfinite(stamps)]
    back = np.flatnonzero(np.maximum.accumulate(stamps) - stamps > SET_BACK)
    if len(back):
        raise UserError(f"the clock was set back from {stamps[back[0] - 1]:.1f} s to "
                        f"{stamps[back[0]]:.1f} s (a simulation began anew): record each run as a "
                        "bag of its own.")


def _moments(index: Index, tolerance: float, instruction: str, choice: Choice
             ) -> list[tuple[float, str, dict[str, int]]]:
    """Complete moments by time: stamp, instruction, numbers of the messages."""
    streams = {name: _sorted(index.stamps[name]) for name in (*index.sensors()[1:], *OPTIONAL)}
    needed = index.sensors()[1:]
    moments: list[tuple[float, str, dict[str, int]]] = []
    for number, stamp in enumerate(index.stamps[LEADER]):
        if np.isnan(stamp):
            choice.dropped[DAMAGED] += 1
            continue
        words = instruction or index.instruction_at(stamp)
        if not words:
            choice.dropped[NO_INSTRUCTION] += 1
            continue
        found = {LEADER: number}
        for name, (stamps, numbers) in streams.items():
            near = _near(stamps, stamp)
            if near >= 0 and abs(stamps[near] - stamp) <= (
                    tolerance if name in needed else EXACT):
                found[name] = int(numbers[near])
        lacking = [name for name in needed if name not in found]
        if lacking:
            choice.dropped[UNSYNCHRONISED] += 1
            choice.lacking.update(lacking)
        else:
            moments.append((stamp, words, found))
    return sorted(moments, key=lambda moment: moment[0])


def _nearest(moments: list[Any], at: int, expected: float, words: str, choice: Choice) -> int:
    """Of the moments from ``at`` on the one nearest to ``expected``; those before are surplus."""
    while (at + 1 < len(moments) and moments[at + 1][1] == words
           and abs(moments[at + 1][0] - expected) < abs(moments[at][0] - expected)):
        choice.dropped[SURPLUS] += 1
        at += 1
    return at


def _why(index: Index, start: float, end: float, other_words: bool) -> str:
    """What a gap lacks: the stream with the longest silence in it."""
    if end - start < 1.5 * PERIOD:
        return ("a new instruction" if other_words else
                f"complete moments are {end - start:.2f} s apart: record all streams at "
                f"{FPS} Hz or more")
    silence = {}
    for name in index.sensors():
        inside = [s for s in index.stamps[name] if start < s < end]
        silence[name] = max(np.diff([start, *sorted(inside), end]))
    worst = max(silence, key=lambda name: silence[name])
    if silence[worst] > 1.5 * PERIOD:
        return f"{worst} is silent for {silence[worst]:.2f} s"
    return "no instruction" if other_words else "the streams' stamps do not fit together"


def _sorted(stamps: list[float]) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(stamps, float)
    order = np.argsort(values, kind="stable")  # NaN last
    order = order[:int(np.isfinite(values).sum())]
    return values[order], order


def _near(stamps: np.ndarray, stamp: float) -> int:
    """Index of the stamp nearest to a moment; -1 when there is none."""
    if not len(stamps):
        return -1
    i = int(np.searchsorted(stamps, stamp))
    if i == len(stamps) or (i > 0 and stamp - stamps[i - 1] <= stamps[i] - stamp):
        return i - 1
    return i
