# SPDX-License-Identifier: Apache-2.0
"""Observation encoder: pixels with their 3D points, pooled by queries into a few tokens.

Every scene pixel carries where its surface lies relative to the tool (from depth and the
known camera pose). Queries that know the words attend over the feature map, and besides
features each head returns the mean 3D point it looks at: a soft keypoint in metres. That is
what gives a small network the millimetres that grasping needs (cf. spatial softmax, Levine et
al. 2016; 3D attention, Ke et al. 2024). Where the tool will be at its next two grasps or releases
(key poses as in James & Davison 2022, Q-attention) a locator finds, trained before all else, so
that a few demonstrations suffice to find the thing that the words name.
"""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wm_ros.world_model.text import DIM as TEXT_DIM
from wm_ros.world_model.video.config import VideoConfig
from wm_ros.world_model.video.locator import KeyPoses, Locator
from wm_ros.world_model.video.parts import (
    POINT_SCALE,
    PROPRIO_DIM,
    FilmBlock,
    clip_points,
    fourier,
    grid,
)

AROUND = 0.03 / POINT_SCALE  # of a key pose, where its token looks


class Backbone(nn.Module):
    """(B, in, 96, 96) -> (B, conv, 24, 24) with context from 12 x 12; not ``fine``: only
    (B, 2 * conv, 12, 12)."""

    def __init__(self, inputs: int, channels: int, condition: int, fine: bool = True):
        super().__init__()
        c = channels
        self.stem = nn.Conv2d(inputs, c, 8, 4, padding=2)
        self.coarser = nn.Conv2d(c, 2 * c, 2, 2)
        self.coarse = nn.ModuleList([FilmBlock(2 * c, condition) for _ in range(2)])
        self.finer = nn.ConvTranspose2d(2 * c, c, 2, 2) if fine else None
        self.last = FilmBlock(c, condition) if fine else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.coarser(F.silu(x))
        for block in self.coarse:
            y = block(y, condition)
        if self.finer is None or self.last is None:
            return y
        return self.last(x + self.finer(y), condition)


class Resampler(nn.Module):
    """Queries attend over a map twice; returns (B, K, width) tokens with their mean points."""

    def __init__(self, channels: int, coordinates: int, queries: int, width: int, heads: int):
        super().__init__()
        self.heads, self.coordinates = heads, coordinates
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)
        inner = width // 2  # the maps are the costly part
        self.key = nn.ModuleList([nn.Linear(channels, inner) for _ in range(2)])
        self.value = nn.ModuleList([nn.Linear(channels, inner) for _ in range(2)])
        self.query = nn.ModuleList([nn.Linear(width, inner) for _ in range(2)])
        self.norm = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.out = nn.ModuleList([nn.Linear(inner + heads * coordinates * 13, width)
                                  for _ in range(2)])

    def forward(self, features: Tensor, points: Tensor, condition: Tensor) -> Tensor:
        """``features`` (B, N, C), ``points`` (B, N, D), ``condition`` (B, width)."""
        x = self.queries + condition[:, None]
        for key, value, query, norm, out in zip(self.key, self.value, self.query, self.norm,
                                                self.out, strict=True):
            q = query(norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, h, K, d)
            k = key(features).unflatten(-1, (self.heads, -1)).permute(0, 2, 3, 1)  # (B, h, d, N)
            weights = (q @ k / math.sqrt(q.shape[-1])).float().softmax(-1)  # (B, h, K, N)
            v = value(features).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            seen = (weights.to(v.dtype) @ v).transpose(1, 2).flatten(2)  # (B, K, width)
            # metres must survive bf16: the mean point is taken in float32
            with torch.autocast(features.device.type, enabled=False):
                where = (weights.flatten(1, 2) @ points.float()).unflatten(1, weights.shape[1:3])
                where = where.transpose(1, 2).flatten(2)  # (B, K, h * D)
                place = torch.cat([where, fourier(where)], -1)
            x = x + out(torch.cat([seen, place.to(seen.dtype)], -1))
        return x


class KeyPoseTokens(nn.Module):
    """One token a key pose: where it is, what is seen there, what the locator saw."""

    def __init__(self, channels: int, seen: int, width: int):
        super().__init__()
        self.out = nn.Linear(channels + 3 * 13, width)
        self.found = nn.Linear(seen, width)

    def forward(self, features: Tensor, poses: KeyPoses, cells: Tensor) -> Tensor:
        """``features`` (B, N, C) of ``cells`` (B, N, 3) -> (B, K, width)."""
        with torch.autocast(features.device.type, enabled=False):
            where = poses.refined.float()
            away = torch.cdist(where, cells.float()) / AROUND
            weights = (-0.5 * away.square()).softmax(-1)
            place = torch.cat([where, fourier(where)], -1)
        seen = weights.to(features.dtype) @ features
        return self.out(torch.cat([seen, place.to(seen.dtype)], -1)) + self.found(poses.seen)


class ObservationEncoder(nn.Module):
    """Images, points, proprioception and words -> context tokens (B, C, width), key poses."""

    def __init__(self, config: VideoConfig):
        super().__init__()
        w = config.width
        self.text = nn.Linear(TEXT_DIM, w)
        self.proprio = nn.Sequential(nn.Linear(PROPRIO_DIM, w), nn.SiLU(), nn.Linear(w, w))
        self.fingers = nn.Linear(1, w)
        self.scene = Backbone(6, config.conv, w)
        self.wrist = Backbone(3, config.wrist_conv, w, fine=False)
        self.scene_place = nn.Linear(3 * 12, config.conv)
        self.wrist_place = nn.Linear(2 * 12, 2 * config.wrist_conv)
        self.scene_pool = Resampler(config.conv, 3, config.scene_queries, w, config.heads)
        self.wrist_pool = Resampler(2 * config.wrist_conv, 2, config.wrist_queries, w,
                                    config.heads)
        self.locator = Locator(config.locator, config.image_size)
        self.key_poses = KeyPoseTokens(config.conv, self.locator.size, w)
        self.registers = nn.Parameter(torch.randn(config.registers, w) * 0.02)

    def forward(self, scene: Tensor, points: Tensor, wrist: Tensor, proprio: Tensor,
                text: Tensor) -> tuple[Tensor, KeyPoses]:
        """Encode one observation.

        :param scene: (B, 3, H, W) in [-1, 1];  ``wrist`` likewise
        :param points: (B, H, W, 3) m relative to the tool centre point, base axes
        :param proprio: (B, 19) from :func:`proprioception`
        :param text: (B, 384) sentence embedding
        """
        dtype = self.text.weight.dtype  # the weights may be bf16; points stay float32 till pooled
        words = self.text(text.to(dtype))
        condition = words + self.proprio(proprio.to(dtype))
        points = clip_points(points)
        x = torch.cat([scene, points / 2], 1).to(dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        # the words say what to look for, the fingers what comes next
        fine = self.scene(x, words + self.fingers(proprio[:, 9:10].to(dtype)))  # (B, c, 24, 24)
        cells = F.avg_pool2d(points, 4).flatten(2).transpose(1, 2)
        features = fine.flatten(2).transpose(1, 2)
        features = features + self.scene_place(fourier(cells).to(dtype))
        seen = self.scene_pool(features, cells, condition)
        poses = self.locator(scene, points, wrist, proprio, text)
        key = self.key_poses(features, poses, cells)
        near = self.wrist(wrist.to(dtype).contiguous(memory_format=torch.channels_last), words)
        places = grid(near)
        felt = self.wrist_pool(
            near.flatten(2).transpose(1, 2) + self.wrist_place(fourier(places).to(dtype)),
            places.expand(len(near), -1, -1), condition)
        free = self.registers.expand(len(words), -1, -1)
        return torch.cat([key, words[:, None], condition[:, None], seen, felt, free], 1), poses
