# SPDX-License-Identifier: Apache-2.0
"""The same recordings as others make them: another storage, compression, other names."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from mcap.writer import CompressionType
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from sensor_msgs.msg import CompressedImage, JointState

from wm_ros.bridge import images
from wm_ros.bridge.recorded import decode
from wm_ros.data.bag import BagWriter, Raw, read_raw, typestore

BAGS = Path(__file__).parent
Change = Callable[[Raw], Iterator[Raw]]


def by_rosbags(bag: Path, out: Path, plugin: StoragePlugin,
               mode: CompressionMode = CompressionMode.NONE,
               names: dict[str, str] | None = None) -> Path:
    """Written by an independent library in rosbag2's format; topics renamed by ``names``."""
    store = typestore(bag)
    with_names = names or {}
    writer = Writer(out, version=9, storage_plugin=plugin)
    if mode is not CompressionMode.NONE:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for raw in read_raw(bag):
            if raw.topic not in connections:
                connections[raw.topic] = writer.add_connection(
                    with_names.get(raw.topic, raw.topic), raw.type, typestore=store)
            writer.write(connections[raw.topic], raw.log_time, raw.data)
    return out


def changed(bag: Path, out: Path, change: Change) -> Path:
    """Written anew, each message as ``change`` makes it: one, several or none."""
    writer = BagWriter(out, 4 << 20, CompressionType.ZSTD)
    for raw in read_raw(bag):
        for new in change(raw):
            writer.add_topic(new.topic, new.type)
            writer.write(new.topic, new.data, new.log_time, new.publish_time)
    writer.close()
    return out


def as_png(raw: Raw) -> Iterator[Raw]:
    """Colour images as image_transport's compressed ones."""
    if raw.topic.endswith("color/image_raw"):
        message = decode(raw)
        rgb = images.from_colour(message)
        done, png = cv2.imencode(".png", rgb[..., ::-1])
        assert done
        small = CompressedImage(header=message.header, format="rgb8; png compressed bgr8")
        small.data = np.frombuffer(png.tobytes(), np.uint8).tolist()
        raw = raw._replace(topic=raw.topic + "/compressed", data=serialize_message(small),
                           type="sensor_msgs/msg/CompressedImage")
    yield raw


def bent(raw: Raw) -> Iterator[Raw]:
    """Calibrations of lenses that distort, as they stay beside images that were rectified."""
    if raw.topic.endswith("camera_info"):
        message = decode(raw)
        message.d = [0.3, 0.0, 0.0, 0.0, 0.0]
        raw = raw._replace(data=serialize_message(message))
    yield raw


def arm_and_hand_apart(raw: Raw) -> Iterator[Raw]:
    """Joint states as two drivers publish them: one of the hand, one of the arm."""
    if raw.topic != "/joint_states":
        yield raw
        return
    whole = decode(raw)
    for hand in (True, False):
        at = [i for i, name in enumerate(whole.name) if ("finger" in name) == hand]
        message = JointState(header=whole.header, name=[whole.name[i] for i in at])
        for column in ("position", "velocity", "effort"):
            setattr(message, column, [getattr(whole, column)[i] for i in at])
        yield raw._replace(data=serialize_message(message))


def torn(source: Path, folder: Path, share: float) -> None:
    """Write the beginning of a bag's file, as a recorder leaves it that was killed."""
    writer = BagWriter(folder)
    for number, raw in enumerate(read_raw(source)):
        writer.add_topic(raw.topic, raw.type)
        writer.write(raw.topic, raw.data, raw.log_time)
        if number % 20 == 0:
            writer.flush()
    whole = writer.file.read_bytes()
    writer.file.write_bytes(whole[:int(share * len(whole))])
