# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there, and folders that one process writes to at a time."""
from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wm_ros.errors import UserError

LOCK = ".lock"  # the file of a folder that `alone` holds
PART = r"\.\d+-[0-9a-f]{6}\.part$"  # names of what `whole` writes


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what takes the place of ``path`` at the end, if nothing went wrong: a reader
    sees the old or the new file, never half of one. A link's target is what is replaced; a device
    or a pipe is written to as it is."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        yield path
        return
    part = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(3)}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def remove_left(folder: Path, pattern: str) -> None:
    """Remove what killed processes left half-written in ``folder``.

    :param pattern: of the names, ``{}`` where the number of the process stands; this process has
        begun nothing of the kind yet
    """
    before, _, after = pattern.partition("{}")
    for left in folder.glob(f"{before}*{after}"):
        pid = re.match(r"\d+", left.name[len(before):])
        if pid and (int(pid[0]) == os.getpid() or not Path("/proc", pid[0]).exists()):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def copy(file: Path, folder: Path) -> None:
    """Copy a file into a folder, whole or not at all."""
    with whole(folder / file.name) as part:
        shutil.copyfile(file, part)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 whole.

    :raises OSError: the disk is full, or the folder cannot be written; the old file stays
    """
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole, in a folder that is made where it is missing. See :func:`write_text`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def alone(folder: Path, name: Path | None = None) -> Iterator[None]:
    """Hold a folder alone, made where it is missing, while writing to it.

    The kernel ends the hold with the process, however that ends; what it left half-written goes
    with the next hold.

    :param name: what the user knows it by, where that is not ``folder``
    :raises UserError: another process holds it
    :raises OSError: it cannot be written
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"Another process is writing to {name or folder}: wait for it, or "
                            "choose another folder.") from error
        for left in folder.glob("*.part"):  # of killed processes: nobody else writes here now
            if re.search(PART, left.name):
                left.unlink(missing_ok=True)
        yield
