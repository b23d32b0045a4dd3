# SPDX-License-Identifier: Apache-2.0
"""Frees shared memory that killed processes left behind.

Every Fast DDS participant holds a segment of some megabytes under /dev/shm, locked through the
file beside it (``_el``). A process that is killed cannot remove its own; its lock is gone, by
which ``fastdds shm clean`` and this know it.
"""
from __future__ import annotations

import contextlib
import fcntl
import re
import time
from pathlib import Path

SEGMENT = re.compile(r"fastrtps_[0-9a-z]{16}_el")
YOUNG = 10.0  # s in which an owner may not have locked its segment yet


def free_abandoned(folder: Path = Path("/dev/shm")) -> int:
    """Remove the segments that no living process holds; returns how many bytes that freed."""
    freed = 0
    for lock in folder.glob("fastrtps_*_el"):
        # other users' files, and such as go away meanwhile, are left alone
        with contextlib.suppress(OSError):
            young = time.time() - lock.stat().st_mtime < YOUNG
            if young or not SEGMENT.fullmatch(lock.name):
                continue
            with open(lock, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                segment = lock.with_name(lock.name.removesuffix("_el"))
                if segment.exists():
                    freed += segment.stat().st_blocks * 512
                    segment.unlink()
                lock.unlink()
    return freed
