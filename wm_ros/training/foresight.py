# SPDX-License-Identifier: Apache-2.0
"""The frames' expert learns alone, all that acts held still: predicting takes more samples than
acting, and what acts must not suffer for it."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wm_ros.training import parallel
from wm_ros.training.batches import Sampler, move
from wm_ros.training.config import TrainingConfig
from wm_ros.training.loop import optimise
from wm_ros.training.losses import foresight_losses
from wm_ros.training.precision import autocast
from wm_ros.training.renderer import Imagine
from wm_ros.world_model.video.inputs import Inputs
from wm_ros.world_model.video.model import foresee
from wm_ros.world_model.video.network import VideoNetwork


def train(model: VideoNetwork, sampler: Sampler, settings: TrainingConfig, out: Path, step: int,
          device: torch.device, until: float) -> int:
    """Fit what frames alone pass through; resumes from ``out``.

    :param step: how many the network has learnt for; the foresight of a younger one goes
    :param until: s of the monotonic clock when to save and stop
    :returns: the last step
    """
    state = out / f"foresight-{step}.safetensors"
    if parallel.rank() == 0:
        for other in set(out.glob("foresight-*.safetensors")) - {state}:
            other.unlink()
    model.requires_grad_(False)
    for parameter in model.video_expert():
        parameter.requires_grad_(True)
    return optimise(model, sampler, replace(settings, steps=settings.foresight_steps), state,
                    device, until, "foresight", lambda batch: foresight_losses(model, batch))


def imagining(model: VideoNetwork, sampler: Sampler, device: torch.device) -> Imagine:
    """What is foreseen at every second of rows (B,): latents (B / 2, F, T, C); and the tool's way
    at all of them, where it is known."""
    @torch.no_grad()
    def imagine(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        batch = move(sampler.batch(rows, augment=False), device)
        with autocast(device):
            text, executed, present, way = (x[::2] for x in (
                batch.text, batch.executed, batch.present, batch.way))
            few = Inputs(*(x[::2] for x in batch.inputs))
            context = model.observe(*few, text)
            latents = foresee(model, context, text, executed, present, way)
        return latents.float(), batch.way * batch.labelled[:, None, None]
    return imagine
