# SPDX-License-Identifier: Apache-2.0
"""The next latent from a short history of latents and the actions in between.

A causal transformer whose every layer is modulated by the action of its own step (AdaLN; Peebles
& Xie 2023). A search calls this network 15,000 times a plan, so what can be shared is: one
modulation for all layers but an offset (AdaLN-single, PixArt-alpha, arXiv 2310.00426), attention
and feed-forward part side by side on one norm (parallel layers; ViT-22B, arXiv 2302.05442).
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from wm_ros.world_model.jepa.actions import STEP_DIM
from wm_ros.world_model.jepa.config import JepaConfig

#: per layer, keys and values (B, h, S, d) of at most ``context - 1`` past steps
Memory = list[tuple[Tensor, Tensor]]


class Layer(nn.Module):
    """Attention over the last ``context`` steps beside a feed-forward part."""

    def __init__(self, config: JepaConfig):
        super().__init__()
        w = config.width
        self.heads, self.context, self.width = config.heads, config.context, w
        self.norm = nn.LayerNorm(w, elementwise_affine=False)
        self.enter = nn.Linear(w, (3 + config.expansion) * w)
        self.leave = nn.Linear((1 + config.expansion) * w, w)
        self.age = nn.Parameter(torch.zeros(config.heads, config.context))  # bias by age in steps

    def forward(self, x: Tensor, modulation: Tensor,
                past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(B, T, w) after ``past`` steps -> (B, T, w), and what the next call has to know."""
        shift, scale, gate = modulation.chunk(3, -1)
        h = self.enter(torch.addcmul(shift, self.norm(x), scale))
        q, k, v = h[..., :3 * self.width].unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        logits = q @ k.transpose(-1, -2) * q.shape[-1]**-0.5 + self._bias(q.shape[2], k.shape[2])
        seen = (logits.softmax(-1) @ v).transpose(1, 2).flatten(2)
        out = self.leave(torch.cat([seen, h[..., 3 * self.width:].relu()], -1))
        keep = max(0, k.shape[2] - self.context + 1)
        return torch.addcmul(x, gate, out), (k[:, :, keep:], v[:, :, keep:])

    def _bias(self, queries: int, keys: int) -> Tensor:
        """(h, Q, K): learnt for ages 0..context-1, minus infinity before and after."""
        if queries == 1:  # in a search: the memory holds no step that is too old
            return self.age[:, None, :keys].flip(-1)
        at = torch.arange(keys - queries, keys, device=self.age.device)[:, None]
        age = at - torch.arange(keys, device=self.age.device)
        inside = (age >= 0) & (age < self.context)
        bias = self.age[:, age.clamp(0, self.context - 1)]
        return bias.masked_fill(~inside, float("-inf"))


class Predictor(nn.Module):
    """(latents, action blocks) -> latents one block later."""

    def __init__(self, config: JepaConfig):
        super().__init__()
        w = config.width
        self.enter = nn.Linear(config.latent, w)
        self.action = nn.Sequential(nn.Linear(config.block * STEP_DIM, w), nn.SiLU(),
                                    nn.Linear(w, w), nn.SiLU(), nn.Linear(w, 3 * w))
        # each layer's own shift, scale and gate; gates start a little open, so that actions count
        own = torch.tensor([0.0, 1.0, 0.3]).repeat_interleave(w)
        self.own = nn.Parameter(own.repeat(config.depth, 1))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(w)
        self.leave = nn.Linear(w, config.latent)
        nn.init.normal_(self.leave.weight, std=0.002)

    def modulate(self, actions: Tensor) -> Tensor:
        """(B, T, block * 5) -> (layers, B, T, 3 w): shift, scale and gate of every layer."""
        return self.action(actions) + self.own[:, None, None]

    def forward(self, z: Tensor, modulation: Tensor,
                memory: Memory | None = None) -> tuple[Tensor, Memory]:
        """Predict.

        :param z: (B, T, D) latents;  ``modulation`` (layers, B, T, 3 w) by what is done from
            each on
        :param memory: of the steps before, as returned for them
        :returns: (B, T, D), entry t being one block after ``z[:, t]``; and the memory
        """
        x, after = self.enter(z), []
        for i, layer in enumerate(self.layers):
            x, kept = layer(x, modulation[i], None if memory is None else memory[i])
            after.append(kept)
        return z + self.leave(self.norm(x)), after


def roll(predictor: Predictor, z: Tensor, actions: Tensor, memory: Memory | None = None) -> Tensor:
    """Open loop: (B, D) and blocks (B, K, block * 5) -> (B, K, D)."""
    out, modulation = [], predictor.modulate(actions)
    for k in range(actions.shape[1]):
        predicted, memory = predictor(z[:, None], modulation[:, :, k:k + 1], memory)
        z = predicted[:, 0]
        out.append(z)
    return torch.stack(out, 1)
