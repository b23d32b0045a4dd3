# SPDX-License-Identifier: Apache-2.0
"""An arm joint without ends (a Kinova's) is planned within the limits of the robot's file."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from own_arm import Element, write

from wm_ros.motion.planner import Planner
from wm_ros.motion.pose import distance, top_down
from wm_ros.motion.shapes import Box, SceneObject
from wm_ros.robot import load_robot


@pytest.mark.parametrize("limited", [True, False])
def test_an_endless_joint_counts_as_one_angle(tmp_path: Path, limited: bool) -> None:
    def endless(urdf: Element) -> None:
        for name in ("shoulder_pan_joint", "wrist_3_joint"):
            joint = urdf.find(f"joint[@name='{name}']")
            assert joint is not None
            joint.set("type", "continuous")
            limit = joint.find("limit")
            assert limit is not None
            if limited:
                del limit.attrib["lower"], limit.attrib["upper"]
            else:
                joint.remove(limit)
    planner, known = Planner(load_robot(write(tmp_path, endless))), Planner(load_robot("ur5"))
    home = planner.robot.home
    q = home + [0.4, -0.1, 0.1, 0.2, 0.1, -0.9]
    assert max(distance(planner.fk(q), known.fk(q))) < 1e-9
    assert np.allclose(planner.kinematics.jacobian(q), known.kinematics.jacobian(q))
    tool = planner.fk(q)
    planner.add_object(SceneObject.of("box", Box((0.1, 0.1, 0.1)), tool))
    assert planner.in_collision(q) and planner.contacts(q)
    planner.remove_object("box")
    plan = planner.plan_pose(home, top_down([0.45, 0.25, 0.15]))
    assert plan.success and plan.trajectory.positions.shape[1] == 6
