# SPDX-License-Identifier: Apache-2.0
"""The embedded motion node changes its planning scene in the order in which it was told to."""
from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from moveit_msgs.msg import AttachedCollisionObject, CollisionObject, PlanningScene
from moveit_msgs.srv import ApplyPlanningScene

from wm_ros.bridge.furniture import collision_object
from wm_ros.motion.planner import Planner
from wm_ros.motion.pose import Pose
from wm_ros.nodes.motion_node import MotionNode
from wm_ros.nodes.motion_scene import SceneKeeper
from wm_ros.robot import load_robot


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


def test_a_whole_scene_is_never_seen_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = load_robot()
    planner, home = Planner(robot), np.array(robot.home)
    keeper = SceneKeeper(robot, planner, lambda _: Pose.identity(), lambda: home)

    def box(name: str, *place: float) -> CollisionObject:
        return collision_object(name, robot.base_link, [("box", (0.1, 0.1, 0.1), Pose.of(place))])
    scene = PlanningScene()
    scene.world.collision_objects = [box("far", 0.0, 2.0, 0.0),
                                     box("wall", *planner.fk(home).position)]
    assert not keeper.apply(scene) and planner.in_collision(home)
    add, looks, seen = planner.add_object, [], []

    def slowly(obj: Any) -> None:
        looks.append(threading.Thread(target=lambda: seen.append(planner.in_collision(home))))
        looks[-1].start()
        time.sleep(0.2)
        add(obj)
    monkeypatch.setattr(planner, "add_object", slowly)
    assert not keeper.apply(scene)
    for look in looks:
        look.join(5.0)
    assert seen == [True, True]
