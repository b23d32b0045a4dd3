# SPDX-License-Identifier: Apache-2.0
"""Runs a node in a child process that can be had again at once.

Most of the time that a killed node needs to come back goes into importing torch. Here the parent
imports, and forks; when the child is killed, it forks again, with all that is imported there.
ROS is left to the child: its libraries start threads, which a fork would lose.
"""
from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from wm_ros import environment

YOUNG = 5.0  # s: what is killed earlier would be again; who started this knows when to try
SIGNALS = (signal.SIGINT, signal.SIGTERM)
EVERY = 0.05  # s between looks at the child


def run_forked(run: Callable[[], int], *modules: str) -> int:
    """Body of a node's ``main``: ``run`` in a child process, again each time that is killed.

    :param modules: imported before, where they can be
    :returns: the exit status, in the child and here; that of a shell, where the child was killed
        by a signal and is not run again
    """
    environment.prepare()
    for name in modules:
        with suppress(ImportError):  # whoever needs it says what is missing
            import_module(name)
    gc.freeze()  # what is imported stays shared memory
    child, ending = 0, False

    def end(number: int, _: object) -> None:
        nonlocal ending
        ending = True
        if child:
            _send(child, number)

    for number in SIGNALS:
        signal.signal(number, end)
    while True:
        born, parent = time.monotonic(), os.getpid()
        child = os.fork()
        if not child:
            os.environ[environment.SUPERVISOR] = str(parent)
            environment.end_with_parent(signal.SIGKILL)
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            return run()
        if ending:  # a signal that came during the fork
            _send(child, signal.SIGTERM)
        status = _wait(child)
        child = 0
        if status >= 0 or ending or time.monotonic() - born < YOUNG:
            return status if status >= 0 else 128 - status
        print(f"The node's process was killed by signal {-status}; it starts again.",
              file=sys.stderr, flush=True)


def _wait(child: int) -> int:
    """Exit status of the child, negative for a signal; it is ended when nobody wants it."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if environment.abandoned():
            _send(child, signal.SIGTERM)
        time.sleep(EVERY)


def _send(child: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(child, number)
