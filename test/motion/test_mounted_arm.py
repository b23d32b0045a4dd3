# SPDX-License-Identifier: Apache-2.0
"""An arm whose base is not its URDF's root: everything is still meant in the base frame."""
from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import numpy as np
import pytest
from own_arm import Element, fixed, mount, write

from wm_ros.motion.planner import Planner
from wm_ros.motion.pose import Pose, distance, quaternion_from_rpy
from wm_ros.motion.shapes import Box, SceneObject
from wm_ros.motion.urdf import link_poses
from wm_ros.robot import RobotConfig, load_robot
from wm_ros.sim.schema import Scene

BASE = Pose.of([0.3, 0.1, 0.8], [0, 0, 0.5**0.5, 0.5**0.5])  # in the URDF's root


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> RobotConfig:
    return load_robot(write(tmp_path_factory.mktemp("mounted"), mount))


@pytest.fixture()
def planner(robot: RobotConfig) -> Planner:
    return Planner(robot)


def test_obstacles_stand_where_the_base_frame_has_them(planner: Planner) -> None:
    home = planner.robot.home
    tool = planner.fk(home)
    away = Pose(tool.position + [0.4, 0, 0], tool.quaternion)
    planner.add_object(SceneObject.of("box", Box((0.1, 0.1, 0.1)), away))
    assert not planner.in_collision(home)
    planner.move_object("box", tool)
    assert planner.in_collision(home)
    planner.remove_object("box")
    planner.add_object(SceneObject.of("box", Box((0.1, 0.1, 0.1)), tool))
    assert planner.in_collision(home)
    planner.attach("box", home)
    assert not planner.in_collision(home)
    assert max(distance(planner.held_pose("box", home), tool)) < 1e-6
    planner.detach("box", home)
    assert planner.in_collision(home)


def test_contacts_come_back_in_the_base_frame(planner: Planner) -> None:
    home = planner.robot.home
    tool = planner.fk(home)
    block = Box((0.02, 0.3, 0.02))  # under the fingertips, of which both rest on it
    planner.add_object(SceneObject.of("block", block, Pose.of(tool.position - [0, 0, 0.015])))
    found = planner.contacts(home)
    assert found
    for contact in found:
        assert np.linalg.norm(contact.position - tool.position) < 0.1
        assert abs(contact.normal[2]) > 0.99


def test_a_held_object_touches_where_it_is(planner: Planner) -> None:
    home = planner.robot.home
    tool = planner.fk(home)
    planner.add_object(SceneObject.of("mug", Box((0.04, 0.04, 0.1)), Pose.of(tool.position)))
    planner.attach("mug", home)
    below = Pose.of(tool.position - [0, 0, 0.05])
    planner.add_object(SceneObject.of("plate", Box((0.1, 0.1, 0.02)), below))
    pairs = {frozenset((c.body_1, c.body_2)) for c in planner.contacts(home)}
    assert frozenset(("mug", "plate")) in pairs


def answers(planner: Planner) -> Any:
    """The motion node's answers, without a node."""
    motion_answers = pytest.importorskip("wm_ros.nodes.motion_answers")
    robot = planner.robot
    node = SimpleNamespace(robot=robot, create_publisher=lambda *_: None)
    state = SimpleNamespace(width=robot.gripper.open_width, last=lambda: robot.home)
    return motion_answers.Answers(cast(Any, node), planner, cast(Any, state))


def test_the_frame_world_is_the_urdfs_own(planner: Planner) -> None:
    frame = answers(planner).frame
    assert max(distance(frame("world"), BASE.inverse())) < 1e-6
    for name in ("", "base_link"):
        assert max(distance(frame(name), Pose.identity())) == 0.0


def test_the_frame_world_is_the_base_where_the_urdf_has_none() -> None:
    assert max(distance(answers(Planner(load_robot("ur5"))).frame("world"), Pose.identity())) == 0


@pytest.mark.parametrize("root", ["world", "stand"])  # MuJoCo makes a root "world" its own
def test_the_simulated_arm_stands_with_its_base_in_the_world(tmp_path: Path, root: str) -> None:
    from wm_ros.sim.simulator import Simulator

    def foot(urdf: Element) -> None:
        mount(urdf, root)
        base = urdf.find("link[@name='base_link']/collision")
        link = urdf.find(f"link[@name='{root}']")
        assert base is not None and link is not None
        link.append(base)

    robot = load_robot(write(tmp_path, foot))
    sim = Simulator(Scene("empty", 0, "train", (), (), (), (), 0.4, {}), robot)
    sim.set_arm(robot.home)
    assert np.allclose(sim.tcp_pose().position, [0.40, 0.0, 0.35], atol=1e-3)
    # the stand's mesh, whose own frame MuJoCo turns, goes with it
    near = load_robot("ur5")
    of_base = Simulator(sim.scene, near)
    shift = BASE.inverse().position
    place = of_base.data.geom_xpos[of_base.model.body("base_link").geomadr[0]]
    assert np.allclose(sim.data.geom_xpos[0], BASE.inverse().rotation() @ place + shift, atol=1e-6)


@pytest.mark.parametrize("root", ["world", "stand"])
def test_transforms_tell_of_one_tree_with_the_cameras_about_the_base(
        tmp_path: Path, root: str) -> None:
    simulation_node = pytest.importorskip("wm_ros.nodes.simulation_node")
    from wm_ros.bridge.transforms import TransformBuffer

    robot = load_robot(write(tmp_path, lambda urdf: mount(urdf, root)))
    eye = Pose.of([1.0, 0.0, 0.5])
    sim = Mock(scene=Mock(furnishings=()), tcp_pose=Pose.identity)
    sim.render.return_value.pose = eye
    told = Mock()
    node = SimpleNamespace(robot=robot, _furniture_out=Mock(), _static_out=told,
                           number=lambda _: 0.0, text=str,
                           _message=simulation_node.SimulationNode._message)
    simulation_node.SimulationNode._read(node, robot.urdf_path.read_text())
    simulation_node.SimulationNode._announce(node, Mock(sim=sim, now=1.0))
    links = told.publish.call_args.args[0].transforms
    assert len({link.child_frame_id for link in links}) == len(links), "two parents of one frame"
    known = TransformBuffer()
    known.add(links, static=True)
    assert max(distance(known.lookup("base_link", "frames.scene_camera", 1.0), eye)) < 1e-6
    base = BASE if root == "world" else Pose.identity()
    assert max(distance(known.lookup("world", "base_link", 1.0), base)) < 1e-6
    assert max(distance(known.lookup(root, "base_link", 1.0), BASE)) < 1e-6


@pytest.mark.parametrize("root", ["world", "stand"])
def test_in_gazebo_the_base_stands_in_the_worlds_origin(tmp_path: Path, root: str) -> None:
    from wm_ros.sim.gazebo_robot import robot_urdf, spawn_pose

    robot = load_robot(write(tmp_path, lambda urdf: mount(urdf, root)))
    scene = Scene("empty", 0, "train", (), (), (), (), 0.4, {})
    urdf = ElementTree.fromstring(robot_urdf(robot, scene, tmp_path / "controllers.yaml"))
    assert len(urdf.findall("link[@name='world']")) == 1
    spawned, words = Pose.identity(), spawn_pose(robot)
    if words:
        assert words[::2] == ["-x", "-y", "-z", "-R", "-P", "-Y"]
        numbers = [float(word) for word in words[1::2]]
        spawned = Pose.of(numbers[:3], quaternion_from_rpy(*numbers[3:]))
    base = spawned.compose(link_poses(urdf, "world")["base_link"])
    assert max(distance(base, Pose.identity())) < 1e-5


def test_the_robots_pixels_are_masked_where_it_stands(robot: RobotConfig) -> None:
    from wm_ros.world_model.scene3d.robot_mask import RobotMask

    K = np.array([[40.0, 0, 24], [0, 40.0, 24], [0, 0, 1]])
    eye = Pose.of([1.2, 0.0, 0.4], [-0.5, -0.5, 0.5, 0.5])  # looks along -x
    depths = []
    for arm in (robot, load_robot("ur5")):
        mask = RobotMask(arm)
        depths.append(mask.depth(arm.home, 0.08, K, eye, (48, 48)))
        mask.close()
    assert np.isfinite(depths[1]).sum() > 50
    assert (np.isfinite(depths[0]) == np.isfinite(depths[1])).mean() > 0.99


def test_the_twin_has_the_tool_where_kinematics_has_it(robot: RobotConfig) -> None:
    from wm_ros.world_model.scene3d.perceived import empty
    from wm_ros.world_model.scene3d.twin import Twin

    twin = Twin(empty(), robot, robot.home, 0.08)
    found = twin.sim.tcp_pose().position
    wanted = twin.kinematics.fk(twin.sim.q).position
    twin.close()
    assert np.linalg.norm(found - wanted) < 1e-3


def test_what_is_bolted_to_the_base_may_stand_on_an_obstacle(tmp_path: Path) -> None:
    def inertia_link(urdf: Element) -> None:
        """The base's body on a link of its own, as the maker's URDF has it."""
        base, link = urdf.find("link[@name='base_link']"), Element("link", name="base_inertia")
        assert base is not None
        link.extend(list(base))
        urdf.append(link)
        for part in list(base):
            base.remove(part)
        fixed(urdf, "base_link", "base_inertia")

    planner = Planner(load_robot(write(tmp_path, inertia_link)))
    home = planner.robot.home
    table = Box((1.0, 1.0, 0.1))
    planner.add_object(SceneObject.of("table", table, Pose.of([0.2, 0.0, -0.05])))
    assert not planner.in_collision(home) and not planner.contacts(home)
    planner.add_object(SceneObject.of("block", Box((0.1, 0.1, 0.1)), planner.fk(home)))
    assert planner.in_collision(home)
