# SPDX-License-Identifier: Apache-2.0
"""How the goal of an action ends."""
from __future__ import annotations

from rclpy.action.server import ServerGoalHandle


def end(handle: ServerGoalHandle, success: bool) -> None:
    """Tell the client, as MoveIt does: succeeded, even if a cancel came too late, else cancelled,
    where that was asked for."""
    if success:
        handle.succeed()
    elif handle.is_cancel_requested:
        handle.canceled()
    else:
        handle.abort()
