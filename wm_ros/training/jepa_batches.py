# SPDX-License-Identifier: Apache-2.0
"""Batches for the jepa family: short sequences of frames, one action block apart."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wm_ros.data.cache import EpisodeCache
from wm_ros.training.batches import GRIPPER, POSITION, QUATERNION
from wm_ros.world_model.jepa import actions as coding
from wm_ros.world_model.jepa.config import JepaConfig
from wm_ros.world_model.jepa.encoder import prepare


class Sequences(NamedTuple):
    """B sequences of T frames.

    :param scene: (B * T, 3, S, S) in [-1, 1];  ``wrist`` (B * T, 3, S/2, S/2)
    :param actions: (B, T - 1, block * 5) what was done between two frames
    :param hand: (B, T, 5) how the hand then stood, see :func:`coding.hand`
    :param valid: (B, T - 1) 0 where the episode had ended
    """

    scene: Tensor
    wrist: Tensor
    actions: Tensor
    hand: Tensor
    valid: Tensor


class SequenceSampler:
    """Draws sequences, each of another episode.

    All moments of an episode share room and colours. A batch of few episodes and many moments
    each makes a latent that tells only rooms apart fail SIGReg: what changes must be in it.

    :param rows: rows that may be drawn (whole episodes)
    :param recolour: strength of the colour augmentation, drawn anew for every *frame*: what the
        light does can then neither be predicted nor pay for being encoded
    """

    def __init__(self, cache: EpisodeCache, rows: np.ndarray, config: JepaConfig, length: int,
                 seed: int, recolour: float = 1.0):
        self.cache, self.config, self.length, self.recolour = cache, config, length, recolour
        self.random = np.random.default_rng(seed)
        self.torch_random = torch.Generator().manual_seed(seed)
        self.episodes = np.unique(cache.episode_index[rows])

    def draw(self, n: int) -> np.ndarray:
        """(n,) first rows, each of another episode where there are enough."""
        start = self.cache.episode_start
        chosen = self.random.choice(self.episodes, n, replace=n > len(self.episodes))
        span = (self.length - 1) * self.config.block
        slack = np.maximum(start[chosen + 1] - start[chosen] - span, 1)
        return np.asarray(start[chosen] + self.random.integers(slack))

    def batch(self, first: np.ndarray) -> Sequences:
        """Assemble the sequences that start at rows ``first`` (B,)."""
        block = self.config.block
        frames = self.cache.future(first, block * np.arange(self.length))  # (B, T)
        ended = self.cache.is_padded(first, block * np.arange(1, self.length))
        state = _tensor(self.cache.state[frames])
        hand = coding.hand(state[..., POSITION], state[..., QUATERNION], state[..., GRIPPER])
        return Sequences(*self.images(frames.reshape(-1)), self.actions(first), hand,
                         torch.from_numpy(~ended).float())

    def images(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Scene and wrist images of ``rows`` (N,), as the encoder takes them."""
        scene, wrist = prepare(torch.from_numpy(self.cache.scene[rows]),
                               torch.from_numpy(self.cache.wrist[rows]))
        if self.recolour:
            scene, wrist = self._recolour(scene), self._recolour(wrist)
        return scene, wrist

    def actions(self, first: np.ndarray) -> Tensor:
        """(B, T - 1, block * 5): what was commanded or, in every second sequence, what the hand
        then did. Plans are made of commands; what is watched is read off the hand."""
        n, block = self.length - 1, self.config.block
        steps = self.cache.future(first, np.arange(n * block + 1))  # (B, n block + 1)
        state = _tensor(self.cache.state[steps])
        command = _tensor(self.cache.executed[steps[:, :-1]])
        position, yaw = state[..., POSITION], coding.yaw_of(state[..., QUATERNION])
        width = state[..., GRIPPER]
        seen = torch.from_numpy(self.random.random(len(first)) < 0.5)[:, None]
        to_position = torch.where(seen[..., None], position[:, 1:], command[..., :3])
        to_yaw = torch.where(seen, yaw[:, 1:], coding.yaw_of(command[..., 3:7]))
        to_width = torch.where(seen, width[:, 1:], command[..., 7])
        return coding.encode(to_position.unflatten(1, (n, block)), to_yaw.unflatten(1, (n, block)),
                             to_width.unflatten(1, (n, block)), position[:, :-1:block],
                             yaw[:, :-1:block])

    def _recolour(self, images: Tensor) -> Tensor:
        """Another light and other paint in each image (N, 3, H, W): colours are mixed and bent,
        a gradient of brightness laid over; edges stay where they are."""
        n, s, draw = len(images), self.recolour, self.torch_random

        def normal(*shape: int) -> Tensor:
            return torch.randn(n, *shape, generator=draw)

        mix = torch.eye(3) * (1 + 0.2 * s * normal(1, 1)) + 0.12 * s * normal(3, 3)
        x = torch.baddbmm(0.12 * s * normal(3, 1), mix, images.flatten(2))  # (N, 3, H W)
        bend = torch.addcmul(3 * normal(3, 1), x, 1 + 2 * torch.rand(n, 3, 1, generator=draw))
        x.addcmul_(0.15 * s * normal(3, 1), bend.sin_())
        ramp = torch.linspace(-1, 1, images.shape[-1])
        light = 1 + 0.15 * s * (normal(1, 1) * ramp + normal(1, 1) * ramp[:, None])
        return x.view(images.shape).mul_(light[:, None]).clamp_(-1.5, 1.5)


def _tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
