# SPDX-License-Identifier: Apache-2.0
"""Finds the messages of several sensors that belong to one moment, by their stamps."""
from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any


class Synchroniser:
    """Keeps the newest messages of each stream; the first stream sets the moments.

    :param streams: names of the streams; the first one leads
    :param tolerance: largest difference (s) of a message's stamp from the leader's
    """

    def __init__(self, streams: Iterable[str], tolerance: float, keep: int = 60) -> None:
        self._streams: dict[str, deque[tuple[float, Any]]] = {
            name: deque(maxlen=keep) for name in streams}
        self._leader = next(iter(self._streams))
        self._tolerance = tolerance
        self._last = float("-inf")

    def add(self, stream: str, stamp: float, message: Any) -> None:
        """Take in a message."""
        kept = self._streams[stream]
        if kept and stamp < kept[-1][0] - 1.0:  # the clock was set back
            for other in self._streams.values():
                other.clear()
            self._last = float("-inf")
        kept.append((stamp, message))

    def newest(self, stream: str) -> float | None:
        """Stamp (s) of the newest message of a stream."""
        kept = self._streams[stream]
        return kept[-1][0] if kept else None

    def match(self) -> tuple[float, dict[str, Any]] | None:
        """The newest complete moment after the last consumed one: stamp and messages."""
        for stamp, leader in reversed(self._streams[self._leader]):
            if stamp <= self._last:
                return None
            found = {self._leader: leader}
            for name, kept in self._streams.items():
                if name == self._leader:
                    continue
                near = min(kept, key=lambda entry: abs(entry[0] - stamp), default=None)
                if near is None or abs(near[0] - stamp) > self._tolerance:
                    break
                found[name] = near[1]
            else:
                return stamp, found
        return None

    def consume(self, stamp: float) -> None:
        """Moments up to ``stamp`` are done with."""
        self._last = stamp
