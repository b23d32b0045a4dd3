# SPDX-License-Identifier: Apache-2.0
"""Stamps and durations of messages as seconds (float) and back."""
from __future__ import annotations

from builtin_interfaces.msg import Duration, Time

NANO = 1_000_000_000


def seconds(stamp: Time | Duration) -> float:
    """A stamp or a duration in seconds."""
    return float(stamp.sec) + float(stamp.nanosec) / NANO


def nanoseconds(stamp: Time | Duration) -> int:
    """A stamp or a duration in whole nanoseconds, so that stamps can be compared exactly."""
    return int(stamp.sec) * NANO + int(stamp.nanosec)


def _split(value: float) -> tuple[int, int]:
    whole, part = divmod(round(float(value) * NANO), NANO)
    return int(whole), int(part)


def stamp(value: float) -> Time:
    """Seconds as a stamp."""
    sec, nanosec = _split(value)
    return Time(sec=sec, nanosec=nanosec)


def duration(value: float) -> Duration:
    """Seconds as a duration."""
    sec, nanosec = _split(value)
    return Duration(sec=sec, nanosec=nanosec)
