# SPDX-License-Identifier: Apache-2.0
"""Folders for reports, made before the work that fills them."""
from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from wm_ros.errors import UserError
from wm_ros.files import LOCK, alone

PART = ".part"  # in a folder: what is not whole yet
STAMP = "%Y%m%d_%H%M%S"  # in the name of a folder


def make_ready(folder: Path) -> None:
    """Make a folder, unless it is there. :raises OSError: if nothing can be written into it"""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def new_folder(wish: Path) -> Path:
    """Make a folder that is nobody else's, with _2, _3 ... where the name is taken; returns it."""
    folder, number = wish, 1
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
            folder = wish.with_name(f"{wish.name}_{number}")


def set_aside(folder: Path, paths: Iterable[Path]) -> Path:
    """Move what an earlier run left in a folder into one beside it, named by when that was;
    returns it.

    :raises OSError: nothing can be written there
    """
    left = list(paths)
    newest = time.localtime(max(path.lstat().st_mtime for path in left))
    run = folder.resolve()  # also where it is given as "."
    aside = new_folder(run.with_name(f"{run.name}_{time.strftime(STAMP, newest)}"))
    for path in left:
        path.rename(aside / path.name)
    return aside


@contextmanager
def for_report(out: Path, names: Sequence[str],
               same: Callable[[dict[str, Any]], bool] = lambda report: False) -> Iterator[None]:
    """Hold a command's folder alone; an earlier report there is moved aside, which is told.

    :param names: files of a report, as patterns; the first is the JSON file that makes it one
    :param same: whether that earlier one, given its JSON, is the same command's, which goes on
    :raises UserError: another process writes there, or the page there is not the command's
    :raises OSError: nothing can be written there
    """
    make_ready(out)
    with alone(out):
        report = out / names[0]
        left = [path for name in reversed(names) for path in out.glob(name)]
        if not report.is_file():
            if out / "index.html" in left:
                raise UserError(f"{out} holds a page of something else: name another folder with "
                                "--out.")
        elif not same(_read(report)):
            print(f"The earlier report is kept in {set_aside(out, left)}.", file=sys.stderr)
        yield


def _read(report: Path) -> dict[str, Any]:
    with suppress(ValueError):
        found = json.loads(report.read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


@contextmanager
def unfinished_part(folder: Path) -> Iterator[Path]:
    """The folder in ``folder`` for what is not whole yet, held alone and empty but for its lock;
    what is left in it at the end stays there until the next time.

    :raises UserError: another process writes there
    :raises OSError: nothing can be written there
    """
    part = folder / PART
    with alone(part, folder):
        for path in contents(part):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        try:
            yield part
        finally:
            if not contents(part):
                shutil.rmtree(part)
                with suppress(OSError):  # there is something else in it
                    folder.rmdir()


def contents(folder: Path) -> list[Path]:
    """What lies in a folder, in order, but for the lock; nothing where there is no folder."""
    return sorted(path for path in folder.iterdir() if path.name != LOCK) if (
        folder.is_dir()) else []
