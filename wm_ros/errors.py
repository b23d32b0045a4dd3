# SPDX-License-Identifier: Apache-2.0
"""Errors that a user can cause."""
from __future__ import annotations

import errno

# a file or folder that the user named is not theirs to use, or not what it should be
UNUSABLE = (PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError)


class UserError(Exception):
    """Something the user can put right; the message is one sentence that says how.

    The command line prints the message without a traceback and exits with status 2.
    """


def said(error: Exception) -> str:
    """What an error in a file's content says of it, for people."""
    return f"it lacks the entry {error}" if isinstance(error, KeyError) else str(error)


def explain(error: BaseException) -> tuple[str, int] | None:
    """One sentence and an exit status for errors that are not the program's own, else None."""
    if isinstance(error, UserError):
        return str(error), 2
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "Stopped.", 130
    if isinstance(error, ModuleNotFoundError):
        return (f"The Python module {error.name} is missing; run `make setup`, or beside a ROS "
                "installation what the README names, to install everything that wm_ros needs.", 2)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" ({error.filename})" if error.filename else ""
        return f"The disk is full{where}; free some space and run the command again.", 2
    if isinstance(error, OSError) and error.filename is not None and (
            isinstance(error, UNUSABLE) or error.errno == errno.EROFS):
        return (f"{error.filename} cannot be used ({error.strerror}): name another place, or put "
                "that right.", 2)
    return None
