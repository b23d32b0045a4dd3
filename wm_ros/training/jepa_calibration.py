# SPDX-License-Identifier: Apache-2.0
"""What a trained jepa model gets wrong in episodes that it was not trained on."""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wm_ros.data.cache import EpisodeCache
from wm_ros.training.jepa_batches import SequenceSampler
from wm_ros.world_model.jepa.config import JepaConfig
from wm_ros.world_model.jepa.encoder import Encoder
from wm_ros.world_model.jepa.predictor import Predictor, roll
from wm_ros.world_model.jepa.surprise import Calibration

SHARE = 0.95  # of normal episodes stay under the limit
REPEATS = 2  # recolourings of every held-out frame, so that colours do not surprise


@torch.inference_mode()
def calibrate(encoder: Encoder, predictor: Predictor, config: JepaConfig, cache: EpisodeCache,
              rows: np.ndarray, device: torch.device, most: int = 120
              ) -> tuple[Calibration, dict[str, float]]:
    """Whitening and limit of the surprise, and open-loop scores, of what is normal: episodes
    that were spoiled on purpose are left out where there are others.

    ``predicted``: mean squared error of the next latent; ``copied``: of taking the present one
    for it; ``predicted_far`` and ``copied_far``: at the end of a plan; ``std``: of the latents
    (1 is what SIGReg asks for).
    """
    normal = rows[~cache.failure[rows]]
    rows = normal if len(normal) else rows
    episodes = np.unique(cache.episode_index[rows])  # they lie task by task
    episodes = episodes[np.linspace(0, len(episodes) - 1, min(most, len(episodes))).astype(int)]
    sampler = SequenceSampler(cache, rows, config, 2, 0)
    errors = torch.cat([_errors(encoder, predictor, sampler, np.array([e]), config, device)
                        for e in episodes for _ in range(REPEATS)])
    scale = Calibration.fit(errors)
    sampler.recolour = 0.0
    worst, sums, latents = [], [], []
    for episode in episodes:
        z, actions = _encode(encoder, sampler, episode, config, device)
        if not len(actions):
            continue
        error = roll(predictor, z[:len(actions)], actions[:, None])[:, 0] - z[config.block:]
        worst.append(float(scale.distance(error.cpu()).max()))
        sums.append([float(error.square().mean()),
                     float((z[config.block:] - z[:-config.block]).square().mean()),
                     *_far(predictor, z, actions, config)])
        latents.append(z.cpu())
    scale.limit = float(np.quantile(worst, SHARE))
    names = ("predicted", "copied", "predicted_far", "copied_far")
    mean = np.nanmean(np.array(sums), 0) if sums else np.full(4, np.nan)
    return scale, {**dict(zip(names, mean.tolist(), strict=True)),
                   "std": float(torch.cat(latents).std(0).mean()), "episodes": len(worst)}


def _encode(encoder: Encoder, sampler: SequenceSampler, episode: int, config: JepaConfig,
            device: torch.device) -> tuple[Tensor, Tensor]:
    """Latents (T, D) of all rows of an episode, and the blocks (T - block, K) from each on."""
    start, end = sampler.cache.episode_start[episode:episode + 2]
    rows = np.arange(start, max(start, end - config.block))
    every = np.arange(start, end)
    z = torch.cat([encoder(*(x.to(device) for x in sampler.images(every[i:i + 128])))
                   for i in range(0, len(every), 128)])
    if not len(rows):
        return z, torch.zeros(0)
    return z, sampler.actions(rows)[:, 0].to(device)


def _errors(encoder: Encoder, predictor: Predictor, sampler: SequenceSampler,
            episode: np.ndarray, config: JepaConfig, device: torch.device) -> Tensor:
    z, actions = _encode(encoder, sampler, int(episode[0]), config, device)
    if not len(actions):
        return torch.zeros(0, config.latent)
    predicted = roll(predictor, z[:len(actions)], actions[:, None])[:, 0]
    return (predicted - z[config.block:]).cpu()


def _far(predictor: Predictor, z: Tensor, actions: Tensor,
         config: JepaConfig) -> tuple[float, float]:
    """Squared error after a whole plan, predicted and copied; NaN in a short episode."""
    last = len(z) - config.horizon
    if last <= 0:
        return float("nan"), float("nan")
    start = torch.arange(last, device=z.device)
    blocks = actions[start[:, None] + config.block * torch.arange(config.blocks,
                                                                  device=z.device)]
    error = roll(predictor, z[:last], blocks)[:, -1] - z[config.horizon:]
    return (float(error.square().mean()),
            float((z[config.horizon:] - z[:last]).square().mean()))
