# SPDX-License-Identifier: Apache-2.0
"""Errors that a user can cause."""
from __future__ import annotations


class UserError(Exception):
    """Something the user can put right; the message is one sentence that says how.

    The command line prints the message without a traceback and exits with status 2.
    """
