# SPDX-License-Identifier: Apache-2.0
"""What the video family is trained on: flows of actions and frames, and value."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from wm_ros.training.batches import Batch, part
from wm_ros.world_model.video import flow
from wm_ros.world_model.video.model import foresee
from wm_ros.world_model.video.network import Context, VideoNetwork
from wm_ros.world_model.video.parts import POINT_SCALE

CLOSE = 0.06 / POINT_SCALE  # around a key pose, chunks count up to ``1 + CARE`` times
CARE = 2.0


def losses(network: VideoNetwork, batch: Batch, draws: int, some: int,
           video: bool = True) -> dict[str, Tensor]:
    """Mean losses by name; the caller weighs and sums them.

    The whole batch imitates without frames in sight. Its first ``some`` rows also learn what
    chunks lead to: their value and, with ``video``, future frames and executed actions at
    independent noise levels, failures and unlabelled rows included. Without ``video`` this is
    the action-only twin.
    """
    context = network.observe(*batch.inputs, batch.text)
    out = {"now": _value_loss(context.now.float(), batch.now, batch.judged)}
    clean = batch.action.repeat_interleave(draws, 0)
    level = flow.action_levels(len(clean), clean.device)
    noisy, velocity = flow.corrupt(clean, torch.randn_like(clean), level)
    text = batch.text.repeat_interleave(draws, 0)
    predicted = network(context.repeat(draws), text, noisy, level)
    # millimetres decide where the fingers close or open
    near = torch.exp(-(batch.key_position[:, 0].norm(dim=1) / CLOSE).square())
    near = near * batch.key_valid[:, 0]
    trust = batch.valid * (batch.imitate * (1 + CARE * near))[:, None]
    trust = trust.repeat_interleave(draws, 0)
    out["action"] = masked((predicted.action.float() - velocity).square(), trust[..., None])
    if some:
        first = part(batch, slice(some))
        zero = torch.zeros(some, device=clean.device)
        value = network(context.first(some), first.text, first.executed, zero).value.float()
        out["value"] = _value_loss(value, first.value, first.judged)
        if video:
            out |= _video_losses(network, first, context.first(some))
    return out


def foresight_losses(network: VideoNetwork, batch: Batch) -> dict[str, Tensor]:
    """Mean losses of what the video expert alone learns, the rest of the network held still.

    All rows are asked as the world model is used: the mean of what will be seen under given
    actions, in one step from no noise. Half of them are asked in a random mode besides.
    """
    with torch.no_grad():
        context = network.observe(*batch.inputs, batch.text)
    half = max(1, len(batch.text) // 2)
    out = _video_losses(network, part(batch, slice(half)), context.first(half))
    latents = foresee(network, context, batch.text, batch.executed, batch.present, batch.way)
    known = batch.labelled[:, None, None, None]
    return out | {"mean": masked((latents.float() - batch.video).square(), known)}


def _video_losses(network: VideoNetwork, batch: Batch, context: Context) -> dict[str, Tensor]:
    action_level, video_level = flow.mode_levels(batch.labelled)
    action, action_velocity = flow.corrupt(
        batch.executed, torch.randn_like(batch.executed), action_level)
    video, video_velocity = flow.corrupt(batch.video, torch.randn_like(batch.video), video_level)
    # where the tool goes may be seen only where actions are given
    way = batch.way * (action_level == 0).float()[:, None, None]
    predicted = network(context, batch.text, action, action_level, video, video_level,
                        batch.present, way)
    assert predicted.video is not None
    # what is given clean is not to be predicted
    noisy_video = (video_level > 0).float()[:, None, None, None]
    noisy_action = ((action_level > 0) * batch.labelled)[:, None, None]
    return {
        "video": masked((predicted.video.float() - video_velocity).square(), noisy_video),
        "joint": masked((predicted.action.float() - action_velocity).square(), noisy_action),
    }


def _value_loss(value: Tensor, target: Tensor, known: Tensor) -> Tensor:
    success = F.binary_cross_entropy_with_logits(value[:, 0], target[:, 0], reduction="none")
    return masked(success + 4 * (value[:, 1] - target[:, 1]).square(), known)


def masked(error: Tensor, weight: Tensor) -> Tensor:
    """Mean of an error, weighted (broadcast to its shape); 0 where nothing counts."""
    weight = weight.expand_as(error)
    return (error * weight).sum() / weight.sum().clamp_min(1)
