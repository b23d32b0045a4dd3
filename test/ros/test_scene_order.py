# SPDX-License-Identifier: Apache-2.0
"""The embedded motion node changes its planning scene in the order in which it was told to."""
from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from moveit_msgs.msg import AttachedCollisionObject, CollisionObject, PlanningScene
from moveit_msgs.srv import ApplyPlanningScene

from wm_ros.nodes.motion_node import MotionNode


def test_a_slow_change_of_the_scene_is_not_overtaken(ros: None) -> None:
    node, done = MotionNode(), []
    try:
        node.configure()

        def change(message: Any) -> list[str]:
            name = getattr(message, "object", message)
            name = getattr(name, "id", "") or name.name
            time.sleep(0.2 if name == "first" else 0.0)
            done.append(name)
            return []

        node._keeper = SimpleNamespace(  # type: ignore[assignment]
            change_object=change, change_attached=change, apply=change)
        served = next(s for s in node.services if s.srv_name == "/apply_planning_scene")
        node._hear_object(CollisionObject(id="first"))
        asked = served.callback(
            ApplyPlanningScene.Request(scene=PlanningScene(name="second")),
            ApplyPlanningScene.Response())
        asked.send(None)
        node._hear_attached(AttachedCollisionObject(object=CollisionObject(id="third")))
        node._hear_scene(PlanningScene(name="fourth"))
        limit = time.monotonic() + 5.0
        while len(done) < 4 and time.monotonic() < limit:
            time.sleep(0.01)
        assert done == ["first", "second", "third", "fourth"]
        asked.close()
    finally:
        node.stop()
        node.destroy_node()
