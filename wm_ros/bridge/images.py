# SPDX-License-Identifier: Apache-2.0
"""Images and camera calibrations between sensor_msgs and numpy.

The two calls are cv_bridge's own. A ROS installation's cv_bridge answers for colour images; on a
machine without one, and for depth images everywhere, a numpy conversion does (rows may be padded).
"""
from __future__ import annotations

import array
from functools import cache
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from wm_ros.errors import UserError

# encoding -> (numpy type of one value, values a pixel)
ENCODINGS: dict[str, tuple[type, int]] = {
    "rgb8": (np.uint8, 3), "bgr8": (np.uint8, 3), "rgba8": (np.uint8, 4), "bgra8": (np.uint8, 4),
    "mono8": (np.uint8, 1), "8UC1": (np.uint8, 1), "8UC3": (np.uint8, 3),
    "mono16": (np.uint16, 1), "16UC1": (np.uint16, 1), "32FC1": (np.float32, 1),
}
# how the channels of an encoding are picked to give red, green, blue
TO_RGB = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2], "bgra8": [2, 1, 0],
          "8UC3": [0, 1, 2], "mono8": [0, 0, 0], "8UC1": [0, 0, 0]}
DEPTH = ("32FC1", "16UC1", "mono16")
BENT = 0.5  # px by which a lens may move what is seen before the image is refused


class NumpyBridge:
    """The part of cv_bridge.CvBridge that the suite needs, with numpy alone."""

    def imgmsg_to_cv2(self, message: Image, desired_encoding: str = "passthrough") -> np.ndarray:
        """sensor_msgs/Image -> (H, W) or (H, W, C) array; converts between colour encodings."""
        image = raw_array(message)
        source = message.encoding
        if desired_encoding in ("passthrough", source):
            return image
        if desired_encoding in ("rgb8", "bgr8") and source in TO_RGB:
            planes = image if image.ndim == 3 else image[..., None]
            rgb = planes[..., TO_RGB[source]]
            return rgb if desired_encoding == "rgb8" else rgb[..., ::-1]
        raise UserError(f"An image in {source} cannot be read as {desired_encoding}; set the "
                        "camera driver to rgb8, bgr8 or mono8.")

    def cv2_to_imgmsg(self, image: np.ndarray, encoding: str = "passthrough",
                      header: Header | None = None) -> Image:
        """(H, W) or (H, W, C) array -> sensor_msgs/Image with unpadded rows."""
        if encoding not in ENCODINGS:
            raise UserError(f"The image encoding {encoding} is not known.")
        kind, channels = ENCODINGS[encoding]
        data: np.ndarray = np.ascontiguousarray(image, dtype=kind)
        if data.size != image.shape[0] * image.shape[1] * channels:
            raise UserError(f"An array of shape {image.shape} is no {encoding} image.")
        message = Image(height=int(image.shape[0]), width=int(image.shape[1]), encoding=encoding,
                        is_bigendian=0, step=int(image.shape[1] * channels * data.itemsize))
        # an array.array is stored as it is; anything else is checked value by value
        message.data = array.array("B", data.tobytes())
        if header is not None:
            message.header = header
        return message


def raw_array(message: Image) -> np.ndarray:
    """The pixels of an image as they are, without the padding at the ends of the rows.

    :raises UserError: when the encoding is unknown or the data is too short
    """
    if message.encoding not in ENCODINGS:
        raise UserError(f"The image encoding {message.encoding!r} is not supported; set the "
                        f"camera driver to one of {', '.join(ENCODINGS)}.")
    kind, channels = ENCODINGS[message.encoding]
    item = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    height, width = int(message.height), int(message.width)
    row = width * channels * item.itemsize
    step = int(message.step) or row
    data = np.frombuffer(memoryview(message.data), dtype=np.uint8)
    if height * width == 0 or step < row or data.size < step * (height - 1) + row:
        raise UserError(f"An image of {width} x {height} {message.encoding} holds only "
                        f"{data.size} bytes in rows of {step}.")
    padded = np.zeros(step * height, dtype=np.uint8)
    padded[:min(data.size, padded.size)] = data[:padded.size]
    rows = np.ascontiguousarray(padded.reshape(height, step)[:, :row])
    image = rows.view(item).reshape((height, width, channels) if channels > 1 else (height, width))
    return image.astype(kind, copy=False)


@cache
def colour_bridge() -> Any:
    """cv_bridge's CvBridge where a ROS installation brings it, else its numpy stand-in."""
    try:
        from cv_bridge import CvBridge
        from cv_bridge.boost import cv_bridge_boost
    except Exception:  # none, or one built for another numpy, which says SystemError
        return NumpyBridge()
    compiled = not str(cv_bridge_boost.__file__).endswith(".py")  # in ROS installations only
    return CvBridge() if compiled else NumpyBridge()


def from_colour(message: Image) -> np.ndarray:
    """Any colour or grey image -> (H, W, 3) uint8 RGB."""
    unpadded = int(message.step) in (0, message.width * ENCODINGS.get(
        message.encoding, (np.uint8, 0))[1])
    bridge = colour_bridge() if unpadded else NumpyBridge()
    try:
        image = bridge.imgmsg_to_cv2(message, desired_encoding="rgb8")
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"A {message.encoding} image cannot be read as rgb8: {error}") from error
    return np.ascontiguousarray(image)


def to_colour(image: np.ndarray, stamp: Time, frame: str) -> Image:
    """(H, W, 3) uint8 RGB -> sensor_msgs/Image in rgb8."""
    return NumpyBridge().cv2_to_imgmsg(image, "rgb8", Header(stamp=stamp, frame_id=frame))


def from_depth(message: Image) -> np.ndarray:
    """A depth image (32FC1 in metres, 16UC1 in millimetres) -> (H, W) float32 metres.

    Where the camera saw nothing (0, NaN, infinity) the depth is 0.
    """
    if message.encoding not in DEPTH:
        raise UserError(f"A depth image must be 32FC1 (metres) or 16UC1 (millimetres), not "
                        f"{message.encoding!r}; set the depth camera's driver accordingly.")
    depth = raw_array(message)
    if message.encoding == "32FC1":
        return np.where(np.isfinite(depth), depth, np.float32(0.0))
    return depth.astype(np.float32) / np.float32(1000.0)


def to_depth(depth: np.ndarray, stamp: Time, frame: str) -> Image:
    """(H, W) metres -> sensor_msgs/Image in 32FC1."""
    return NumpyBridge().cv2_to_imgmsg(depth, "32FC1", Header(stamp=stamp, frame_id=frame))


def from_camera_info(message: CameraInfo, rectified: bool = False) -> np.ndarray:
    """CameraInfo -> (3, 3) intrinsic matrix in pixels.

    :param rectified: that of the rectified images, not of those that the camera took
    """
    return np.array(message.p if rectified else message.k, dtype=float).reshape(3, -1)[:, :3]


def check_calibration(info: CameraInfo, color: Image, camera: str, setting: str,
                      rectified: bool = False) -> None:
    """Whether a calibration can be that of a camera's colour images.

    :param camera: the camera in words;  ``setting``: the parameter that names its calibration
    :param rectified: the images are, so that the lens's distortion does not count
    :raises UserError: for another resolution, without focal lengths, or for a lens that bends
    """
    for of_info, of_image in ((info.width, color.width), (info.height, color.height)):
        if of_info not in (0, of_image):  # 0: some drivers leave the size out
            raise UserError(
                f"The calibration of {camera} is for {info.width} x {info.height} pixels, but its "
                f"images have {color.width} x {color.height}; let {setting} name the camera_info "
                "of the same images.")
    matrix = from_camera_info(info, rectified)
    focal = np.diag(matrix)[:2]
    if not (np.isfinite(matrix).all() and (focal > 0.0).all()):
        raise UserError(
            f"The calibration of {camera} gives no focal lengths (fx {focal[0]:g}, fy "
            f"{focal[1]:g}); calibrate the camera, or let {setting} name another camera_info.")
    bent = 0.0 if rectified else lens_shift(info, color.width, color.height)
    if not bent <= BENT:  # nor NaN
        raise UserError(
            f"The lens of {camera} bends its images by up to {bent:.1f} pixels, which is not "
            "undone here; let topics name rectified images (image_proc makes them) and set "
            "perception.rectified_images (wm convert and wm replay: --rectified).")


def lens_shift(info: CameraInfo, width: int, height: int) -> float:
    """How far (px) the lens moves what the middle square of an image shows from where K has it.

    :param width: of the image, px;  ``height`` likewise
    """
    d = np.array(info.d, dtype=float)
    if not d.any():
        return 0.0
    import cv2

    k, side = from_camera_info(info), min(width, height)
    steps = np.linspace(0.0, side - 1.0, 9)
    u, v = np.meshgrid(steps + (width - side) // 2, steps + (height - side) // 2)
    straight = np.stack([u.ravel(), v.ravel()], axis=1)
    rays = (straight - k[:2, 2]) / np.diag(k)[:2]
    d = np.append(d, np.zeros(14))
    if info.distortion_model == "equidistant":  # of fisheye lenses
        seen = cv2.fisheye.distortPoints(rays[None], k, d[:4])
    else:  # plumb_bob, rational_polynomial and what extends them
        rays = np.column_stack([rays, np.ones(len(rays))])
        seen = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), k, d[:14])[0]
    return float(np.linalg.norm(seen.reshape(-1, 2) - straight, axis=1).max())


def check_registered(depth: Image, color: Image, setting: str) -> None:
    """Whether each pixel of a depth image can be that of the colour image.

    :param setting: the parameter that names the depth images
    :raises UserError: when size or frame tell of another camera
    """
    sizes = [f"{image.width} x {image.height} pixels" for image in (depth, color)]
    frames = [str(image.header.frame_id) for image in (depth, color)]
    for mine, other in (sizes, frames):
        if mine and other and mine != other:
            raise UserError(
                f"The depth image ({mine}) is not registered to the colour image ({other}); let "
                f"{setting} name depth that is, such as /camera/aligned_depth_to_color/image_raw.")


def to_camera_info(matrix: np.ndarray, size: tuple[int, int], stamp: Time,
                   frame: str) -> CameraInfo:
    """(3, 3) intrinsics and (width, height) -> CameraInfo of a camera without distortion."""
    k = [float(v) for v in np.asarray(matrix).reshape(9)]
    info = CameraInfo(width=int(size[0]), height=int(size[1]), distortion_model="plumb_bob")
    info.header = Header(stamp=stamp, frame_id=frame)
    info.d = [0.0] * 5
    info.k = k
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [k[0], k[1], k[2], 0.0, k[3], k[4], k[5], 0.0, k[6], k[7], k[8], 0.0]
    return info


def square(image: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the middle square out of an image and bring it to ``size`` pixels.

    :param image: (H, W, C) colour or (H, W) depth; depth is picked, never averaged
    :param matrix: (3, 3) intrinsics of ``image``
    :returns: (size, size, ...) image and its intrinsics
    """
    height, width = image.shape[:2]
    if height == width == size:
        return image, matrix
    import cv2

    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = image[top:top + side, left:left + side]
    how = cv2.INTER_NEAREST_EXACT if image.ndim == 2 else cv2.INTER_AREA
    scale = size / side
    new = matrix.astype(float).copy()
    new[0, 2] = (new[0, 2] - left + 0.5) * scale - 0.5
    new[1, 2] = (new[1, 2] - top + 0.5) * scale - 0.5
    new[0, 0] *= scale
    new[1, 1] *= scale
    return np.ascontiguousarray(cv2.resize(cut, (size, size), interpolation=how)), new
