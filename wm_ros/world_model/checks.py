# SPDX-License-Identifier: Apache-2.0
"""What the families ask of observations and chunks before a network sees them."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wm_ros.errors import UserError
from wm_ros.world_model.interface import ActionChunks, Observation


def check(o: Observation, size: int, values: Mapping[str, np.ndarray | float]) -> None:
    """Refuse images that are not (size, size, 3) uint8 and values, by name, that are not finite.

    :raises UserError: with what to do
    """
    check_image("scene", o.scene_rgb, size)
    check_image("wrist", o.wrist_rgb, size)
    check_finite(values)


def check_image(name: str, image: np.ndarray, size: int) -> None:
    """Refuse an image that is not (size, size, 3) uint8. :raises UserError: with what to do"""
    if image.shape != (size, size, 3):
        raise UserError(f"The {name} image is {image.shape}, the model takes ({size}, {size}, 3): "
                        "let perception resize it.")
    if image.dtype != np.uint8:
        raise UserError(f"The {name} image holds {image.dtype}, the model takes uint8: bring its "
                        "colours to whole numbers from 0 to 255.")


def check_finite(values: Mapping[str, np.ndarray | float]) -> None:
    """Refuse values, by name, that are not finite. :raises UserError: with what to do"""
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise UserError(f"The {name} hold NaN: check the driver that publishes them.")


def check_geometry(o: Observation, size: int) -> None:
    """Refuse what places pixels and forces nowhere: another depth than (size, size) floats or
    none, a camera without calibration, poses without rotation, a wrench that is not six finite
    numbers.

    :raises UserError: with what to do
    """
    if o.scene_depth.shape != (size, size):
        raise UserError(f"The depth is {o.scene_depth.shape}, the model takes {size} x {size}: "
                        "let perception resize it.")
    if not np.issubdtype(o.scene_depth.dtype, np.floating):
        raise UserError(f"The depth holds {o.scene_depth.dtype}, the model takes metres as "
                        "float32: divide millimetres by 1000.")
    if not (np.isfinite(o.scene_depth) & (o.scene_depth > 0)).any():
        raise UserError("The scene camera gives no depth, without which the model cannot know "
                        "where things are: set topics.scene_depth, and perception's depth to "
                        "true.")
    k = np.asarray(o.scene_K)
    if k.shape != (3, 3) or not np.isfinite(k).all() or k[0, 0] <= 0 or k[1, 1] <= 0:
        raise UserError("The scene camera's K gives no focal length: calibrate the camera, or "
                        "check its camera_info.")
    if not np.isfinite(o.scene_position).all():
        raise UserError("The camera pose holds NaN: check the transforms to the scene camera.")
    for name, quaternion in (("camera", o.scene_quaternion), ("tool", o.tcp_quaternion)):
        if not 0.9 < np.linalg.norm(quaternion) < 1.1:
            raise UserError(f"The {name}'s rotation is no unit quaternion: check the transforms.")
    if np.shape(o.wrench) != (6,) or not np.isfinite(o.wrench).all():
        raise UserError("The wrench is not six finite numbers: check the force-torque sensor's "
                        "driver.")


def check_chunks(chunks: ActionChunks, horizon: int | None = None,
                 dt: float | None = None) -> None:
    """Refuse chunks that hold NaN, or that are not ``horizon`` steps long or ``dt`` (s) a step
    where those are fixed.

    :raises UserError: with what is wrong
    """
    steps = chunks.position.shape[1]
    if horizon is not None and steps != horizon:
        raise UserError(f"The chunks have {steps} steps, the model imagines {horizon}.")
    if dt is not None and not abs(chunks.dt - dt) <= 0.01 * dt:
        raise UserError(f"The chunks' steps are {chunks.dt:g} s apart, the model imagines steps "
                        f"of {dt:g} s: resample the chunks.")
    for name in ("position", "quaternion", "gripper"):
        if not np.isfinite(getattr(chunks, name)).all():
            raise UserError(f"The chunks' {name} holds NaN: nothing is imagined.")
