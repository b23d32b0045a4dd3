# SPDX-License-Identifier: Apache-2.0
"""How the links of a URDF stand to each other."""

from __future__ import annotations

from collections import defaultdict
from xml.etree.ElementTree import Element

from wm_ros.motion.pose import Pose, quaternion_from_rpy


def link_poses(urdf: Element, link: str, fixed: bool = True) -> dict[str, Pose]:
    """Poses (m) in a link's frame of all links that are joined to it, itself included.

    :param urdf: the description's root element
    :param fixed: joined by fixed joints alone; else by any, each of them at zero
    """
    near: dict[str, list[tuple[str, Pose]]] = defaultdict(list)
    for joint in urdf.findall("joint"):
        parent, child = joint.find("parent"), joint.find("child")
        if parent is None or child is None or (fixed and joint.get("type") != "fixed"):
            continue
        above, below, pose = parent.get("link", ""), child.get("link", ""), _origin(joint)
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


def base_in_root(urdf: Element, base: str) -> Pose:
    """Pose (m) of the base link in the URDF's root link.

    Roboplan, Pinocchio and MuJoCo place in the root what no link carries; we give it in the base.
    """
    poses = link_poses(urdf, base, fixed=False)
    below = {child.get("link") for child in urdf.findall("joint/child")}
    return next(pose for link, pose in poses.items() if link not in below).inverse()


def _origin(joint: Element) -> Pose:
    node = joint.find("origin")
    given = {} if node is None else node.attrib
    xyz, rpy = ([float(v) for v in given.get(key, "0 0 0").split()] for key in ("xyz", "rpy"))
    return Pose.of(xyz, quaternion_from_rpy(*rpy))
