# SPDX-License-Identifier: Apache-2.0
"""Memory that killed nodes left behind is freed; what lives is not touched."""
from __future__ import annotations

import fcntl
import os
from pathlib import Path

from wm_ros.nodes.shared_memory import free_abandoned


def segment(folder: Path, name: str) -> Path:
    path = folder / f"fastrtps_{name}"
    path.write_bytes(bytes(8192))
    lock = folder / f"fastrtps_{name}_el"
    lock.touch()
    os.utime(lock, (0, 0))
    return path


def test_only_segments_without_an_owner_are_freed(tmp_path: Path) -> None:
    dead, alive = segment(tmp_path, "0123456789abcdef"), segment(tmp_path, "fedcba9876543210")
    other = tmp_path / "fastrtps_port7412"
    other.touch()
    with open(f"{alive}_el", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert free_abandoned(tmp_path) >= 8192
    assert not dead.exists() and not Path(f"{dead}_el").exists()
    assert alive.exists() and other.exists()
