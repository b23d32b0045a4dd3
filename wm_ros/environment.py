# SPDX-License-Identifier: Apache-2.0
"""Environment variables that every process of the suite needs, set once before ROS starts."""
from __future__ import annotations

import os
import signal
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from wm_ros.paths import config

STEP_BACK = 10  # niceness
#: names the process that a node must not outlive, so that none is ever left behind
SUPERVISOR = "WM_SUPERVISOR_PID"


def prepare(env: MutableMapping[str, str] | None = None, reach: str = "LOCALHOST") -> None:
    """Fill in what the user left open; never overrule what is set.

    Discovery stays on this machine (``ROS_AUTOMATIC_DISCOVERY_RANGE``), images travel through a
    shared-memory segment that is large enough (``FASTRTPS_DEFAULT_PROFILES_FILE``), and rendering
    needs no screen (``MUJOCO_GL``).

    :param env: the mapping to change, ``os.environ`` unless given (for a child process, say)
    :param reach: how far nodes look for each other; SUBNET where drivers run on other computers
    """
    env = os.environ if env is None else env
    env.setdefault("HOME", os.path.expanduser("~"))  # rcl refuses to start without it
    reach = env.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", reach)
    profile = "fastdds.xml" if reach.upper() == "LOCALHOST" else "fastdds_network.xml"
    env.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(config(profile)))
    if not env.get("DISPLAY"):
        env.setdefault("MUJOCO_GL", "egl")


def step_back() -> None:
    """Let this process, which only watches, leave the processor to those that drive the arm.

    Call it before there are other threads; what they start inherits it. Linux weighs sessions
    against each other (``sched_autogroup_enabled``, see sched(7)), so that niceness alone changes
    nothing for a process with a session of its own; one in somebody else's leaves that as it is.
    """
    os.nice(STEP_BACK)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # a kernel without it
            Path("/proc/self/autogroup").write_text(str(STEP_BACK))


def begin_worker() -> None:
    """What a worker process begins with: it leaves Ctrl-C to its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """Let the kernel send this process a signal when its parent dies, however that dies (Linux
    only)."""
    import ctypes
    import sys

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG


def abandoned() -> bool:
    """Whether the process is gone that started this one and named itself its supervisor."""
    supervisor = os.environ.get(SUPERVISOR)
    return bool(supervisor) and os.getppid() != int(supervisor or 0)
