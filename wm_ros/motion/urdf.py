# SPDX-License-Identifier: Apache-2.0
"""How the links of a URDF stand to each other, and which of them its SRDF lets touch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container
from pathlib import Path
from xml.etree.ElementTree import Element, parse

import numpy as np

from wm_ros.motion.pose import Array, Pose, quaternion_from_rpy


def carried(urdf: Element, link: str) -> set[str]:
    """The link, what is fixed to it, and all that moves on these: fingers, knuckles, pads."""
    found, new = set[str](), set(link_poses(urdf, link))
    joints = [(p.get("link", ""), c.get("link", "")) for joint in urdf.findall("joint")
              if (p := joint.find("parent")) is not None
              and (c := joint.find("child")) is not None]
    while new:
        found |= new
        new = {child for parent, child in joints if parent in found} - found
    return found


def link_poses(urdf: Element, link: str, fixed: bool = True,
               also: Container[str] = ()) -> dict[str, Pose]:
    """Poses (m) in a link's frame of all links that are joined to it, itself included.

    :param urdf: the description's root element
    :param fixed: joined by fixed joints alone; else by any, each of them at zero
    :param also: names of other joints that count as fixed ones, at zero
    """
    near: dict[str, list[tuple[str, Pose]]] = defaultdict(list)
    for joint in urdf.findall("joint"):
        parent, child = joint.find("parent"), joint.find("child")
        held = not fixed or joint.get("type") == "fixed" or joint.get("name") in also
        if parent is None or child is None or not held:
            continue
        above, below, pose = parent.get("link", ""), child.get("link", ""), origin(joint)
        near[above].append((below, pose))
        near[below].append((above, pose.inverse()))
    poses, left = {link: Pose.identity()}, [link]
    while left:
        here = left.pop()
        for there, pose in near[here]:
            if there not in poses:
                poses[there] = poses[here].compose(pose)
                left.append(there)
    return poses


def root_in_base(urdf: Element, base: str) -> tuple[str, Pose]:
    """The URDF's root link, and its pose (m) in the base link."""
    below = set(moved_links(urdf).values())
    return next((link, pose) for link, pose in link_poses(urdf, base, fixed=False).items()
                if link not in below)


def base_in_root(urdf: Element, base: str) -> Pose:
    """Pose (m) of the base link in the URDF's root link.

    Roboplan, Pinocchio and MuJoCo place in the root what no link carries; we give it in the base.
    """
    return root_in_base(urdf, base)[1].inverse()


def disabled_pairs(srdf: Path) -> list[tuple[str, str]]:
    """Link pairs that an SRDF file says never to check for collisions."""
    pairs = parse(srdf).getroot().iter("disable_collisions")
    return [(pair.get("link1", ""), pair.get("link2", "")) for pair in pairs]


def moved_links(urdf: Element) -> dict[str, str]:
    """The link that each joint moves."""
    return {joint.get("name", ""): child.get("link", "") for joint in urdf.findall("joint")
            if (child := joint.find("child")) is not None}


def origin(element: Element) -> Pose:
    """The pose (m) that the ``origin`` in an element gives; none is the identity."""
    node = element.find("origin")
    return Pose.of(numbers(node, "xyz", "0 0 0"), quaternion_from_rpy(*numbers(node, "rpy",
                                                                               "0 0 0")))


def numbers(node: Element | None, name: str, default: str) -> Array:
    """An attribute of an element as numbers."""
    text = default if node is None else node.get(name, default)
    return np.array([float(word) for word in text.split()])
