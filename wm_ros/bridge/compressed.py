# SPDX-License-Identifier: Apache-2.0
"""Compressed images of image_transport as plain ones."""
from __future__ import annotations

import struct

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from wm_ros.bridge.images import NumpyBridge
from wm_ros.errors import UserError

HEAD = struct.Struct("<iff")  # of compressed_depth_image_transport: kind, two quantisation numbers
PNG = b"\x89PNG"


def to_image(message: CompressedImage) -> Image:
    """A JPEG, a PNG or an image of compressedDepth -> sensor_msgs/Image with the same header.

    :raises UserError: when it cannot be decoded
    """
    data = bytes(message.data)
    head = b""
    if data[HEAD.size:HEAD.size + 4] == PNG:
        head, data = data[:HEAD.size], data[HEAD.size:]
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if image is None:
        raise UserError(f"A compressed image ({message.format}) cannot be decoded; only JPEG, PNG "
                        "and compressedDepth as PNG can.")
    if head and message.format.startswith("32FC1"):
        _, a, b = HEAD.unpack(head)
        inverse = np.where(image > 0, image, 1).astype(np.float32)
        image = np.where(image > 0, np.float32(a) / (inverse - np.float32(b)), np.float32(0.0))
    kinds = {("uint8", 2): "mono8", ("uint8", 3): "bgr8", ("uint8", 4): "bgra8",
             ("uint16", 2): "16UC1", ("float32", 2): "32FC1"}
    kind = kinds.get((str(image.dtype), image.ndim if image.ndim == 2 else image.shape[2]))
    if kind is None:
        raise UserError(f"A compressed image of {image.shape} {image.dtype} is not supported.")
    return NumpyBridge().cv2_to_imgmsg(image, kind, message.header)
