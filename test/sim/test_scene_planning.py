# SPDX-License-Identifier: Apache-2.0
"""The planner's boxes follow the furniture and leave the work free."""

from __future__ import annotations

import numpy as np
import pytest
from hand import simulator

from wm_ros.sim.benchmark import benchmark
from wm_ros.sim.planning import planning_boxes


@pytest.mark.parametrize("room", ["home", "office"])
def test_handles_things_and_grasps_are_outside_the_planning_boxes(room):
    furniture = {"home": ("cabinet", "drawer_unit"), "office": ("button_panel", "drawer_unit")}
    sim = simulator(room, 3, furniture=furniture[room], clutter=(2, 3))
    boxes = planning_boxes(sim.scene)
    names = {box.id for box in boxes}
    assert len(names) == len(boxes) and all((box.size > 0).all() for box in boxes)
    assert set(furniture[room]) <= names
    joints = [b.joint.name for b in sim.scene.bodies() if b.joint is not None]
    points = [sim.handle_pose(name).position for name in joints]
    points += [sim.object_pose(o.name).apply(np.array(o.grasp.position))
               for o in sim.scene.objects]
    for box in boxes:
        for point in points:
            inside = np.abs(box.pose.inverse().apply(point)) <= 0.5 * box.size
            assert not inside.all(), box.id
    # under the table top there is table
    top = [b for b in boxes if b.id.startswith(("counter", "desk"))]
    assert any((np.abs(b.pose.inverse().apply(np.array([0.5, 0, -0.02]))) <= 0.5 * b.size).all()
               for b in top)


def test_the_benchmark_reports_every_figure():
    figures = benchmark(0.02)
    for room in ("home", "office"):
        assert figures[room]["scene_depth_96x96_fps"] > 10
        assert figures[room]["physics_x_real_time"] > 1
