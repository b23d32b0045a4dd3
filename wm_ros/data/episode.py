# SPDX-License-Identifier: Apache-2.0
"""One recorded episode, and the features under which a data set stores it.

All arrays are sampled at 10 Hz; row t holds what was seen at t and the action that was asked of
the robot from t to t + 0.1 s. Positions are in metres in the robot's base frame, quaternions are
x y z w, the gripper is the total opening width in metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

FPS = 10
CAMERAS = ("scene", "wrist")
STATE_NAMES = [f"q{i}" for i in range(1, 8)] + [
    "gripper",
    *(f"tcp_{a}" for a in ("x", "y", "z", "qx", "qy", "qz", "qw")),
]
WRENCH_NAMES = ["fx", "fy", "fz", "tx", "ty", "tz"]
CAMERA_NAMES = [f"k{i}" for i in range(9)] + ["x", "y", "z", "qx", "qy", "qz", "qw"]
ACTION_NAMES = ["x", "y", "z", "qx", "qy", "qz", "qw", "gripper"]

# Feature name -> (field of Episode, names of its components)
VECTOR_FEATURES: dict[str, tuple[str, list[str]]] = {
    "observation.state": ("state", STATE_NAMES),
    "observation.wrench": ("wrench", WRENCH_NAMES),
    "observation.camera.scene": ("camera", CAMERA_NAMES),
    "action": ("action", ACTION_NAMES),
    "executed_action": ("executed", ACTION_NAMES),
}
VIDEO_KEYS = tuple(f"observation.images.{name}" for name in CAMERAS)
DEPTH_KEY = "observation.images.scene_depth"


@dataclass
class Episode:
    """One episode of T rows.

    :param images: camera name -> uint8 (T, H, W, 3) RGB
    :param depth: uint16 (T, H, W) scene depth in millimetres, 0 where nothing was hit
    :param state: float32 (T, 15): 7 joint angles (rad), gripper width, TCP position, quaternion
    :param wrench: float32 (T, 6): force (N) and torque (N m) on the hand
    :param camera: float32 (T, 16): K row by row, position and quaternion of the optical frame
    :param action: float32 (T, 8): absolute TCP target position, quaternion, gripper width
    :param executed: float32 (T, 8): what the robot was really told; differs from `action` where a
        perturbation was added. Policies learn from `action`, dynamics from `executed`
    :param progress: float32 (T,): the task's own measure of progress, 0 to 1
    :param perturbed: the executed actions had noise in some segments (the recorded ones have not)
    :param deliberate_failure: the actions were spoiled on purpose, or a hand strolled about in
        turns with the expert: never imitate them, whatever came of it
    :param practised: a model did it alone, so it is no demonstration; where it succeeded it may be
        imitated all the same, see `wm_ros.training.shown.imitable`
    """

    task: str
    instruction: str
    seed: int
    success: bool
    images: dict[str, np.ndarray]
    depth: np.ndarray
    state: np.ndarray
    wrench: np.ndarray
    camera: np.ndarray
    action: np.ndarray
    executed: np.ndarray
    progress: np.ndarray
    perturbed: bool = False
    deliberate_failure: bool = False
    practised: bool = False
    room: str = ""

    def __len__(self) -> int:
        return len(self.action)

    @property
    def key(self) -> tuple[str, int]:
        """What makes an episode unique in a data set: (task, seed)."""
        return self.task, self.seed

    def check(self) -> None:
        """Raise ValueError when an array has the wrong length, width or values."""
        rows = len(self)
        if rows == 0:
            raise ValueError(f"episode {self.key} has no frames")
        for name, (attribute, names) in VECTOR_FEATURES.items():
            array = getattr(self, attribute)
            if array.shape != (rows, len(names)):
                raise ValueError(f"{name} has shape {array.shape}, not {(rows, len(names))}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} of episode {self.key} is not finite")
        for camera in CAMERAS:
            if self.images[camera].shape[0] != rows or self.images[camera].dtype != np.uint8:
                raise ValueError(f"images of camera {camera} are not uint8 (T, H, W, 3)")
        if self.depth.shape[0] != rows or self.depth.dtype != np.uint16:
            raise ValueError("depth is not uint16 (T, H, W)")


class EpisodeBuilder:
    """Collects observations row by row; `finish` gives the Episode."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Any]] = {
            name: []
            for name in ("scene", "wrist", "depth", "state", "wrench", "camera", "action",
                         "executed", "progress")
        }

    def __len__(self) -> int:
        return len(self._rows["action"])

    def add(
        self, obs: Any, action: tuple[Any, float], executed: tuple[Any, float], progress: float
    ) -> None:
        """Append one row.

        :param obs: an observation with the fields of `wm_ros.sim.env.Obs`
        :param action: (target TCP pose with .position (3,) and .quaternion (4,), gripper width)
        :param executed: the same, as it was given to the robot
        """
        rows = self._rows
        rows["scene"].append(np.asarray(obs.scene_rgb, np.uint8).copy())
        rows["wrist"].append(np.asarray(obs.wrist_rgb, np.uint8).copy())
        rows["depth"].append(depth_to_mm(obs.scene_depth))
        rows["state"].append(state_vector(obs.q, obs.gripper, obs.tcp))
        rows["wrench"].append(np.asarray(obs.wrench, np.float32).copy())
        rows["camera"].append(camera_vector(obs.scene_K, obs.scene_pose))
        rows["action"].append(action_vector(*action))
        rows["executed"].append(action_vector(*executed))
        rows["progress"].append(np.float32(progress))

    def finish(self, **about: Any) -> Episode:
        """The episode; `about` holds task, instruction, seed, success and the flags."""
        rows: dict[str, Any] = {name: np.stack(values) for name, values in self._rows.items()}
        images = {"scene": rows.pop("scene"), "wrist": rows.pop("wrist")}
        return Episode(images=images, **rows, **about)


def state_vector(q: np.ndarray, gripper: float, tcp: Any) -> np.ndarray:
    """float32 (15,): joints, gripper width, TCP position and quaternion."""
    return np.concatenate([q, [gripper], tcp.position, tcp.quaternion]).astype(np.float32)


def action_vector(pose: Any, width: float) -> np.ndarray:
    """float32 (8,): target TCP position and quaternion, gripper width."""
    return np.concatenate([pose.position, pose.quaternion, [width]]).astype(np.float32)


def camera_vector(K: np.ndarray, pose: Any) -> np.ndarray:
    """float32 (16,): intrinsics row by row, position and quaternion of the optical frame."""
    return np.concatenate([np.ravel(K), pose.position, pose.quaternion]).astype(np.float32)


def depth_to_mm(depth: np.ndarray) -> np.ndarray:
    """Metres (float) to uint16 millimetres; not finite, negative or beyond 65.5 m becomes 0."""
    mm = np.nan_to_num(np.asarray(depth, np.float32) * 1000.0, nan=0.0, posinf=0.0, neginf=0.0)
    return np.where((mm < 0) | (mm > 65535), 0, np.rint(mm)).astype(np.uint16)
