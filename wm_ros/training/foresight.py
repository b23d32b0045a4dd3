# SPDX-License-Identifier: Apache-2.0
"""The frames' expert learns alone, all that acts held still: predicting takes more samples than
acting, and what acts must not suffer for it."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from wm_ros.training.batches import Batch, Sampler, part
from wm_ros.training.config import TrainingConfig
from wm_ros.training.loop import optimise
from wm_ros.training.losses import foresight_losses
from wm_ros.training.precision import autocast
from wm_ros.training.renderer import Imagine
from wm_ros.training.state import FORESIGHT, state_of
from wm_ros.world_model.video.model import foresee
from wm_ros.world_model.video.network import VideoNetwork


def train(model: VideoNetwork, sampler: Sampler, settings: TrainingConfig, out: Path, step: int,
          device: torch.device, until: float) -> int:
    """Fit what frames alone pass through; resumes from ``out``.

    :param step: how many the network has learnt for; the foresight of a younger one goes
    :param until: s of the monotonic clock when to save and stop
    :returns: the last step
    """
    free = [parameter for parameter in model.video_expert() if parameter.requires_grad]
    model.requires_grad_(False)
    for parameter in free:
        parameter.requires_grad_(True)
    return optimise(model, sampler, replace(settings, steps=settings.foresight_steps),
                    state_of(out, FORESIGHT, str(step)), device, until, "foresight",
                    lambda batch: foresight_losses(model, batch))


def imagining(model: VideoNetwork, device: torch.device) -> Imagine:
    """What is foreseen of every second of B samples: latents (B / 2, F, T, C); and the tool's way
    of all of them, where it is known."""
    @torch.no_grad()
    def imagine(batch: Batch) -> tuple[Tensor, Tensor]:
        some = part(batch, slice(None, None, 2))
        with autocast(device):
            context = model.observe(*some.inputs, some.text)
            latents = foresee(model, context, some.text, some.executed, some.present, some.way)
        return latents.float(), batch.way * batch.labelled[:, None, None]
    return imagine
