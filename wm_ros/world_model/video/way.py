# SPDX-License-Identifier: Apache-2.0
"""Where a chunk takes the tool in the picture. Cameras stand elsewhere in every room: what a
network would have to learn of projection, a pinhole knows."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from wm_ros.world_model.geometry import quaternion_to_matrix

ALONG = (0.0, -0.1, -0.25)  # m along the approach axis: fingertips, hand and wrist
POINTS = len(ALONG)
WAY_DIM = 2 * 3 * POINTS + 2
SPREADS = (0.7, 2.5)  # cells
CLEAR = 1.1  # cells from the tool on which it does not show
VIEW_DIM = 2 * POINTS * (2 + len(SPREADS)) + 4


def tool_way(K: Tensor, camera_position: Tensor, camera_quaternion: Tensor, image_size: int,
             now: tuple[Tensor, Tensor], then: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The tool's place in the image now and at each imagined frame.

    :param K: (B, 3, 3) px;  camera pose of the optical frame in base, (B, 3) m and (B, 4) xyzw
    :param now: tool pose (B, 3), (B, 4)
    :param then: poses at the imagined frames (B, F, 3), (B, F, 4) and widths (B, F) m
    :returns: (B, F, WAY_DIM): ``POINTS`` along the tool now, then as many at the frame, each
        across and down in [-1, 1] of the image and m along the optical axis; the width of the
        fingers in halves of 0.08 m; 1. All 0 says that no way is known.
    """
    frames = then[0].shape[1]
    before = _along(now[0][:, None], now[1][:, None]).expand(-1, frames, -1, -1)
    points = torch.cat([before, _along(*then[:2])], 2)  # (B, F, 2 P, 3)
    R = quaternion_to_matrix(camera_quaternion)[:, None]
    local = (points - camera_position[:, None, None]) @ R  # in the optical frame
    depth = local[..., 2:].clamp_min(0.05)
    focal = torch.stack([K[:, 0, 0], K[:, 1, 1]], -1)[:, None, None]
    pixel = local[..., :2] / depth * focal + K[:, None, None, :2, 2]
    place = ((pixel + 0.5) * 2 / image_size - 1).clamp(-3, 3)
    return torch.cat([torch.cat([place, depth], -1).flatten(2), then[2][..., None] / 0.04 - 1,
                      torch.ones_like(then[2])[..., None]], -1)


def _along(position: Tensor, quaternion: Tensor) -> Tensor:
    """(B, F, 3), (B, F, 4) -> (B, F, P, 3) m along the tool."""
    axis = quaternion_to_matrix(quaternion)[..., 2]
    return position[:, :, None] + axis[:, :, None] * axis.new_tensor(ALONG)[:, None]


def cell_view(way: Tensor, side: int) -> Tensor:
    """How far each of ``side`` x ``side`` cells lies from the tool's present and future place.

    :param way: (B, F, WAY_DIM)
    :returns: (B, F, side * side, VIEW_DIM), 0 where no way is known
    """
    away = _away(way, side)
    square = away.square().sum(-1, keepdim=True)
    near = [(-square / (2 * s * s)).exp() for s in SPREADS]
    each = torch.cat([torch.tanh(away / 2), *near], -1).flatten(3)
    depth = way[..., :-2].unflatten(-1, (2 * POINTS, 3))[:, :, ::POINTS, 2]
    whole = torch.cat([depth - 1, way[..., -2:]], -1)
    whole = whole[:, :, None].expand(-1, -1, each.shape[2], -1)
    return torch.cat([each, whole], -1) * way[:, :, None, -1:]


def worst_still(error: Tensor, way: Tensor) -> Tensor:
    """The largest error among the cells that the tool is clear of, now and then.

    How an arm will look is never foretold exactly, and what moves elsewhere is small: a mean over
    all cells would tell of the arm.

    :param error: (B, F, T, C) of latents;  ``way`` (B, F, WAY_DIM), 0 where none is known
    :returns: (B, F) root mean square over the channels; 0 where the tool is near everything
    """
    near = (_away(way, round(error.shape[2] ** 0.5)).norm(dim=-1) < CLEAR).any(-1)
    size = error.square().mean(-1).sqrt()
    return size.masked_fill(near & (way[..., -1:] > 0), 0.0).amax(-1)


def carried(image: Tensor, way: Tensor) -> Tensor:
    """The present image, moved and scaled as the fingertips will have moved in it: there the hand
    and what it holds are where they will be.

    :param image: (B, 3, H, W);  ``way`` (B, WAY_DIM) of one frame
    :returns: (B, 3, H, W); the image itself where no way is known
    """
    points = way[:, :-2].unflatten(-1, (2 * POINTS, 3))
    now, then = points[:, 0], points[:, POINTS]
    known = way[:, -1:]
    scale = then[:, 2:] / now[:, 2:].clamp_min(0.05)
    scale = torch.where(known > 0, scale, torch.ones_like(scale))
    from_where = now[:, :2] - then[:, :2] * scale
    # no affine_grid: it multiplies matrices, which autocast rounds by a tenth of a pixel
    height, width = image.shape[2:]
    places = _centres(height, width, way) * scale[:, None, None] + from_where[:, None, None]
    return F.grid_sample(image, places, "bilinear", "border", align_corners=False)


def _away(way: Tensor, side: int) -> Tensor:
    """(B, F, side * side, 2 * POINTS, 2) cells across and down from each cell to the tool."""
    points = way[..., :-2].unflatten(-1, (2 * POINTS, 3))[:, :, None, :, :2]
    return (points - _centres(side, side, way).flatten(0, 1)[:, None]) * (side / 2)


def _centres(height: int, width: int, like: Tensor) -> Tensor:
    """(height, width, 2) middles of cells in [-1, 1], across and down."""
    v, u = ((torch.arange(n, device=like.device, dtype=like.dtype) * 2 + 1) / n - 1
            for n in (height, width))
    return torch.stack(torch.meshgrid(u, v, indexing="xy"), -1)
