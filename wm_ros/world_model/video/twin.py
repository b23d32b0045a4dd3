# SPDX-License-Identifier: Apache-2.0
"""The action-only twin: same encoder, same action expert, never trained on what will be seen."""
from __future__ import annotations

from typing import NoReturn

import numpy as np
import torch

from wm_ros.errors import UserError
from wm_ros.world_model.checks import check_chunks
from wm_ros.world_model.interface import ActionChunks, Imagination, Observation, State
from wm_ros.world_model.video.model import VideoWorldModel

NO_FRAMES = ("The action-only twin imagines nothing: load a checkpoint of family video to "
             "generate, dream or read actions off frames.")


class ActionOnlyTwin(VideoWorldModel):
    """The yardstick of the video family. It acts; what it would see it does not know.

    :meth:`imagine` gives its value of each chunk and the present frame in place of a future;
    :meth:`surprise` and :meth:`doubt` are 0; the modes that need frames are refused.
    """

    @torch.inference_mode()
    def imagine(self, state: State, chunks: ActionChunks, instruction: str,
                render: bool = True) -> Imagination:
        """Value of each chunk; the frames are copies of the present one."""
        check_chunks(chunks, self.config.horizon, self.spec.dt)
        context, words = self._context(state, instruction, task_free=True)
        o, n, frames = state.observation, len(chunks), len(self.config.frame_steps)
        success, progress = self._outcome(o, context.repeat(n), words.expand(n, -1),
                                          self._encode(o, chunks))
        latents = np.repeat(self._present(o).cpu().numpy()[:, None], n, 0).repeat(frames, 1)
        imagined = Imagination(None, self._times(), latents, success, progress,
                               chunks.uncertainty)
        if render:
            shape = (n, frames, *o.scene_rgb.shape)
            imagined.frames = np.broadcast_to(o.scene_rgb, shape).copy()
        return imagined

    def doubt(self, state: State, chunks: ActionChunks, imagined: Imagination,
              instruction: str) -> np.ndarray:
        """0: it never learnt what follows from what."""
        return np.zeros(len(chunks))

    def surprise(self, state: State, observation: Observation) -> float:
        """0: nothing was foreseen."""
        return 0.0

    def generate(self, state: State, instruction: str, n: int = 1) -> NoReturn:
        """Refused. :raises UserError: always"""
        raise UserError(NO_FRAMES)

    def infer_actions(self, state: State, latents: np.ndarray, instruction: str) -> NoReturn:
        """Refused. :raises UserError: always"""
        raise UserError(NO_FRAMES)

    def dream(self, state: State, instruction: str, n: int = 1) -> NoReturn:
        """Refused. :raises UserError: always"""
        raise UserError(NO_FRAMES)
