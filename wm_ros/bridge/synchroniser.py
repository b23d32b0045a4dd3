# SPDX-License-Identifier: Apache-2.0
"""Finds the messages of several sensors that belong to one moment, by their stamps."""
from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any, NamedTuple

KEEP = 1.0  # s of history of each stream: images and depth may come this much after joint states
LEAST = 60  # messages of history where these reach further back


class Unmatched(NamedTuple):
    """Why moments stay incomplete: the nearest message of ``stream`` is ``distance`` s away
    (infinite: none has come)."""

    stream: str
    distance: float


class _Stream:
    """Messages of one stream, in the order of their stamps (s)."""

    def __init__(self) -> None:
        self.stamps: list[float] = []
        self.messages: list[Any] = []

    def add(self, stamp: float, message: Any) -> None:
        """Take in a message; of several with one stamp the first counts."""
        at = bisect_left(self.stamps, stamp)
        if at < len(self.stamps) and self.stamps[at] == stamp:
            return
        self.stamps.insert(at, stamp)
        self.messages.insert(at, message)
        old = bisect_left(self.stamps, self.stamps[-1] - KEEP)
        self._drop(min(old, len(self.stamps) - LEAST))

    def forget(self, before: float) -> None:
        """Images are large: what no moment can ask for any more goes, but for the newest."""
        self._drop(min(bisect_left(self.stamps, before), len(self.stamps) - 1))

    def clear(self) -> None:
        """Forget everything."""
        self.stamps, self.messages = [], []

    def _drop(self, count: int) -> None:
        if count > 0:
            del self.stamps[:count], self.messages[:count]

    def nearest(self, stamp: float) -> tuple[float, Any]:
        """The message nearest to a stamp and its distance from it (s; infinite: there is none)."""
        after = bisect_left(self.stamps, stamp)
        around = range(max(after - 1, 0), min(after + 1, len(self.stamps)))
        best = min(around, key=lambda i: abs(self.stamps[i] - stamp), default=None)
        if best is None:
            return math.inf, None
        return abs(self.stamps[best] - stamp), self.messages[best]


class Synchroniser:
    """Keeps the newest messages of each stream; the first stream sets the moments.

    :param streams: names of the streams; the first one leads
    :param tolerance: largest difference (s) of a message's stamp from the leader's
    """

    def __init__(self, streams: Iterable[str], tolerance: float) -> None:
        self._streams = {name: _Stream() for name in streams}
        self._leader = next(iter(self._streams))
        self._tolerance = tolerance
        self._last = -math.inf

    def add(self, stream: str, stamp: float, message: Any) -> None:
        """Take in a message."""
        newest = self.newest(stream)
        if newest is not None and stamp < newest - 1.0:  # the clock was set back
            for other in self._streams.values():
                other.clear()
            self._last = -math.inf
        self._streams[stream].add(stamp, message)

    def newest(self, stream: str) -> float | None:
        """Stamp (s) of the newest message of a stream."""
        stamps = self._streams[stream].stamps
        return stamps[-1] if stamps else None

    def match(self) -> tuple[float, dict[str, Any]] | None:
        """The newest complete moment after the last consumed one: stamp and messages."""
        leader = self._streams[self._leader]
        for stamp, message in zip(reversed(leader.stamps), reversed(leader.messages),
                                  strict=True):
            if stamp <= self._last:
                return None
            found = {self._leader: message}
            for name, stream in self._streams.items():
                if name == self._leader:
                    continue
                distance, near = stream.nearest(stamp)
                if distance > self._tolerance:
                    break
                found[name] = near
            else:
                return stamp, found
        return None

    def unmatched(self, patience: float) -> Unmatched | None:
        """Which stream keeps moments incomplete that wait for longer than ``patience`` s.

        None while none waits that long, or one of them is complete.
        """
        leader = self._streams[self._leader].stamps
        newest = max((s.stamps[-1] for s in self._streams.values() if s.stamps),
                     default=-math.inf)
        worst: Unmatched | None = None
        for stamp in leader[bisect_right(leader, self._last):
                            bisect_left(leader, newest - patience)]:
            worst = max((Unmatched(name, stream.nearest(stamp)[0])
                         for name, stream in self._streams.items()),
                        key=lambda one: one.distance)
            if worst.distance <= self._tolerance:
                return None
        return worst

    def consume(self, stamp: float) -> None:
        """Moments up to ``stamp`` are done with."""
        self._last = stamp
        for stream in self._streams.values():
            stream.forget(stamp - self._tolerance)
