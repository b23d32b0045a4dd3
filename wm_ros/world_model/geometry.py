# SPDX-License-Identifier: Apache-2.0
"""Batched rigid geometry in torch: rotations, and depth images as maps of 3D points."""
from __future__ import annotations

import torch
from torch import Tensor


def quaternion_to_matrix(q: Tensor) -> Tensor:
    """(..., 4) xyzw, any norm -> (..., 3, 3)."""
    x, y, z, w = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    return torch.stack([
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ], -1).unflatten(-1, (3, 3))


def quaternion_multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product of (..., 4) xyzw quaternions."""
    ax, ay, az, aw = a.unbind(-1)
    bx, by, bz, bw = b.unbind(-1)
    return torch.stack([
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    ], -1)


def quaternion_conjugate(q: Tensor) -> Tensor:
    """Inverse of a unit quaternion (..., 4) xyzw."""
    return torch.cat([-q[..., :3], q[..., 3:]], -1)


def rotvec_from_quaternion(q: Tensor) -> Tensor:
    """(..., 4) xyzw -> (..., 3) rotation vector of the shorter turn, rad."""
    q = torch.where(q[..., 3:] < 0, -q, q)
    sine = q[..., :3].norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, q[..., 3:])
    return q[..., :3] * torch.where(sine > 1e-7, angle / sine.clamp_min(1e-7),
                                    torch.full_like(sine, 2.0))


def quaternion_from_rotvec(r: Tensor) -> Tensor:
    """(..., 3) rotation vector, rad -> (..., 4) xyzw."""
    angle = r.norm(dim=-1, keepdim=True)
    scale = torch.where(angle > 1e-7, torch.sin(angle / 2) / angle.clamp_min(1e-7),
                        torch.full_like(angle, 0.5))
    return torch.cat([r * scale, torch.cos(angle / 2)], -1)


def point_map(depth: Tensor, K: Tensor, position: Tensor, quaternion: Tensor,
              origin: Tensor) -> Tensor:
    """Where each pixel's surface lies, in base axes, relative to ``origin``.

    :param depth: (B, H, W) m along the optical axis; <= 0 or not finite means unknown
    :param K: (B, 3, 3) px;  ``position`` (B, 3), ``quaternion`` (B, 4): optical frame in base
    :param origin: (B, 3) m, usually the tool centre point
    :returns: (B, H, W, 3) m; unknown pixels are placed 2 m away along their ray
    """
    height, width = depth.shape[1:]
    depth = torch.where(torch.isfinite(depth) & (depth > 0), depth, torch.full_like(depth, 2.0))
    # Half a pixel beside where K, with pixel centres at whole numbers, has them (5 mm at 1 m at
    # 96 px). The weights that ship were trained on these points: mend it with the next training.
    u = torch.arange(width, device=depth.device, dtype=depth.dtype) + 0.5
    v = torch.arange(height, device=depth.device, dtype=depth.dtype) + 0.5
    x = (u - K[:, 0, 2, None]) / K[:, 0, 0, None]  # (B, W)
    y = (v - K[:, 1, 2, None]) / K[:, 1, 1, None]  # (B, H)
    R = quaternion_to_matrix(quaternion)  # (B, 3, 3)
    ray = (x[:, None, :, None] * R[:, None, None, :, 0]
           + y[:, :, None, None] * R[:, None, None, :, 1] + R[:, None, None, :, 2])
    return ray * depth[..., None] + (position - origin)[:, None, None, :]
