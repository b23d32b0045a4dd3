# SPDX-License-Identifier: Apache-2.0
"""One progress bar for long work: rate, time left, a note; plain lines where there is no
terminal."""
from __future__ import annotations

import sys
import time
from types import TracebackType


class Progress:
    """``with Progress("train", 1000) as bar: bar.update(10, note="loss 0.1")``."""

    def __init__(self, name: str, total: int = 0, unit: str = "steps", quiet: bool = False,
                 start: int = 0):
        self.name, self.total, self.unit, self.quiet = name, total, unit, quiet
        self.start = self.done = start
        self._begin, self._last = time.monotonic(), 0.0
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._terminal and self._last and not self.quiet:
            self._print("\n")
            self._last = 0.0

    def update(self, done: int, total: int | None = None, note: str = "", rate: int = 0) -> None:
        """Show ``done`` of the total, 0: unknown; ``rate`` items belong to one step (for
        items/s)."""
        self.done, self.total = done, total or self.total
        now = time.monotonic()
        wait = 0.2 if self._terminal else 15.0
        if self.quiet or (now - self._last < wait and done != self.total):
            return
        self._last = now
        speed = (done - self.start) / max(1e-6, now - self._begin)
        speeds = f"{speed * rate:.0f} samples/s" if rate else f"{speed:.1f} {self.unit}/s"
        line = f"{self.name} {done} {speeds}  {note}"
        if self.total:
            left = (self.total - done) / speed if speed else 0.0
            line = (f"{self.name} {done}/{self.total} [{'#' * (20 * done // self.total):<20}] "
                    f"{speeds}, {int(left) // 60}:{int(left) % 60:02d} left  {note}")
        self._print(f"\r\033[K{line}" if self._terminal else f"{line}\n")

    def advance(self, note: str = "") -> None:
        """One more is done."""
        self.update(self.done + 1, note=note)

    def say(self, text: str) -> None:
        """A line beside the bar."""
        self._print(f"\r\033[K{text}\n" if self._terminal and self._last else f"{text}\n")

    def _print(self, text: str) -> None:
        """Nobody reads it any more: the work goes on without."""
        try:
            print(text, end="", file=sys.stderr, flush=True)
        except OSError:
            self.quiet = True
