# SPDX-License-Identifier: Apache-2.0
"""From what sensors give to what the network eats, the same in training and on the robot."""
from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wm_ros.world_model.geometry import (
    point_map,
    quaternion_conjugate,
    quaternion_from_rotvec,
    quaternion_multiply,
    quaternion_to_matrix,
    rotvec_from_quaternion,
)
from wm_ros.world_model.video.parts import proprioception
from wm_ros.world_model.video.tokeniser import to_unit

GRIPPER_HALF = 0.04  # m, half of the widest opening: widths map to [-1, 1]


class Inputs(NamedTuple):
    """Arguments of ``ObservationEncoder.forward`` but the words."""

    scene: Tensor
    points: Tensor
    wrist: Tensor
    proprio: Tensor


def prepare(scene_rgb: Tensor, wrist_rgb: Tensor, depth: Tensor, K: Tensor,
            camera_position: Tensor, camera_quaternion: Tensor, tcp_position: Tensor,
            tcp_quaternion: Tensor, gripper: Tensor, wrench: Tensor) -> Inputs:
    """Batch of raw observations -> network inputs.

    :param scene_rgb: (B, H, W, 3) uint8, ``wrist_rgb`` likewise; ``depth`` (B, H, W) m
    :param K: (B, 3, 3); camera pose of the optical frame in base, xyzw
    :param gripper: (B,) m; ``wrench`` (B, 6)
    """
    return Inputs(to_unit(scene_rgb),
                  point_map(depth, K, camera_position, camera_quaternion, tcp_position),
                  to_unit(wrist_rgb),
                  proprioception(tcp_position, quaternion_to_matrix(tcp_quaternion), gripper,
                                 wrench))


class ActionCodec:
    """Absolute tool poses <-> what the flow works on: offsets from the present tool pose.

    :param position_scale: (H,) m, one for each index of the chunk; ``rotation_scale`` (H,) rad
    """

    def __init__(self, position_scale: Tensor, rotation_scale: Tensor):
        self.position_scale, self.rotation_scale = position_scale, rotation_scale

    @classmethod
    def fit(cls, position: Tensor, quaternion: Tensor, tcp_position: Tensor,
            tcp_quaternion: Tensor) -> ActionCodec:
        """Scales from sample chunks (N, H, ...)."""
        unit = cls(torch.ones(position.shape[1]), torch.ones(position.shape[1]))
        x = unit.encode(position, quaternion, position.new_zeros(position.shape[:2]),
                        tcp_position, tcp_quaternion)
        return cls(x[..., :3].square().mean((0, 2)).sqrt().clamp_min(1e-3) * 1.5,
                   x[..., 3:6].square().mean((0, 2)).sqrt().clamp_min(0.02) * 1.5)

    def encode(self, position: Tensor, quaternion: Tensor, gripper: Tensor, tcp_position: Tensor,
               tcp_quaternion: Tensor) -> Tensor:
        """(B, H, 3), (B, H, 4), (B, H) at present pose (B, 3), (B, 4) -> (B, H, 7)."""
        offset = (position - tcp_position[:, None]) / self.position_scale[:, None]
        turn = quaternion_multiply(quaternion, quaternion_conjugate(tcp_quaternion)[:, None])
        turn = rotvec_from_quaternion(turn) / self.rotation_scale[:, None]
        return torch.cat([offset, turn, gripper[..., None] / GRIPPER_HALF - 1], -1)

    def decode(self, x: Tensor, tcp_position: Tensor,
               tcp_quaternion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inverse of :meth:`encode`: positions, quaternions, widths (m, within 0..0.08)."""
        position = x[..., :3] * self.position_scale[:, None] + tcp_position[:, None]
        turn = quaternion_from_rotvec(x[..., 3:6] * self.rotation_scale[:, None])
        quaternion = quaternion_multiply(turn, tcp_quaternion[:, None])
        return position, quaternion, ((x[..., 6] + 1) * GRIPPER_HALF).clamp(0, 2 * GRIPPER_HALF)
