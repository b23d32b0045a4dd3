# SPDX-License-Identifier: Apache-2.0
"""Folders for reports, made before the work that fills them."""
from __future__ import annotations

import errno
import os
from pathlib import Path


def make_ready(folder: Path) -> None:
    """Make a folder, unless it is there. :raises OSError: if nothing can be written into it"""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
