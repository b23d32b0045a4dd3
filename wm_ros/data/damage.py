# SPDX-License-Identifier: Apache-2.0
"""Files of a data set that are not what they were."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pyarrow as pa

from wm_ros.errors import UserError

_DAMAGE = (OSError, ValueError, TypeError, LookupError, EOFError, pa.ArrowException,
           av.FFmpegError)
# a full disk or a missing permission says nothing of the file
_OTHERWISE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOMEM,
              errno.EMFILE}


@contextmanager
def whole_file(path: Path, advice: str = "copy the set again") -> Iterator[None]:
    """Turn what reading a missing or damaged file raises into one sentence.

    :raises UserError: it says so, and what to do
    """
    try:
        yield
    except _DAMAGE as error:
        if getattr(error, "errno", None) in _OTHERWISE:
            raise
        raise UserError(f"{path} of the data set is missing or damaged: {advice}.") from error
