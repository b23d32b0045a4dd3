# SPDX-License-Identifier: Apache-2.0
"""A ROS domain to oneself: no node of another test, or of another run here, can be heard in it."""
from __future__ import annotations

import fcntl
import os
import random
import tempfile
from pathlib import Path
from typing import IO

# up to 101 they keep clear of the ephemeral ports; 0 is what people use
DOMAINS = range(1, 102)
_held: list[IO[str]] = []  # locks are held until this process ends


def take() -> int:
    """Choose a domain that no test on this machine has, for this process and its children."""
    folder = Path(tempfile.gettempdir())
    numbers = list(DOMAINS)
    random.SystemRandom().shuffle(numbers)
    for number in numbers:
        try:
            lock = open(folder / f"wm_ros_domain_{number}.lock", "a")  # noqa: SIM115
        except OSError:  # another user's
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        break
    os.environ["ROS_DOMAIN_ID"] = str(number)
    return number
