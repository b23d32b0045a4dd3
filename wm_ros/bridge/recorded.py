# SPDX-License-Identifier: Apache-2.0
"""The messages of a bag by what they are for, as the classes that the nodes receive."""

from __future__ import annotations

import importlib
from collections.abc import Container, Iterator
from functools import cache
from typing import Any, NamedTuple

from tf2_msgs.msg import TFMessage

from wm_ros.bridge import poses, times
from wm_ros.bridge.compressed import to_image
from wm_ros.data.any_bag import AnyBag
from wm_ros.data.bag import Raw
from wm_ros.data.topic_map import TopicMap
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose


class Heard(NamedTuple):
    """A message and its role (see `wm_ros.data.topic_map.ROLES`); time of recording in ns."""

    role: str
    time: int
    message: Any


class Undecoded(NamedTuple):
    """A message that could not be read, and why."""

    role: str
    time: int
    reason: str


def heard(bag: AnyBag, topics: TopicMap, only: Container[str] | None = None
          ) -> Iterator[Heard | Undecoded]:
    """The mapped messages of a bag in the order of recording.

    :param only: roles; None for all
    """
    roles = {t: r for t, r in topics.roles.items() if only is None or r in only}
    for raw in bag.messages(roles):
        try:
            yield Heard(roles[raw.topic], raw.log_time, decode(raw))
        except UserError as error:
            yield Undecoded(roles[raw.topic], raw.log_time, str(error))


def decode(raw: Raw) -> Any:
    """The message as its rclpy class; compressed images become plain ones.

    :raises UserError: it is damaged, or its type is not built here
    """
    from rclpy.serialization import deserialize_message

    try:
        message = deserialize_message(raw.data, message_class(raw.type))
    except Exception as error:  # the middleware's own errors have no common type
        name = type(error).__name__
        raise UserError(f"A message of {raw.topic} is damaged ({name}).") from error
    return to_image(message) if raw.type == "sensor_msgs/msg/CompressedImage" else message


@cache
def message_class(name: str) -> Any:
    """The class of a type such as `sensor_msgs/msg/Image`.

    :raises UserError: it is not built here
    """
    package, kind, base = name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), base)
    except (ImportError, AttributeError) as error:
        raise UserError(f"The message type {name} is not built here; run `make setup`.") from error


def given_transforms(topics: TopicMap) -> TFMessage:
    """The camera poses of the map as static transforms.

    :raises UserError: an entry is not complete
    """
    message = TFMessage()
    for child, entry in topics.camera_poses.items():
        try:
            pose = poses.checked(*Pose.of(entry["position"], entry["quaternion"]))
            transform = poses.to_transform(pose, str(entry["parent"]), child, times.stamp(0.0))
        except (UserError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"camera_poses of {child} needs parent, position [x, y, z] and "
                            "quaternion [x, y, z, w].") from error
        message.transforms.append(transform)
    return message
