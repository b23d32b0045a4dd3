# SPDX-License-Identifier: Apache-2.0
"""Diffusion transformer with three experts that share one attention (Motus, 2512.13030).

Context tokens (the observation) see only context, so their keys and values are computed once
an observation and reused for every candidate and sampler step. Action and video tokens see the
context and each other; each has its own feed-forward part and its own noise level (AdaLN).
"""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KeyValue = tuple[Tensor, Tensor]


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention (B, heads, T, d); for tens of tokens plain products beat the fused
    kernel's backward pass on a CPU by far."""
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1).to(v.dtype) @ v


class Expert(nn.Module):
    """Projections, feed-forward and modulation of one kind of token in one block."""

    def __init__(self, width: int, heads: int, expansion: int, modulated: bool):
        super().__init__()
        self.heads = heads
        self.norm_a = nn.LayerNorm(width, elementwise_affine=not modulated)
        self.norm_b = nn.LayerNorm(width, elementwise_affine=not modulated)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        self.modulation = nn.Linear(width, 6 * width) if modulated else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def modulate(self, level: Tensor | None) -> tuple[Tensor, ...] | None:
        """Noise level embedding (B, width) -> six (B, 1, width) shifts, scales and gates."""
        if self.modulation is None or level is None:
            return None
        return self.modulation(F.silu(level))[:, None].chunk(6, -1)

    def attend_in(self, x: Tensor, m: tuple[Tensor, ...] | None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, width) -> queries, keys, values (B, heads, T, d)."""
        h = self.norm_a(x)
        if m is not None:
            h = h * (1 + m[1]) + m[0]
        q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def attend_out(self, x: Tensor, seen: Tensor, m: tuple[Tensor, ...] | None) -> Tensor:
        """Add what attention returned (B, heads, T, d), then the feed-forward part."""
        y = self.project(seen.transpose(1, 2).flatten(2))
        x = x + (y if m is None else y * (1 + m[2]))
        h = self.norm_b(x)
        if m is not None:
            h = h * (1 + m[4]) + m[3]
        y = self.down(F.gelu(self.up(h), approximate="tanh"))
        return x + (y if m is None else y * (1 + m[5]))


class Block(nn.Module):
    """One layer of the three experts."""

    def __init__(self, width: int, heads: int, expansion: int):
        super().__init__()
        self.context = Expert(width, heads, expansion, modulated=False)
        self.action = Expert(width, heads, expansion, modulated=True)
        self.video = Expert(width, heads, expansion, modulated=True)

    def remember(self, x: Tensor) -> tuple[Tensor, KeyValue]:
        """Run the context tokens; returns them with their keys and values."""
        q, k, v = self.context.attend_in(x, None)
        seen = attention(q, k, v)
        return self.context.attend_out(x, seen, None), (k, v)

    def forward(self, memory: KeyValue, action: Tensor, action_level: Tensor,
                video: Tensor | None, video_level: Tensor | None) -> tuple[Tensor, Tensor | None]:
        ma = self.action.modulate(action_level)
        q, k, v = self.action.attend_in(action, ma)
        keys, values = [memory[0], k], [memory[1], v]
        if video is not None:
            mv = self.video.modulate(video_level)
            qv, kv, vv = self.video.attend_in(video, mv)
            q, keys, values = torch.cat([q, qv], 2), [*keys, kv], [*values, vv]
        seen = attention(q, torch.cat(keys, 2), torch.cat(values, 2))
        steps = action.shape[1]
        action = self.action.attend_out(action, seen[:, :, :steps], ma)
        if video is not None:
            video = self.video.attend_out(video, seen[:, :, steps:], mv)
        return action, video


class NoiseLevel(nn.Module):
    """Noise level (B,) in [0, 1] -> (B, width)."""

    def __init__(self, width: int, bands: int = 64):
        super().__init__()
        self.bands = bands
        self.mlp = nn.Sequential(nn.Linear(2 * bands, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, level: Tensor) -> Tensor:
        # no buffer: bfloat16 would round the frequencies by up to 0.4
        frequency = torch.exp(torch.linspace(0, math.log(200.0), self.bands, device=level.device))
        angles = level[:, None].float() * frequency
        waves = torch.cat([angles.sin(), angles.cos()], -1)
        return self.mlp(waves.to(next(self.mlp.parameters()).dtype))
