# SPDX-License-Identifier: Apache-2.0
"""Starts nodes as processes, starts dead ones again, and leaves none behind."""
from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from wm_ros import environment
from wm_ros.nodes.node_list import NodeSpec
from wm_ros.nodes.shared_memory import free_abandoned

BACK_OFF = (0.0, 0.5, 2.0, 5.0, 10.0)  # s before a node that keeps dying is started again
STEADY = 20.0  # s after which a node counts as running well
WRONG_SETTINGS = 2  # exit status of a node that cannot work with what it was given


@dataclass
class _Process:
    spec: NodeSpec
    child: subprocess.Popen[bytes]
    log: IO[bytes]
    started: float
    failures: int = 0
    restart_at: float | None = None


def child_environment() -> dict[str, str]:
    """Environment for the nodes: this Python's modules, this process as their supervisor."""
    env = dict(os.environ)
    environment.prepare(env)
    root = Path(__file__).resolve().parents[2]
    if (root / "setup.py").is_file():  # a checkout: its modules come before installed ones
        env["PYTHONPATH"] = os.pathsep.join(
            [str(root), *filter(None, [env.get("PYTHONPATH", "")])])
    env[environment.SUPERVISOR] = str(os.getpid())
    env.setdefault("PYTHONUNBUFFERED", "1")
    # OpenMP threads that wait busily would take the cores from the other nodes
    env.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    env.setdefault("OPENBLAS_NUM_THREADS", "1")
    env.setdefault("RCUTILS_COLORIZED_OUTPUT", "0")
    return env


class Supervisor:
    """Owns the processes of a list of nodes.

    :param logs: folder for one log file a node
    :param died: called with a node's name and exit status when it ends by itself; it is started
        again unless the status is WRONG_SETTINGS
    :param own: the user's parameter files, read after the package's
    """

    def __init__(self, specs: Sequence[NodeSpec], logs: Path,
                 died: Callable[[str, int], None] | None = None,
                 own: Sequence[str] = ()) -> None:
        self.specs = list(specs)
        self._logs = logs
        self._died = died
        self._own = list(own)
        self._env = child_environment()
        self._processes: dict[str, _Process] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="supervisor")

    def __enter__(self) -> Supervisor:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all nodes at once."""
        free_abandoned()
        self._logs.mkdir(parents=True, exist_ok=True)
        with self._lock:
            for spec in self.specs:
                self._processes[spec.name] = self._spawn(spec)
        self._watcher.start()

    def pid(self, name: str) -> int:
        """Process number of a node."""
        with self._lock:
            return self._processes[name].child.pid

    def _spawn(self, spec: NodeSpec) -> _Process:
        log = open(self._logs / f"{spec.name}.log", "ab")  # noqa: SIM115
        # A group of its own: Ctrl-C reaches only the supervisor, which ends them in order.
        child = subprocess.Popen(spec.command_line(self._own), stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=subprocess.STDOUT, env=self._env,
                                 start_new_session=True)
        return _Process(spec, child, log, time.monotonic())

    def _watch(self) -> None:
        while not self._ending.wait(0.05):
            with self._lock:
                for process in self._processes.values():
                    self._tend(process)

    def _tend(self, process: _Process) -> None:
        now = time.monotonic()
        if process.restart_at is not None:
            if now >= process.restart_at:
                try:
                    fresh = self._spawn(process.spec)
                except OSError:  # no memory or no descriptor is left: later there may be
                    process.restart_at = now + BACK_OFF[-1]
                    return
                process.child, process.started, process.restart_at = fresh.child, now, None
                process.log = fresh.log
            return
        status = process.child.poll()
        if status is None or not process.spec.respawn:
            return
        process.log.close()
        if now - process.started > STEADY:
            process.failures = 0
        process.restart_at = math.inf if status == WRONG_SETTINGS else (
            now + BACK_OFF[min(process.failures, len(BACK_OFF) - 1)])
        process.failures += 1
        if self._died is not None:
            self._died(process.spec.name, status)

    def stop(self) -> None:
        """End all nodes: the monitor first, so that it does not report the others as lost."""
        self._ending.set()
        if self._watcher.is_alive():
            self._watcher.join(2.0)
        with self._lock:
            processes = sorted(self._processes.values(), key=lambda p: p.spec.name != "monitor")
            for process in processes:
                end_group(process.child, signal.SIGINT)
            limit = time.monotonic() + 5.0
            for process in processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.child.wait(max(0.05, limit - time.monotonic()))
                end_group(process.child, signal.SIGKILL)
                process.child.wait()
                process.log.close()
            self._processes.clear()
        free_abandoned()


def end_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a child and everything that it started."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
