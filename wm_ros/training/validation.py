# SPDX-License-Identifier: Apache-2.0
"""Open-loop scores on episodes that were not trained on."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wm_ros.training.batches import Batch, Sampler, lies_wrong
from wm_ros.world_model.video import flow
from wm_ros.world_model.video.model import foresee, read_back
from wm_ros.world_model.video.network import Context, VideoNetwork
from wm_ros.world_model.video.parts import POINT_SCALE
from wm_ros.world_model.video.renderer import Renderer
from wm_ros.world_model.video.tokeniser import Tokeniser, to_uint8, to_unit
from wm_ros.world_model.video.way import worst_still

STEPS = 4  # Euler steps of a chunk


@torch.inference_mode()
def validate(model: VideoNetwork, sampler: Sampler, tokeniser: Tokeniser, renderer: Renderer,
             device: torch.device, n: int) -> dict[str, float]:
    """Error of proposed chunks, and of imagined frames against copying the present frame.

    ``action_mm``: mean distance of proposed to demonstrated positions at the chunk's middle;
    ``gripper``: share of right open/close decisions there; ``key_pose_mm``: median miss of the
    next key pose, ``key_pose_found``: share that is missed by less than 40 mm, ``turn_deg``:
    median miss of its heading where the hand is near and lies wrong; ``done``: share of right
    answers to whether the task is done; ``imagined_db`` and ``copied_db``: PSNR at the last
    imagined frame; ``surprise_95``: what 95 % of the largest latent errors clear of the tool
    stay under; ``doubt_99``: likewise, the distance (m) of the executed way from the one that
    inverse dynamics reads off the frames imagined under it; neither of episodes that were spoiled
    on purpose. A score of which no sample tells is left out.

    :param n: samples that are drawn, in batches of 32
    """
    model.eval()
    distance, missed, headings, done, gripper, imagined, copied, errors, doubts = (
        [] for _ in range(9))
    generator = torch.Generator().manual_seed(0)
    scale = sampler.codec.position_scale.to(device)  # m
    middle = max(0, sampler.config.horizon // 2 - 1)
    for _ in range(max(1, n // 32)):
        rows = sampler.draw(32)
        batch = sampler.batch(rows, augment=False)
        chunk, latents, context, read = _sample(model, batch, generator)
        done += ((context.now[:, 0] > 0) == (batch.now[:, 0] > 0.5)).float().tolist()
        good = (batch.valid[:, middle] * batch.imitate).bool()
        known, poses = (batch.imitate * batch.key_valid[:, 0]).bool(), context.key_poses
        off = (poses.refined - batch.key_position)[:, 0].norm(dim=1) * POINT_SCALE * 1000
        missed += off[known].tolist()
        wrong = known & lies_wrong(batch.key_position[:, 0], batch.key_turn[:, 0])
        headings += between(poses.turn[:, 0], batch.key_turn[:, 0])[wrong].tolist()
        there, told = chunk[:, middle], batch.action[:, middle]
        off = (there - told)[:, :3].norm(dim=1)
        distance += (off * scale[middle] * 1000)[good].tolist()
        gripper += ((there[:, 6] > 0) == (told[:, 6] > 0))[good].float().tolist()
        normal = torch.from_numpy(~sampler.cache.failure[rows]).to(device)
        errors += worst_still(latents - batch.video, batch.way)[normal].flatten().tolist()
        back = (read - batch.executed)[..., :3] * scale[:, None]
        doubts += back.norm(dim=2).mean(1)[batch.labelled.bool() & normal].tolist()
        last = sampler.cache.future(rows, sampler.config.frame_steps[-1])
        true, present = _images(sampler, last), _images(sampler, rows)
        drawn = renderer(latents[:, -1], batch.present, to_unit(present).to(device),
                         tokeniser.decode(latents[:, -1]), batch.way[:, -1],
                         sampler.places(rows, batch))
        imagined += _error(to_uint8(drawn).cpu(), true)
        copied += _error(present, true)
    scores: dict[str, tuple[list[float], Callable[[list[float]], Any]]] = {
        "action_mm": (distance, np.mean),
        "key_pose_mm": (missed, np.median),
        "key_pose_found": (missed, lambda each: np.mean(np.array(each) < 40)),
        "turn_deg": (headings, np.median),
        "done": (done, np.mean),
        "action_mm_p90": (distance, lambda each: np.quantile(each, 0.9)),
        "gripper": (gripper, np.mean),
        "imagined_db": (imagined, lambda each: -10 * np.log10(np.mean(each))),
        "copied_db": (copied, lambda each: -10 * np.log10(np.mean(each))),
        "surprise_95": (errors, lambda each: np.quantile(each, 0.95)),
        "doubt_99": (doubts, lambda each: np.quantile(each, 0.99))}
    return {name: float(score(each)) for name, (each, score) in scores.items() if each}


def _sample(model: VideoNetwork, batch: Batch,
            generator: torch.Generator) -> tuple[Tensor, Tensor, Context, Tensor]:
    """A chunk in policy mode, the frames in world-model mode under what was executed, what is
    read off the present, and the chunk that inverse dynamics reads off those frames."""
    context, text = model.observe(*batch.inputs, text=batch.text), batch.text
    noise = 0.5 * torch.randn(batch.action.shape, generator=generator).to(text.device)
    chunk = flow.euler(lambda a, t: model(context, text, a, t).action, noise, STEPS)
    latents = foresee(model, context, text, batch.executed, batch.present, batch.way)
    return chunk, latents, context, read_back(model, context, text, latents, batch.present)


def between(turn: Tensor, other: Tensor) -> Tensor:
    """(B,) degrees between two headings (B, 2) in sine and cosine of twice their angle."""
    sine = turn[:, 0] * other[:, 1] - turn[:, 1] * other[:, 0]
    return 0.5 * torch.atan2(sine, (turn * other).sum(1)).abs().rad2deg()


def _images(sampler: Sampler, rows: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 scene images."""
    return torch.from_numpy(sampler.cache.scene[rows])


def _error(a: Tensor, b: Tensor) -> list[float]:
    """Mean squared error of each image, in units of its range."""
    return ((a.float() - b.float()) / 255).square().mean((1, 2, 3)).tolist()
