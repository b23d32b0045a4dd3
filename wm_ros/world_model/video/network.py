# SPDX-License-Identifier: Apache-2.0
"""The network of the video family: encoder, transformer, heads, and the flow between them."""
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wm_ros.world_model.text import DIM as TEXT_DIM
from wm_ros.world_model.video.config import VideoConfig
from wm_ros.world_model.video.encoder import ObservationEncoder
from wm_ros.world_model.video.locator import KeyPoses
from wm_ros.world_model.video.transformer import Block, KeyValue, NoiseLevel
from wm_ros.world_model.video.way import VIEW_DIM, WAY_DIM, cell_view

PICTURES = ("level_video", "video_in", "video_place", "video_out", "view")  # frames alone use
ACTION_DIM = 7  # position offset 3 m, rotation vector 3 rad, gripper width; all normalised


class Context(NamedTuple):
    """An encoded observation: each block's memory, and what is read off it at once.

    :param key_poses: where the tool will be at its next grasps or releases
    :param now: (B, 2) logit that the task is done already, progress so far
    """

    memory: list[KeyValue]
    key_poses: KeyPoses
    now: Tensor

    def repeat(self, n: int) -> Context:
        """Each row ``n`` times in a row: one observation, many candidates."""
        return self._replace(memory=[(k.repeat_interleave(n, 0), v.repeat_interleave(n, 0))
                                     for k, v in self.memory])

    def first(self, n: int) -> Context:
        """Its first ``n`` rows."""
        return self._replace(memory=[(k[:n], v[:n]) for k, v in self.memory])


class Prediction(NamedTuple):
    """Flow velocities of action (B, H, 7) and video (B, F * T, C), and the value head (B, 2).

    The value head gives (success logit, progress at the end of the chunk).
    """

    action: Tensor
    video: Tensor | None
    value: Tensor


class VideoNetwork(nn.Module):
    """Rectified flow over actions and future frames, with independent noise levels."""

    def __init__(self, config: VideoConfig):
        super().__init__()
        self.config = config
        w, frames = config.width, len(config.frame_steps)
        self.encoder = ObservationEncoder(config)
        self.blocks = nn.ModuleList([Block(w, config.heads, config.expansion)
                                     for _ in range(config.depth)])
        self.level_action, self.level_video = NoiseLevel(w), NoiseLevel(w)
        self.words = nn.Linear(TEXT_DIM, w)
        self.action_in = nn.Linear(ACTION_DIM, w)
        self.action_place = nn.Parameter(torch.randn(config.horizon, w) * 0.02)
        self.video_in = nn.Linear(2 * config.latent_channels, w)
        self.view = nn.Sequential(nn.Linear(VIEW_DIM, w), nn.SiLU(), nn.Linear(w, w))
        self.video_place = nn.Parameter(torch.randn(frames, config.latent_tokens, w) * 0.02)
        self.action_out = nn.Sequential(nn.LayerNorm(w), nn.Linear(w, ACTION_DIM))
        self.video_out = nn.Sequential(nn.LayerNorm(w), nn.Linear(w, config.latent_channels))
        self.value = nn.Sequential(nn.LayerNorm(w), nn.Linear(w, w), nn.SiLU(), nn.Linear(w, 2))
        self.now = nn.Sequential(nn.LayerNorm(w), nn.Linear(w, w), nn.SiLU(), nn.Linear(w, 2))

    def video_expert(self) -> Iterator[nn.Parameter]:
        """What frames alone pass through: without frames in sight nothing hangs on it."""
        for name, parameter in self.named_parameters():
            if name.split(".")[0] in PICTURES or ".video." in name:
                yield parameter

    def observe(self, scene: Tensor, points: Tensor, wrist: Tensor, proprio: Tensor,
                text: Tensor) -> Context:
        """Encode (B) observations once; see :class:`ObservationEncoder` for the shapes."""
        x, key_poses = self.encoder(scene, points, wrist, proprio, text)
        memory = []
        for block in self.blocks:
            assert isinstance(block, Block)
            x, kept = block.remember(x)
            memory.append(kept)
        return Context(memory, key_poses, self.now(x.mean(1)))

    def forward(self, context: Context, text: Tensor, action: Tensor, action_level: Tensor,
                video: Tensor | None = None, video_level: Tensor | None = None,
                present: Tensor | None = None, way: Tensor | None = None) -> Prediction:
        """Predict flow velocities.

        :param text: (B, 384);  ``action`` (B, H, 7) at noise ``action_level`` (B,)
        :param video: (B, F, T, C) at noise ``video_level`` (B,), or None: not rendered
        :param present: (B, T, C) latents of the present frame, needed with ``video``
        :param way: (B, F, WAY_DIM) where given actions take the tool, see :func:`tool_way`
        """
        words = self.words(text)
        a = self.action_in(action) + self.action_place
        la = self.level_action(action_level) + words
        v = lv = None
        if video is not None:
            assert video_level is not None and present is not None
            frames = torch.cat([video, present[:, None].expand_as(video)], -1)
            if way is None:
                way = video.new_zeros(*video.shape[:2], WAY_DIM)
            seen = self.view(cell_view(way, self.config.latent_side).to(frames.dtype))
            v = (self.video_in(frames) + self.video_place + seen).flatten(1, 2)
            lv = self.level_video(video_level) + words
        for block, memory in zip(self.blocks, context.memory, strict=True):
            a, v = block(memory, a, la, v, lv)
        flow = None if v is None or video is None else self.video_out(v).view(video.shape)
        return Prediction(self.action_out(a), flow, self.value(a.mean(1)))
