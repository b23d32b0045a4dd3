# SPDX-License-Identifier: Apache-2.0
"""A map that grows picture by picture: the robot is masked out, the rest is fused."""
from __future__ import annotations

from dataclasses import replace

from wm_ros.motion.pose import Array
from wm_ros.robot import RobotConfig
from wm_ros.sim.schema import Camera
from wm_ros.world_model.scene3d.perceive import Region, perceive
from wm_ros.world_model.scene3d.perceived import PerceivedScene
from wm_ros.world_model.scene3d.robot_mask import RobotMask
from wm_ros.world_model.scene3d.surface import LEAST_WEIGHT
from wm_ros.world_model.scene3d.tsdf import Volume
from wm_ros.world_model.scene3d.view import View

VOXEL = 0.005  # m


class Mapper:
    """Volume and scene of one place.

    :param wrist: the camera on the hand; its housing is part of the robot
    """

    def __init__(self, robot: RobotConfig, region: Region | None = None, voxel: float = VOXEL,
                 wrist: Camera | None = None, volume: Volume | None = None):
        region = region or Region()
        self.volume = volume or Volume(region.low, region.high, voxel)
        self.scene: PerceivedScene | None = None
        self._robot, self._wrist = robot, wrist
        self._mask: RobotMask | None = None

    def masked(self, view: View, q: Array, gripper: float) -> View:
        """The view with the robot's own pixels marked; q (n,) rad, opening in m."""
        if self._mask is None:
            self._mask = RobotMask(self._robot, self._wrist)
        own = self._mask.pixels(q, gripper, view.K, view.pose, view.depth)
        return replace(view, ignore=own if view.ignore is None else own | view.ignore)

    def fuse(self, view: View, q: Array, gripper: float, forget: bool = False) -> None:
        """Adds one picture, taken while the arm stood at q; see :meth:`Volume.integrate`."""
        self.volume.integrate(self.masked(view, q, gripper), forget)

    def perceive(self, furniture: bool = True, least_weight: float = LEAST_WEIGHT
                 ) -> PerceivedScene:
        """The scene as the map shows it now, see :func:`perceive`."""
        self.scene = perceive(self.volume, self.scene, least_weight, furniture)
        return self.scene

    def close(self) -> None:
        if self._mask is not None:
            self._mask.close()
            self._mask = None
