# SPDX-License-Identifier: Apache-2.0
"""rclpy's action client, made safe for calls from other threads than the executor's."""
from __future__ import annotations

import threading
from typing import Any

from rclpy.action import ActionClient as RclpyActionClient


class ActionClient(RclpyActionClient):
    """Drop-in replacement.

    rclpy sends a request first and notes its number afterwards. On a busy machine the executor's
    thread sees the answer in between, drops it as unexpected, and the caller waits for ever.
    Its service clients hold a lock for this; its action clients (7.1, 9.1) do not.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._answer_lock = threading.RLock()
        super().__init__(*args, **kwargs)

    def send_goal_async(self, *args: Any, **kwargs: Any) -> Any:
        """See rclpy."""
        with self._answer_lock:
            return super().send_goal_async(*args, **kwargs)

    def _cancel_goal_async(self, *args: Any, **kwargs: Any) -> Any:
        with self._answer_lock:
            return super()._cancel_goal_async(*args, **kwargs)

    def _get_result_async(self, *args: Any, **kwargs: Any) -> Any:
        with self._answer_lock:
            return super()._get_result_async(*args, **kwargs)

    async def execute(self, taken_data: Any) -> None:
        """See rclpy."""
        with self._answer_lock:
            await super().execute(taken_data)
