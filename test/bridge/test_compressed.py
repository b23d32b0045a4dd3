# SPDX-License-Identifier: Apache-2.0
"""Compressed images of cameras' drivers arrive as the plain ones would."""
from __future__ import annotations

import struct

import numpy as np
import pytest

pytest.importorskip("rclpy")
import cv2  # noqa: E402
from sensor_msgs.msg import CompressedImage  # noqa: E402

from wm_ros.bridge import images  # noqa: E402
from wm_ros.bridge.compressed import to_image  # noqa: E402
from wm_ros.errors import UserError  # noqa: E402


def message(kind: str, data: bytes) -> CompressedImage:
    made = CompressedImage(format=kind)
    made.data = list(data)
    return made


def png(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", image)
    assert done
    return bytes(data.tobytes())


def test_colours_keep_their_order() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    found = to_image(message("rgb8; png compressed bgr8", png(rgb[..., ::-1])))
    np.testing.assert_array_equal(images.from_colour(found), rgb)


def test_depth_in_millimetres_comes_back_in_metres() -> None:
    depth = np.random.default_rng(0).integers(0, 5000, (12, 16), np.uint16)
    found = to_image(message("16UC1; compressedDepth png", bytes(12) + png(depth)))
    np.testing.assert_allclose(images.from_depth(found), depth / 1000.0, atol=1e-6)


def test_depth_in_metres_is_unpacked_by_its_own_numbers() -> None:
    depth = np.random.default_rng(0).uniform(0.5, 5.0, (12, 16)).astype(np.float32)
    a, b = 100.0 * 101.0, 100.0 - 100.0 * 101.0 / 10.0  # as compressed_depth_image_transport
    packed = np.round(a / depth + b).astype(np.uint16)
    packed[0, 0] = 0
    data = struct.pack("<iff", 0, a, b) + png(packed)
    found = images.from_depth(to_image(message("32FC1; compressedDepth png", data)))
    assert found[0, 0] == 0.0
    np.testing.assert_allclose(found.ravel()[1:], depth.ravel()[1:], rtol=2e-3)


@pytest.mark.parametrize("data", [b"", b"no image at all", bytes(12) + b"\x89PNG broken"])
def test_what_cannot_be_decoded_is_said(data: bytes) -> None:
    with pytest.raises(UserError, match="cannot be decoded"):
        to_image(message("png", data))
