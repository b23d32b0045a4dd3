# SPDX-License-Identifier: Apache-2.0
"""The URDF as roboplan and Pinocchio read it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from wm_ros import moveit_config
from wm_ros.robot import RobotConfig


def planner_urdf(robot: RobotConfig) -> str:
    """The robot's URDF with the tool as a link, and with a limit on every arm joint.

    An arm joint that turns endlessly keeps within the limits of the robot's file: the libraries
    give such a joint two numbers, its cosine and sine, where all others have one angle.
    """
    text = moveit_config.urdf(robot)
    root = ElementTree.fromstring(text)
    endless = {joint.get("name"): joint for joint in root.findall("joint[@type='continuous']")}
    if not endless.keys() & set(robot.arm_joints):
        return text
    for i, name in enumerate(robot.arm_joints):
        joint = endless.get(name)
        if joint is None:
            continue
        joint.set("type", "revolute")
        limit = joint.find("limit")
        if limit is None:
            limit = ElementTree.SubElement(joint, "limit")
        low, high = robot.position_limits[i]
        for key, value in (("lower", low), ("upper", high),
                           ("velocity", robot.velocity_limits[i]),
                           ("effort", robot.effort_limits[i])):
            limit.set(key, f"{value}")
    return ElementTree.tostring(root, encoding="unicode")
