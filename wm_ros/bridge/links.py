# SPDX-License-Identifier: Apache-2.0
"""Which links of a robot stand where the joints of its arm put them."""
from __future__ import annotations

from xml.etree import ElementTree

from wm_ros.robot import RobotConfig


def told_by_arm(robot: RobotConfig) -> set[str]:
    """Links that nothing but fixed joints and joints of the arm ties to the base link.

    Where another one is, on a finger or on a head that pans, the arm's joints do not tell.
    """
    joined: dict[str, list[str]] = {}
    for joint in ElementTree.fromstring(robot.urdf_path.read_text(encoding="utf-8")).iter("joint"):
        parent, child = joint.find("parent"), joint.find("child")
        if parent is None or child is None or not (
                joint.get("type") == "fixed" or joint.get("name") in robot.arm_joints):
            continue
        ends = parent.get("link", ""), child.get("link", "")
        for one, other in (ends, ends[::-1]):  # what the base stands on is fixed to it, too
            joined.setdefault(one, []).append(other)
    found, left = {robot.base_link}, [robot.base_link]
    while left:
        new = [link for link in joined.get(left.pop(), ()) if link not in found]
        found.update(new)
        left += new
    return found
