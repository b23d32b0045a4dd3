# SPDX-License-Identifier: Apache-2.0
"""What RViz shows: every topic of its files is published, and what is drawn says the truth."""
from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from moveit_msgs.msg import CollisionObject, PlanningScene
from std_msgs.msg import Header, String
from visualization_msgs.msg import Marker

from wm_ros.bridge import chunks, furniture, images, joints, markers, rollouts
from wm_ros.motion.pose import Pose
from wm_ros.msg import Surprise
from wm_ros.nodes.node_list import nodes
from wm_ros.nodes.ros_names import Name, Quality, record
from wm_ros.nodes.shown import Words
from wm_ros.nodes.visualization_node import VisualizationNode
from wm_ros.robot import load_robot

# message type of each display class, as RViz's plugin descriptions say
TYPES = {
    "rviz_default_plugins/RobotModel": "std_msgs/msg/String",
    "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
    "rviz_default_plugins/Path": "nav_msgs/msg/Path",
    "rviz_default_plugins/PoseArray": "geometry_msgs/msg/PoseArray",
    "rviz_default_plugins/Wrench": "geometry_msgs/msg/WrenchStamped",
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
    "moveit_rviz_plugin/PlanningScene": "moveit_msgs/msg/PlanningScene",
    "moveit_rviz_plugin/Trajectory": "moveit_msgs/msg/DisplayTrajectory",
}
NO_TOPIC = {"rviz_default_plugins/Grid", "rviz_default_plugins/TF"}
FILES = ["home", "office", "robot"]
RELIABLE = Quality(True, False, 5)


@pytest.fixture(scope="module")
def published() -> dict[str, Name]:
    started = {spec.name for spec in nodes("home", rviz=True)}
    return {name.name: name for node in record() if node.node in started
            for name in node.publishes}


def displays(root: Path, room: str) -> list[dict[str, Any]]:
    file = root / "config" / "rviz" / f"{room}.rviz"
    return list(yaml.safe_load(file.read_text())["Visualization Manager"]["Displays"])


def shown(display: dict[str, Any]) -> tuple[str, Quality]:
    """Topic of a display and the quality with which RViz asks for it."""
    for key in ("Topic", "Description Topic"):
        if key in display:
            topic = display[key]
            return topic["Value"], Quality(topic["Reliability Policy"] == "Reliable",
                                           topic["Durability Policy"] == "Transient Local",
                                           topic["Depth"])
    for key in ("Planning Scene Topic", "Trajectory Topic"):
        if key in display:
            return display[key], RELIABLE
    raise AssertionError(f"{display['Name']} has no topic")


@pytest.mark.parametrize("room", FILES)
def test_rviz_shows_nothing_that_nobody_publishes(room: str, root: Path,
                                                  published: dict[str, Name]) -> None:
    for display in displays(root, room):
        if display["Class"] in NO_TOPIC:
            continue
        topic, wanted = shown(display)
        assert topic in published, f"{display['Name']} shows {topic}"
        offer = published[topic]
        assert offer.type == TYPES[display["Class"]], display["Name"]
        assert offer.quality is not None and offer.quality.serves(wanted), display["Name"]


@pytest.mark.parametrize("room", FILES)
def test_rviz_shows_all_that_the_suite_draws(room: str, root: Path) -> None:
    topics = {shown(d)[0] for d in displays(root, room) if d["Class"] not in NO_TOPIC}
    drawn = {"/wm/imagined_paths", "/wm/film_strip", "/wm/chosen_path", "/wm/scene_markers",
             "/wm/status_text", "/wm/key_poses"}
    cameras = {"/scene_camera/color/image_raw", "/wrist_camera/color/image_raw"}
    moveit = {"/display_planned_path", "/monitored_planning_scene"}
    assert topics >= drawn | cameras | moveit


@pytest.mark.parametrize("room", FILES)
def test_rviz_looks_from_a_frame_that_exists(room: str, root: Path) -> None:
    file = root / "config" / "rviz" / f"{room}.rviz"
    manager = yaml.safe_load(file.read_text())["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == load_robot().base_link


class Kept(list[Any]):
    """A publisher that keeps what it was given."""

    publish = list.append


@pytest.fixture
def node(ros: None) -> Iterator[VisualizationNode]:
    made = VisualizationNode()
    made.configure()
    for name in ("_paths_out", "_strip_out", "_path_out", "_scene_out", "_text_out"):
        setattr(made, name, Kept())
    yield made
    made.destroy_node()
    assert rclpy.ok()


def chunk(name: str, success: float) -> chunks.Chunk:
    path = [Pose.of([0.4, 0.0, 0.3 - 0.01 * i], [1.0, 0.0, 0.0, 0.0]) for i in range(4)]
    return chunks.Chunk(name, 5.0, 4.9, 0.1, path, np.full(4, 0.08), 0.6, success, 0.1)


def test_imagined_paths_are_coloured_by_predicted_success(node: VisualizationNode) -> None:
    robot = node.robot
    for name, success in (("sure", 0.9), ("doubtful", 0.2)):
        node._hear_chunk(chunks.to_message(chunk(name, success), robot.base_link,
                                           robot.tcp_link, sequence=7))
    node._draw_paths()
    found = node._paths_out[-1].markers
    assert found[0].action == Marker.DELETEALL
    lines = [m for m in found if m.type == Marker.LINE_STRIP]
    assert [len(line.points) for line in lines] == [4, 4]
    assert lines[0].color.g > lines[0].color.r and lines[1].color.r > lines[1].color.g
    assert {m.text for m in found if m.type == Marker.TEXT_VIEW_FACING} == {"90 %", "20 %"}
    assert {m.header.frame_id for m in found} == {robot.base_link}
    node._hear_chunk(chunks.to_message(chunk("next", 0.5), robot.base_link, robot.tcp_link, 8))
    node._draw_paths()
    assert sum(m.type == Marker.LINE_STRIP for m in node._paths_out[-1].markers) == 1


def test_what_was_imagined_is_shown_as_one_film_strip(node: VisualizationNode) -> None:
    frames = np.stack([np.full((8, 8, 3), 40 * i, np.uint8) for i in range(3)])
    told = rollouts.Rollout("sure", 5.0, frames, np.arange(3) * 0.4, [], 0.9, 0.1)
    node._hear_rollout(rollouts.to_message(told, node.robot.base_link, "camera"))
    strip = images.from_colour(node._strip_out[-1])
    assert strip.shape == (16, 3 * 16 + 2 * markers.GAP, 3)
    assert [int(strip[0, 18 * i, 0]) for i in range(3)] == [0, 40, 80]
    assert node._strip_out[-1].header.frame_id == "camera"


@pytest.mark.parametrize(("topic", "words"), [
    ("/wm/action_chunk", "."), ("/wm/planned_trajectory", "does not name the arm's joints")])
def test_what_cannot_be_drawn_is_told_in_the_log(
        node: VisualizationNode, topic: str, words: str) -> None:
    complaints: list[str] = []
    node.complain = complaints.append  # type: ignore[method-assign]
    (heard,) = [s for s in node.subscriptions if s.topic_name == topic]
    message = heard.msg_type()
    if topic == "/wm/planned_trajectory":
        message = joints.to_trajectory(joints.JointPath(
            ("elbow",), np.array([0.0, 1.0]), np.zeros((2, 1)), None, None))
    heard.callback(message)
    (sentence,) = complaints
    assert words in sentence


def test_the_chosen_plan_is_the_way_of_the_tool(node: VisualizationNode) -> None:
    robot = node.robot
    start = np.array(robot.home)
    end = start + 0.1
    message = joints.to_trajectory(joints.JointPath(
        robot.arm_joints, np.array([0.0, 1.0]), np.stack([start, end]), None, None))
    node._hear_plan(message)
    path = node._path_out[-1]
    assert path.header.frame_id == robot.base_link
    last = path.poses[-1].pose.position
    expected = node._kinematics.fk(end).position
    assert np.allclose([last.x, last.y, last.z], expected)


def test_obstacles_come_and_go_in_rviz(node: VisualizationNode) -> None:
    def box(name: str) -> CollisionObject:
        return furniture.collision_object(
            name, "base", [("box", (0.2, 0.1, 0.3), Pose.of([0.5, 0.0, 0.1]))])
    whole = PlanningScene()
    whole.world.collision_objects = [box("tray"), box("bin")]
    node._hear_scene(whole)
    cubes = [m for m in node._scene_out[-1].markers if m.type == Marker.CUBE and m.ns]
    assert [m.ns for m in cubes] == ["tray", "bin"]
    assert (cubes[0].scale.x, cubes[0].scale.y, cubes[0].scale.z) == (0.2, 0.1, 0.3)
    change = PlanningScene(is_diff=True)
    change.world.collision_objects = [CollisionObject(id="bin", operation=CollisionObject.REMOVE)]
    node._hear_scene(change)
    assert {m.ns for m in node._scene_out[-1].markers if m.ns} == {"tray"}


def test_diagnostics_are_read_above_the_robot(node: VisualizationNode) -> None:
    node._hear_words(String(data="close the drawer"))
    status = DiagnosticStatus(name="a", level=DiagnosticStatus.ERROR, message="No camera.")
    node._hear_diagnostics(DiagnosticArray(status=[status]))
    node._draw_text()
    assert node._text_out[-1].markers[-1].text == "close the drawer\n!! No camera."
    status.level = DiagnosticStatus.OK
    node._hear_diagnostics(DiagnosticArray(status=[status]))
    node._draw_text()
    assert node._text_out[-1].markers[-1].text == "close the drawer"


def test_the_surprise_of_a_past_instruction_is_not_shown() -> None:
    words = Words()
    words.hear_instruction(String(data="open the door"))
    words.hear_surprise(Surprise(value=1.5))
    assert "surprise 1.50" in list(words.lines(math.nan, 0.0, 1))
    words.hear_instruction(String(data=""))
    assert list(words.lines(math.nan, 0.0, 1)) == ["no instruction"]


def test_drawing_does_not_silence_the_heartbeat(node: VisualizationNode) -> None:
    before = set(node.timers)
    node.activate()
    assert set(node.timers) > before


def test_an_unknown_success_has_a_colour_of_its_own() -> None:
    assert markers.success_colour(math.nan) not in (
        markers.success_colour(0.0), markers.success_colour(1.0))
    line, = markers.paths([([Pose.identity()], math.nan)], Header())
    assert line.type == Marker.LINE_STRIP
