# SPDX-License-Identifier: Apache-2.0
"""How the goal of an action ends."""
from __future__ import annotations

from rclpy.action.server import ServerGoalHandle


def end(handle: ServerGoalHandle, success: bool) -> None:
    """Tell the client: cancelled, where that was asked for, else whether it succeeded."""
    if handle.is_cancel_requested:
        handle.canceled()
    elif success:
        handle.succeed()
    else:
        handle.abort()
