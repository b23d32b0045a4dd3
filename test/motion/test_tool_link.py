# SPDX-License-Identifier: Apache-2.0
"""The tool centre point as a link: the URDF may lack it, but must not have it elsewhere."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from own_arm import Element, drop_tool, write

from wm_ros.errors import UserError
from wm_ros.motion.planner import Planner
from wm_ros.motion.pose import Pose, distance
from wm_ros.motion.shapes import Box, SceneObject
from wm_ros.robot import load_robot

BOX = Box((0.04, 0.04, 0.1))


@pytest.fixture()
def planner(tmp_path: Path) -> Planner:
    return Planner(load_robot(write(tmp_path, drop_tool)))


def test_a_tool_that_the_urdf_lacks_is_a_link_like_others(planner: Planner) -> None:
    home = planner.robot.home
    assert planner.link_pose(home, "hand_tcp").position == pytest.approx([0.4, 0, 0.35], abs=1e-4)
    tool = planner.fk(home).position
    planner.add_object(SceneObject.of("mug", BOX, Pose.of(tool)))
    planner.attach("mug", home)
    assert not planner.in_collision(home) and not planner.contacts(home)
    turned = home + [0.5, 0, 0, 0, 0, 0]
    assert distance(planner.held_pose("mug", turned), planner.fk(turned))[0] < 1e-6
    planner.detach("mug", home)
    assert planner.in_collision(home)


@pytest.mark.parametrize("bad", [
    SceneObject.of("mug", Box((0.1, -0.1, 0.1)), Pose.identity()), SceneObject("mug", ()),
    SceneObject.of("mug", BOX, Pose.of([np.nan, 0, 0]))])
def test_what_cannot_be_held_leaves_the_scene_as_it_was(planner: Planner, bad: SceneObject
                                                        ) -> None:
    home = planner.robot.home
    planner.add_object(SceneObject.of("mug", BOX, planner.fk(home)))
    with pytest.raises(ValueError, match="mug"):
        planner.attach("mug", home, obj=bad)
    assert list(planner.scene.objects) == ["mug"] and not planner.scene.attached
    assert planner.in_collision(home)


@pytest.mark.parametrize("place", [([0.0, 0.0, 0.1054], [0, 0, 0, 1]),
                                   ([0.0, 0.0, 0.1034], [0, 0, 0.3827, 0.9239])])
def test_a_tool_that_the_urdf_has_elsewhere_is_refused(tmp_path: Path, place: tuple[list, list]
                                                       ) -> None:
    offset = {"position": place[0], "quaternion": place[1]}
    with pytest.raises(UserError, match=r"write position \[0.0, 0.0, 0.1034\]") as caught:
        load_robot(write(tmp_path, tcp_offset=offset))
    assert "hand_tcp" in str(caught.value) and "\n" not in str(caught.value)
    mine = load_robot(write(tmp_path, drop_tool, tcp_offset=offset))
    assert np.allclose(mine.tcp_offset.position, place[0])


def test_a_tool_that_moves_in_the_hand_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no fixed joints lead from its hand_link hand"):
        load_robot(write(tmp_path, tcp_link="left_finger"))


def test_a_urdf_that_xacro_has_not_seen_is_refused(tmp_path: Path) -> None:
    def unfinished(urdf: Element) -> None:
        origin = urdf.find("joint[@name='hand_tcp_joint']/origin")
        assert origin is not None
        origin.set("xyz", "0 0 ${length}")
    with pytest.raises(UserError, match="ur5.urdf is not a plain URDF"):
        load_robot(write(tmp_path, unfinished))
