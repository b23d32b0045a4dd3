# SPDX-License-Identifier: Apache-2.0
"""Trains the image tokeniser and encodes a whole cache with it."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from wm_ros.data.cache import EpisodeCache
from wm_ros.files import remove_left
from wm_ros.training import ahead, parallel
from wm_ros.training.precision import autocast
from wm_ros.world_model.checkpoint import save_tensors
from wm_ros.world_model.video.tokeniser import Tokeniser, to_uint8, to_unit


def train(tokeniser: Tokeniser, cache: EpisodeCache, rows: np.ndarray, steps: int, batch: int,
          seed: int, device: torch.device, report: Callable[[int, float], None]) -> None:
    """Fit to scene images of ``rows``; sets the latents' mean and deviation at the end."""
    random = np.random.default_rng((seed, parallel.rank()))
    batch = parallel.share(batch)
    sample = np.sort(np.random.default_rng(seed).choice(rows, min(len(rows), 512), replace=False))
    tokeniser.fit_linear(to_unit(torch.from_numpy(cache.scene[sample]).to(device)))
    parallel.alike(tokeniser)
    optimizer = torch.optim.AdamW(tokeniser.parameters(), 2e-3, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min(1.0, (n + 1) / 50) * (1 - n / (steps + 1)))

    def make() -> torch.Tensor:
        return torch.from_numpy(cache.scene[np.sort(random.choice(rows, batch))])

    for step, picked in enumerate(ahead.batches(make, steps, device)):
        images = to_unit(picked.to(device, non_blocking=True))
        with autocast(device):
            loss = tokeniser.loss(images)
        loss.backward()
        parallel.descend(tokeniser, optimizer)
        schedule.step()
        report(step + 1, float(loss.detach()))
    with torch.no_grad():
        z = tokeniser.raw_latents(to_unit(torch.from_numpy(cache.scene[sample]).to(device)))
        tokeniser.mean.copy_(z.mean((0, 2, 3)))
        tokeniser.std.copy_(z.std((0, 2, 3)).clamp_min(1e-3))


@torch.inference_mode()
def encode_all(tokeniser: Tokeniser, cache: EpisodeCache, path: Path, device: torch.device,
               report: Callable[[int], None]) -> None:
    """Write (N, T, C) float16 latents of every scene image to ``path``, whole or not at all."""
    config_tokens, channels = tokeniser.side**2, len(tokeniser.mean)
    partial = path.with_suffix(f".{os.getpid()}.partial")  # others may share the cache
    remove_left(path.parent, f"{path.stem}.{{}}.partial")
    shape = (len(cache), config_tokens, channels)
    try:
        out = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
        with open(partial, "r+b") as file:  # a full disk shows now, not as a crash later
            os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)
        for start in range(0, len(cache), 128):
            images = torch.from_numpy(np.array(cache.scene[start:start + 128])).to(device)
            with autocast(device):
                z = tokeniser.encode(to_unit(images))
            out[start:start + len(images)] = z.float().cpu().numpy()
            report(start + len(images))
        out.flush()
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


@torch.inference_mode()
def psnr(tokeniser: Tokeniser, cache: EpisodeCache, rows: np.ndarray,
         device: torch.device) -> float:
    """Peak signal to noise ratio of reconstructions, dB (8 bit)."""
    images = torch.from_numpy(cache.scene[np.sort(rows)]).to(device)
    again = to_uint8(tokeniser.decode(tokeniser.encode(to_unit(images))))
    return float(-10 * np.log10(((again.float() - images.float()) / 255).square().mean().item()))


def save(tokeniser: Tokeniser, folder: Path) -> None:
    """Write ``tokeniser.safetensors``."""
    save_tensors(dict(tokeniser.state_dict()), folder / "tokeniser.safetensors", torch.float16)
