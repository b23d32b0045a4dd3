# SPDX-License-Identifier: Apache-2.0
"""Where each link of a robot is in its parent, from the URDF; what goes out on /tf."""
from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from wm_ros.motion.pose import Pose, quaternion_from_rotvec, quaternion_multiply
from wm_ros.motion.urdf import numbers, origin


class _Joint(NamedTuple):
    name: str
    kind: str
    parent: str
    child: str
    origin: Pose
    axis: np.ndarray
    mimic: tuple[str, float, float] | None


class LinkPose(NamedTuple):
    """Pose of ``child`` in ``parent``."""

    parent: str
    child: str
    pose: Pose


class LinkTree:
    """The joints of a URDF; forward kinematics one joint at a time.

    :param urdf: the description's text
    """

    def __init__(self, urdf: str) -> None:
        root = ElementTree.fromstring(urdf)
        self._joints = [_joint(node) for node in root.findall("joint")]
        self.links = {node.get("name", "") for node in root.findall("link")}

    def fixed(self) -> list[LinkPose]:
        """Links that never move in their parent."""
        return [LinkPose(j.parent, j.child, j.origin) for j in self._joints if j.kind == "fixed"]

    def moving(self, values: Mapping[str, float]) -> list[LinkPose]:
        """Links that move, at joint values (rad or m) by name; unknown joints count as 0."""
        out = []
        for j in self._joints:
            if j.kind == "fixed":
                continue
            value = float(values.get(j.name, 0.0))
            if j.name not in values and j.mimic is not None:
                source, factor, offset = j.mimic
                value = factor * float(values.get(source, 0.0)) + offset
            if j.kind == "prismatic":
                motion = Pose.of(j.axis * value)
                out.append(LinkPose(j.parent, j.child, j.origin.compose(motion)))
            else:
                turn = quaternion_from_rotvec(j.axis * value)
                out.append(LinkPose(j.parent, j.child, Pose(
                    j.origin.position, quaternion_multiply(j.origin.quaternion, turn))))
        return out


def _joint(node: ElementTree.Element) -> _Joint:
    axis, mimic = node.find("axis"), node.find("mimic")
    parent, child = node.find("parent"), node.find("child")
    if parent is None or child is None:
        raise ValueError(f"joint {node.get('name')} lacks a parent or a child")
    direction = numbers(axis, "xyz", "1 0 0")
    return _Joint(
        node.get("name", ""), node.get("type", "fixed"), parent.get("link", ""),
        child.get("link", ""),
        origin(node),
        direction / np.linalg.norm(direction),
        None if mimic is None else (mimic.get("joint", ""), float(mimic.get("multiplier", "1")),
                                    float(mimic.get("offset", "0"))))

