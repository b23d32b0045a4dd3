# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there."""
from __future__ import annotations

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 so that a reader sees the old or the new file, never half of one.

    :raises OSError: the disk is full, or the folder cannot be written; the old file stays
    """
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
