# SPDX-License-Identifier: Apache-2.0
"""A recorder beside a run, as a process of its own."""
from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from wm_ros.nodes.supervisor import child_environment, end_group

START = 10.0  # s in which the recorder must have begun


class Recording:
    """``wm record`` into ``<folder>/bag``; ``problem`` says in a sentence why it does not work.

    :param is_heard: tells whether the recorder has found the topics that matter
    """

    def __init__(self, folder: Path, is_heard: Callable[[], bool]) -> None:
        self.bag, self.problem = folder / "bag", ""
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        self._log = folder / "logs" / "record.log"
        with open(self._log, "ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "wm_ros.cli", "record", "--out", str(self.bag)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=child_environment(), start_new_session=True)
        limit = time.monotonic() + START
        while time.monotonic() < limit and not (self.bag.exists() and is_heard()):
            if self._ended_by_itself():
                return
            time.sleep(0.05)

    def _ended_by_itself(self) -> bool:
        if self._child.poll() is None:
            return False
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        self.problem = lines[-1] if lines else "The recorder ended."
        return True

    def stop(self) -> None:
        """Complete the bag."""
        if self._ended_by_itself():
            return
        end_group(self._child, signal.SIGINT)
        try:
            self._child.wait(10.0)
        except subprocess.TimeoutExpired:
            end_group(self._child, signal.SIGKILL)
            self._child.wait()
