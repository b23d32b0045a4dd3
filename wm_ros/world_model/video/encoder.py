# SPDX-License-Identifier: Apache-2.0
"""Observation encoder: pixels with their 3D points, pooled by queries into a few tokens.

Every scene pixel carries where its surface lies relative to the tool (from depth and the
known camera pose). Queries that know the words attend over the feature map, and besides
features each head returns the mean 3D point it looks at: a soft keypoint in metres. That is
what gives a small network the millimetres that grasping needs (cf. spatial softmax, Levine et
al. 2016; 3D attention, Ke et al. 2024). Two of the points are supervised: where the tool will
be at its next two grasps or releases, as heat over the scene (key poses as in James & Davison
2022, Q-attention; heat maps as in Shridhar et al. 2022, PerAct), so that a few demonstrations
suffice to find the thing that the words name.
"""
from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wm_ros.world_model.text import DIM as TEXT_DIM
from wm_ros.world_model.video.config import VideoConfig

#: metres that map to about one unit of network input
POINT_SCALE = 0.25
PROPRIO_DIM = 3 + 6 + 1 + 6 + 3


class FilmBlock(nn.Module):
    """Residual 3x3 convolutions, scaled and shifted by the words."""

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels, elementwise_affine=False)
        self.film = nn.Linear(condition, 2 * channels)
        self.a = nn.Conv2d(channels, channels, 3, padding=1)
        self.b = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        nn.init.zeros_(self.b.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition)[:, None, None].chunk(2, -1)  # (B, 1, 1, C)
        h = self.norm(x.permute(0, 2, 3, 1)) * (1 + scale) + shift
        return x + self.b(F.silu(self.a(h.permute(0, 3, 1, 2))))


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


def fourier(points: Tensor, bands: int = 6) -> Tensor:
    """(..., D) -> (..., D * 2 * bands), wavelengths from 4 units down by halves."""
    angles = points[..., None] * (2.0 ** torch.arange(bands, device=points.device) * math.pi / 2)
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)


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


class KeyPoses(NamedTuple):
    """Where the tool will be at its next ``K`` grasps or releases, or when it has finished.

    :param heat: (B, K, N) logits over the scene's cells;  ``cells`` (B, N, 3) their points
    :param where: (B, K, 3) offset from the tool as the scene alone shows it;  ``refined`` the
        same with all that is seen and felt;  in POINT_SCALE units, base axes
    :param turn: (B, K, 2) sine and cosine of the turn about the vertical
    """

    heat: Tensor
    cells: Tensor
    where: Tensor
    turn: Tensor
    refined: Tensor


class KeyPoseHead(nn.Module):
    """One query a key pose looks at the scene; its point and what it saw become a token."""

    COUNT, INNER = 2, 64

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.query = nn.Sequential(nn.Linear(width, width), nn.SiLU(),
                                   nn.Linear(width, self.COUNT * self.INNER))
        self.key = nn.Linear(channels, self.INNER)
        self.offset = nn.Linear(channels, 3)  # a grasp lies beside the surface that is seen
        self.turn = nn.Linear(channels + width, 2)
        self.out = nn.Linear(channels + 3 * 13, width)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)

    def forward(self, features: Tensor, points: Tensor,
                condition: Tensor) -> tuple[Tensor, KeyPoses]:
        """``features`` (B, N, C), ``points`` (B, N, 3), ``condition`` (B, width) -> tokens
        (B, K, width) and the key poses."""
        q = self.query(condition).unflatten(-1, (self.COUNT, self.INNER))
        heat = (q @ self.key(features).transpose(1, 2)).float() / math.sqrt(self.INNER)
        weights = heat.softmax(-1)
        seen = weights.to(features.dtype) @ features  # (B, K, C)
        offset = weights.to(features.dtype) @ self.offset(features)
        with torch.autocast(features.device.type, enabled=False):
            where = weights @ points.float() + offset.float()
            place = torch.cat([where, fourier(where)], -1)
        turn = self.turn(torch.cat([seen, condition[:, None].expand(-1, self.COUNT, -1)], -1))
        tokens = self.out(torch.cat([seen, place.to(seen.dtype)], -1))
        return tokens, KeyPoses(heat, points, where, turn.float(), where)


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
        self.key_poses = KeyPoseHead(config.conv, w)
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
        # outliers behind the room would drown the centimetres that matter
        points = (points / POINT_SCALE).clamp(-6, 6)
        x = torch.cat([scene, points.permute(0, 3, 1, 2) / 2], 1).to(dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        # the words say what to look for, the fingers what comes next
        fine = self.scene(x, words + self.fingers(proprio[:, 9:10].to(dtype)))  # (B, c, 24, 24)
        cells = F.avg_pool2d(points.permute(0, 3, 1, 2), 4).flatten(2).transpose(1, 2)
        features = fine.flatten(2).transpose(1, 2)
        features = features + self.scene_place(fourier(cells).to(dtype))
        seen = self.scene_pool(features, cells, condition)
        key, poses = self.key_poses(features, cells, condition)
        near = self.wrist(wrist.to(dtype).contiguous(memory_format=torch.channels_last), words)
        grid = _grid(near)
        felt = self.wrist_pool(
            near.flatten(2).transpose(1, 2) + self.wrist_place(fourier(grid).to(dtype)),
            grid.expand(len(near), -1, -1), condition)
        free = self.registers.expand(len(words), -1, -1)
        return torch.cat([key, words[:, None], condition[:, None], seen, felt, free], 1), poses


def _grid(x: Tensor) -> Tensor:
    """(1, H * W, 2) image coordinates in [-1, 1]."""
    v = torch.linspace(-1, 1, x.shape[2], device=x.device)
    u = torch.linspace(-1, 1, x.shape[3], device=x.device)
    return torch.stack(torch.meshgrid(v, u, indexing="ij"), -1).reshape(1, -1, 2)


def proprioception(position: Tensor, rotation: Tensor, gripper: Tensor, wrench: Tensor) -> Tensor:
    """Tool pose (B, 3) m and (B, 3, 3), width (B,) m, wrench (B, 6) -> (B, 19) of unit order."""
    return torch.cat([
        (position - position.new_tensor([0.5, 0.0, 0.2])) / POINT_SCALE,
        rotation[..., :2].flatten(1), gripper[:, None] / 0.04 - 1,
        torch.tanh(wrench / wrench.new_tensor([20.0, 20.0, 20.0, 2.0, 2.0, 2.0])),
        fourier(gripper[:, None] / 0.04, 2)[:, :3],
    ], 1)
