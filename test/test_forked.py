# SPDX-License-Identifier: Apache-2.0
"""A node's child process that is killed runs again; it never outlives its parent."""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys, time
from wm_ros.nodes import forked
forked.YOUNG = float(sys.argv[2])
ended = []

def run():
    assert "colorsys" in sys.modules, "what is named was not imported before"
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    signal.signal(signal.SIGINT, lambda *_: ended.append(1))
    with open(sys.argv[1], "a") as file:
        file.write(f"{os.getpid()}\\n")
    while not ended:
        time.sleep(0.02)
    return 7

sys.exit(forked.run_forked(run, "colorsys", "no_such_module"))
"""


class Forked:
    """The parent, and a file with the number of every child."""

    def __init__(self, pids: Path, young: float) -> None:
        self.pids = pids
        self.parent = subprocess.Popen([sys.executable, "-c", PROGRAM, str(pids), str(young)])

    def child(self, number: int) -> int:
        """Process number of the so-and-so-many-th child, when it runs."""
        until(lambda: self.pids.exists() and self.pids.read_text().count("\n") > number)
        return int(self.pids.read_text().split()[number])


def until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not true():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


@pytest.fixture
def forked(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Forked]:
    it = Forked(tmp_path / "pids", getattr(request, "param", 0.0))
    yield it
    with contextlib.suppress(ProcessLookupError):
        it.parent.kill()
    it.parent.wait(10)


def test_a_killed_child_runs_again_and_a_signal_ends_it(forked: Forked) -> None:
    os.kill(forked.child(0), signal.SIGKILL)
    again = forked.child(1)
    assert gone(forked.child(0)) and not gone(again)
    forked.parent.send_signal(signal.SIGTERM)
    assert forked.parent.wait(10) == 7, "the child's own status"
    assert gone(again) and len(forked.pids.read_text().split()) == 2


def test_a_child_dies_with_its_parent(forked: Forked) -> None:
    child = forked.child(0)
    forked.parent.kill()
    until(lambda: gone(child))


@pytest.mark.parametrize("forked", [60.0], indirect=True)
def test_a_child_that_dies_young_is_left_to_who_started_it(forked: Forked) -> None:
    os.kill(forked.child(0), signal.SIGSEGV)
    assert forked.parent.wait(10) == 128 + signal.SIGSEGV
    assert len(forked.pids.read_text().split()) == 1


def test_nobody_left_who_wants_it(tmp_path: Path) -> None:
    """The one who started it is killed: parent and child end by themselves."""
    pids = tmp_path / "pids"
    starter = ("import os, subprocess, sys, time\n"
               "os.environ['WM_SUPERVISOR_PID'] = str(os.getpid())\n"
               "subprocess.Popen([sys.executable, '-c', *sys.argv[1:]]).wait()\n")
    with subprocess.Popen([sys.executable, "-c", starter, PROGRAM, str(pids), "0"]) as process:
        until(lambda: pids.exists() and bool(pids.read_text().strip()))
        child = int(pids.read_text())
        parent = int(Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[1])
        process.kill()
    until(lambda: gone(child) and gone(parent))
