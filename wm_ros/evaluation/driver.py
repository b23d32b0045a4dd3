# SPDX-License-Identifier: Apache-2.0
"""A checkpoint at the wheel of an episode that an expert corrects, see ``wm collect --model``."""
from __future__ import annotations

from collections import deque

from wm_ros.evaluation.closed_loop import actions, to_observation
from wm_ros.evaluation.evaluate import load_once
from wm_ros.motion.chunks import Patience
from wm_ros.motion.pose import Pose
from wm_ros.sim.env import Obs
from wm_ros.world_model.interface import new_room


class ModelDriver:
    """One control step at a time as :func:`wm_ros.evaluation.closed_loop.run_episode` would.

    :param checkpoint: name or folder
    :param execute: poses followed a chunk
    """

    def __init__(self, checkpoint: str, execute: int = 3):
        self._model, self._execute = load_once(checkpoint), execute
        new_room(self._model)  # an episode does not hang on the ones before
        self._queue: deque[tuple[Pose, float]] = deque()
        self._patience = Patience()

    def take_over(self) -> None:
        """Forget what was planned while another one drove."""
        self._queue.clear()
        self._patience = Patience()

    def __call__(self, obs: Obs, instruction: str, width: float) -> tuple[Pose, float]:
        """The next pose and width; ``width`` is what the fingers were told last, m."""
        if not self._queue:
            chunks = self._model.act(self._model.observe(to_observation(obs)), instruction, 1)
            self._queue.extend(actions(chunks, 0, width, self._execute, self._patience))
        return self._queue.popleft()

