# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what takes the place of ``path`` at the end, if nothing went wrong: a reader
    sees the old or the new file, never half of one."""
    part = path.with_name(path.name + ".part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 whole.

    :raises OSError: the disk is full, or the folder cannot be written; the old file stays
    """
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")
