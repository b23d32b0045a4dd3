# SPDX-License-Identifier: Apache-2.0
"""What every world-model family answers: observe, imagine, act, surprise.

Arrays are numpy, units SI, poses in the robot's base frame, quaternions x y z w.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class ModelSpec:
    """What a checkpoint was trained for; a caller that does not match is refused.

    :param family: ``video``, ``jepa``, ``scene3d``, ``twin`` or ``ensemble``
    :param image_size: side of the square camera images, px
    :param horizon: poses in one action chunk
    :param dt: time between two poses of a chunk, s
    :param frame_steps: chunk indices (1-based) at which future frames are imagined
    :param action_space: representation of the chunk, ``ee_pose`` (position, rotation, width)
    """

    family: str = "video"
    cameras: tuple[str, ...] = ("scene", "wrist")
    image_size: int = 96
    horizon: int = 16
    dt: float = 0.1
    frame_steps: tuple[int, ...] = (8, 16)
    action_space: str = "ee_pose"


@dataclass
class Observation:
    """One synchronised look at the world.

    :param scene_rgb: (H, W, 3) uint8
    :param scene_depth: (H, W) float32, m along the optical axis; 0 or inf where unknown
    :param wrist_rgb: (H, W, 3) uint8
    :param scene_K: (3, 3) intrinsics of the scene camera, px
    :param scene_position: (3,) of the camera's optical frame in the base frame, m
    :param scene_quaternion: (4,) xyzw, optical frame (x right, y down, z forward)
    :param q: (J,) positions of the arm's joints, rad
    :param tcp_position: (3,) m;  ``tcp_quaternion`` (4,) xyzw
    :param gripper: opening width, m
    :param wrench: (6,) N and N m in the hand frame
    :param stamp: time of the images, s
    :param latent: (T, C) tokeniser latents of the scene image, where already encoded
    """

    scene_rgb: np.ndarray
    scene_depth: np.ndarray
    wrist_rgb: np.ndarray
    scene_K: np.ndarray
    scene_position: np.ndarray
    scene_quaternion: np.ndarray
    q: np.ndarray
    tcp_position: np.ndarray
    tcp_quaternion: np.ndarray
    gripper: float
    wrench: np.ndarray
    stamp: float = 0.0
    latent: np.ndarray | None = None


@dataclass
class ActionChunks:
    """``n`` candidate chunks of ``H`` absolute TCP poses.

    :param position: (n, H, 3) m, base frame
    :param quaternion: (n, H, 4) xyzw
    :param gripper: (n, H) opening width, m
    :param success: (n,) predicted probability that the task is done when the chunk ends
    :param progress: (n,) predicted task progress at the end of the chunk, 0..1
    :param uncertainty: (n,) spread of the candidates' paths, m
    """

    position: np.ndarray
    quaternion: np.ndarray
    gripper: np.ndarray
    dt: float
    success: np.ndarray
    progress: np.ndarray
    uncertainty: np.ndarray

    def __len__(self) -> int:
        return len(self.position)


@dataclass
class Imagination:
    """Futures of ``n`` chunks at ``F`` times.

    :param frames: (n, F, H, W, 3) uint8, or None when nobody looks
    :param times: (F,) s after the observation
    :param latents: (n, F, T, C)
    :param success: (n,) and ``progress`` (n,), as in :class:`ActionChunks`
    :param uncertainty: (n,) m
    """

    frames: np.ndarray | None
    times: np.ndarray
    latents: np.ndarray
    success: np.ndarray
    progress: np.ndarray
    uncertainty: np.ndarray


@dataclass
class State:
    """What the model remembers between calls; opaque to callers."""

    observation: Observation
    memory: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class WorldModel(Protocol):
    """The calls that all families answer."""

    spec: ModelSpec

    def observe(self, observation: Observation, state: State | None = None) -> State:
        """Filter in the newest observation; ``state`` is that of the call before."""

    def act(self, state: State, instruction: str, n: int = 1) -> ActionChunks:
        """Propose ``n`` chunks. :raises UserError: if the words mean no known task."""

    def imagine(self, state: State, chunks: ActionChunks, instruction: str,
                render: bool = True) -> Imagination:
        """Predict the future of each chunk; without words too, then of no task (success NaN, but
        where it comes of a goal image or of geometry)."""

    def surprise(self, state: State, observation: Observation) -> float:
        """How far reality left the last imagined future; 1 is the calibrated limit."""


def new_room(model: WorldModel) -> None:
    """Tell a model that keeps something from call to call, a map or the state of its noise (it
    has ``forget``), that the next look is of another room."""
    forget = getattr(model, "forget", None)
    if forget is not None:
        forget()


@runtime_checkable
class Sceptic(Protocol):
    """Families that can tell an implausible future from a plausible one."""

    def doubt(self, state: State, chunks: ActionChunks, imagined: Imagination,
              instruction: str) -> np.ndarray:
        """(n,) how implausible each imagined future is; 1 is the calibrated limit."""


@runtime_checkable
class Finder(Protocol):
    """Families that say where the things are that the words name."""

    def locate(self, state: State, instruction: str) -> tuple[np.ndarray, np.ndarray]:
        """Tool poses of the next ``K`` grasps, releases or ends, the next one first.

        :return: (K, 3) m and (K, 4) xyzw, base frame
        """
