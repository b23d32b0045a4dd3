# SPDX-License-Identifier: Apache-2.0
"""Which pixels show the robot itself, from its own description and joint positions."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from wm_ros.motion.pose import Array, Pose, quaternion_multiply
from wm_ros.robot import RobotConfig
from wm_ros.sim.mujoco_emitter import OPTICAL, wxyz
from wm_ros.sim.schema import Camera, Scene
from wm_ros.sim.simulator import Simulator

GROW = 2  # px, for what the description leaves out
NOTHING = 10.0  # m; the empty scene's far plane lies beyond
IN_FRONT = 0.03  # m; what is nearer to the camera than the robot hides it


class RobotMask:
    """Draws the robot alone, as a camera would see it."""

    def __init__(self, robot: RobotConfig, wrist: Camera | None = None):
        """:param wrist: the camera on the hand, whose housing other cameras see"""
        eye = Camera("eye", (0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0), 1.0)
        cameras = (eye,) if wrist is None else (eye, wrist)
        empty = Scene("empty", 0, "train", (), (), cameras, (), 0.4, {})
        self._sim = Simulator(empty, robot)
        self._fingers = [self._sim.model.joint(n).qposadr[0] for n in robot.finger_joints]
        self._scale = robot.gripper.finger_scale

    def depth(self, q: Array, gripper: float, K: Array, pose: Pose, size: tuple[int, int]
              ) -> NDArray[np.float32]:
        """Depth (H, W) of the robot in m, inf elsewhere; see :meth:`pixels`."""
        sim, width, height = self._sim, size[0], size[1]
        point_camera(sim, "eye", K, pose, height)
        sim.data.qpos[self._fingers] = gripper * self._scale
        sim.set_arm(q)
        depth = sim.render("eye", depth=True, size=(width, height)).depth
        assert depth is not None
        return np.where(depth < NOTHING, depth, np.float32(np.inf))

    def pixels(self, q: Array, gripper: float, K: Array, pose: Pose,
               seen: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(H, W): pixels of the picture that show the robot or its edge.

        :param q: (n,) rad;  ``gripper`` opening, m
        :param K: (3, 3) px; the principal point is taken to be the picture's middle
        :param pose: of the optical frame in the base frame
        :param seen: (H, W) measured depth, m; things in front of the robot stay
        """
        height, width = seen.shape
        own = self.depth(q, gripper, K, pose, (width, height))
        with np.errstate(invalid="ignore"):
            hidden = (seen > 0) & (seen < own - IN_FRONT)  # 0 is unknown
        mask = np.isfinite(own) & ~hidden
        return np.asarray(binary_dilation(mask, iterations=GROW), np.bool_)

    def close(self) -> None:
        self._sim.close()


def point_camera(sim: Simulator, name: str, K: Array, pose: Pose, height: int) -> None:
    """Gives a fixed camera of the simulator another pose and opening angle."""
    number = sim.model.camera(name).id
    sim.model.cam_pos[number] = pose.position
    sim.model.cam_quat[number] = wxyz(quaternion_multiply(pose.quaternion, OPTICAL))
    sim.model.cam_fovy[number] = float(np.degrees(2 * np.arctan2(0.5 * height, K[1, 1])))
