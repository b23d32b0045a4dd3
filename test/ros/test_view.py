# SPDX-License-Identifier: Apache-2.0
"""The page in the browser shows what RViz would show, and its buttons reach the robot."""
from __future__ import annotations

import dataclasses
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import PROGRAM, browser
from geometry_msgs.msg import PoseArray
from moveit_msgs.msg import AttachedCollisionObject, CollisionObject, PlanningScene
from rclpy.action import ActionServer
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from wm_ros.action import ExecuteInstruction
from wm_ros.bridge import (
    chunks,
    furniture,
    images,
    joints,
    observations,
    poses,
    rollouts,
    solids,
    times,
)
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose, top_down
from wm_ros.msg import ActionChunk, ImaginedRollout, Observation, Surprise
from wm_ros.nodes import qos, view_node
from wm_ros.nodes.view_node import ViewNode
from wm_ros.robot import load_robot
from wm_ros.sim.env import TaskEnv
from wm_ros.view.guard import check_address

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]
ROBOT = load_robot()
WORDS = "put the mug on the tray"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def heard() -> dict[str, tuple[Any, Any, Any]]:
    """Topic -> (type, quality, message) of a moment in the simulated home."""
    env = TaskEnv("put_mug_on_tray", 101, "held_out")
    seen, now = env.observe(), times.stamp(1.0)
    mug = env.sim.object_pose("mug").position
    start = seen.tcp.position
    ways = [[top_down(start + t * (mug + [0.03 * i, 0.02 * i, 0.08] - start))
             for t in np.linspace(0.0, 1.0, 12)] for i in range(3)]
    q = np.array(ROBOT.home)
    state = joints.Joints(np.append(seen.q, [0.04, 0.04]), np.zeros(9), np.zeros(9))
    views = [observations.View("scene", "scene", seen.scene_rgb, seen.scene_depth, seen.scene_K,
                               seen.scene_pose),
             observations.View("wrist", "wrist", seen.wrist_rgb, None, seen.scene_K,
                               Pose.identity())]
    made = [chunks.Chunk(f"c{i}", 1.0, 1.0, 0.1, way, np.zeros(0), 0.5, 0.9 - 0.4 * i, 0.1)
            for i, way in enumerate(ways)]
    future = rollouts.Rollout("c0", 1.0, np.stack([seen.scene_rgb, seen.scene_rgb]),
                              np.array([0.8, 1.6]), ways[0], 0.9, 0.1)
    plan = joints.JointPath(ROBOT.arm_joints, np.array([0.0, 1.0]), np.stack([q, q + 0.2]), None,
                            None)
    messages = {
        "/joint_states": (JointState, qos.STATE, [joints.to_joint_state(
            now, [*ROBOT.arm_joints, *ROBOT.finger_joints], *state)]),
        "/scene_camera/color/image_raw": (Image, qos.SENSOR,
                                          [images.to_colour(seen.scene_rgb, now, "scene")]),
        "/wrist_camera/color/image_raw": (Image, qos.SENSOR,
                                          [images.to_colour(seen.wrist_rgb, now, "wrist")]),
        "/wm/observation": (Observation, qos.EVENT, [observations.to_message(
            now, 1, views, ROBOT, state, top_down(start), np.zeros(6))]),
        "/wm/action_chunk": (ActionChunk, qos.EVENT, [chunks.to_message(
            chunk, ROBOT.base_link, ROBOT.tcp_link, 1) for chunk in made]),
        "/wm/imagined_rollout": (ImaginedRollout, qos.EVENT,
                                 [rollouts.to_message(future, ROBOT.base_link)]),
        "/wm/key_poses": (PoseArray, qos.EVENT, [poses.to_array(
            np.array([mug, mug + 0.2]), np.tile([1.0, 0.0, 0.0, 0.0], (2, 1)), ROBOT.base_link,
            1.0)]),
        "/wm/planned_trajectory": (JointTrajectory, qos.EVENT, [joints.to_trajectory(plan)]),
        "/wm/furniture": (PlanningScene, qos.LATCHED,
                          [furniture.from_scene(env.scene, ROBOT.base_link)]),
        "/wm/surprise": (Surprise, qos.EVENT, [Surprise(value=0.5, threshold=1.0)]),
        "/wm/instruction": (String, qos.LATCHED, [String(data=WORDS)]),
        "/wm/stopped": (Bool, qos.LATCHED, [Bool(data=False)])}
    env.close()
    return messages


class Robot(Node):
    """Publishes the moment over and over, and notes down what the buttons ask."""

    def __init__(self, heard: dict[str, tuple[Any, Any, Any]]) -> None:
        super().__init__("robot")
        self.asked: list[tuple[str, bool] | str] = []
        self._heard = [(self.create_publisher(kind, topic, quality), messages)
                       for topic, (kind, quality, messages) in heard.items()]
        for name in ("stop", "resume"):
            self.create_service(Trigger, f"/wm/{name}", self._answer(name))
        self._server = ActionServer(self, ExecuteInstruction, "/wm/execute_instruction", self._do)
        self.create_timer(0.3, self._tell)

    def _tell(self) -> None:
        for publisher, messages in self._heard:
            for message in messages:
                if isinstance(message, ActionChunk):  # each time the answer to a newer look
                    message.observation_sequence += 1
                publisher.publish(message)

    def _answer(self, name: str) -> Callable[[Any, Any], Any]:
        def answer(_request: Any, response: Any) -> Any:
            self.asked.append(name)
            response.success, response.message = True, f"Heard: {name}."
            return response
        return answer

    def _do(self, handle: Any) -> Any:
        self.asked.append((handle.request.instruction, handle.request.dry_run))
        handle.succeed()
        return ExecuteInstruction.Result(success=True, message="Done at once.")


@pytest.fixture
def page(ros: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ViewNode, str]]:
    port = free_port()
    monkeypatch.setitem(view_node.DECLARED, "view", tuple(
        dataclasses.replace(p, default=port) if p.name == "port" else p
        for p in view_node.DECLARED["view"]))
    node = ViewNode()
    try:
        yield node, f"http://127.0.0.1:{port}/"
    finally:
        node.close()
        node.destroy_node()


def test_page_is_served_and_draws_all_that_comes(
        page: tuple[ViewNode, str], heard: dict[str, tuple[Any, Any, Any]],
        monkeypatch: pytest.MonkeyPatch) -> None:
    node, url = page
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.status == 200
    monkeypatch.setattr(type(node._page), "watched", True)
    for listener in node._heard:
        for kind, _, messages in heard.values():
            if kind is listener.kind:
                listener.raw.extend(serialize_message(message) for message in messages)
    node._draw()
    shown = node._page._status.content
    assert WORDS in shown and "success 0\\.90" in shown and "surprise 0\\.50" in shown
    assert node._page._imagined.image.shape == node._page._seen.image.shape == (192, 386, 3)
    assert node._page._shown["imagined"] == {"/imagined/0", "/imagined/1", "/imagined/2",
                                             "/imagined/success"}
    assert node._page._shown["key poses"] == {"/key_pose/0", "/key_pose/1"}
    assert len(node._page._shown["solids"]) > 5


def test_joints_that_are_told_apart_do_not_throw_each_other_back(
        page: tuple[ViewNode, str], monkeypatch: pytest.MonkeyPatch) -> None:
    node, _ = page
    monkeypatch.setattr(type(node._page), "watched", True)
    (told,) = (heard for heard in node._heard if heard.kind is JointState)
    arm = dict(zip(ROBOT.arm_joints, ROBOT.home + 0.1, strict=True))
    hand = dict.fromkeys(ROBOT.finger_joints, 0.03)
    now = times.stamp(1.0)
    places = set()
    for parts in ((arm, hand), (hand,), (arm,), (hand, arm)):
        for part in parts:
            told.keep(serialize_message(joints.to_joint_state(
                now, list(part), np.array(list(part.values())))))
        node._draw()
        places.add(tuple(tuple(node._page._frames[link].wxyz) + tuple(
            node._page._frames[link].position) for link in node._page._frames))
    assert len(places) == 1 and node._page._posture == {**arm, **hand}


def test_held_things_move_with_the_hand_and_vanish_when_they_are_let_go() -> None:
    from wm_ros.nodes.shown import Obstacles
    obstacles = Obstacles()
    box = furniture.collision_object("mug", ROBOT.hand_link, [("box", (0.1, 0.1, 0.1),
                                                               Pose.of([0.0, 0.0, 0.1]))])
    change = PlanningScene(is_diff=True)
    change.robot_state.attached_collision_objects = [
        AttachedCollisionObject(link_name=ROBOT.hand_link, object=box)]
    obstacles.hear(change)
    (solid,) = solids.from_objects(obstacles.held, held=True)
    assert solid.frame == ROBOT.hand_link and solid.pose.position[2] == pytest.approx(0.1)
    box.operation = CollisionObject.REMOVE
    obstacles.hear(change)
    assert not obstacles.held


def test_words_of_others_are_not_read_as_markup(page: tuple[ViewNode, str]) -> None:
    node, _ = page
    node._page.say(["<img src=x> *bold*"])
    assert node._page._status.content == "**\\<img src=x\\> \\*bold\\***"


@pytest.mark.skipif(not PROGRAM, reason="Chromium is not installed (apt-get install chromium)")
def test_a_person_sees_everything_and_commands_the_robot(
        page: tuple[ViewNode, str], heard: dict[str, tuple[Any, Any, Any]],
        tmp_path: Path) -> None:
    node, url = page
    robot, executor = Robot(heard), SingleThreadedExecutor()
    ending = threading.Event()
    for one in (node, robot):
        executor.add_node(one)

    def spin() -> None:
        while not ending.is_set():
            executor.spin_once(timeout_sec=0.1)
    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        with browser(tmp_path / "profile") as tab:
            tab.open(url)
            tab.reads(WORDS, 90.0)
            tab.until("document.images.length >= 2 && [...document.images].every("
                      "i => i.complete && i.naturalWidth > 0)")
            limit = time.monotonic() + 60.0
            while True:  # software rendering takes its time
                picture = tab.picture()
                room = picture[100:700, 100:850]
                if len(np.unique(room.reshape(-1, 3) // 16, axis=0)) > 60:
                    break
                assert time.monotonic() < limit, "the scene stays empty"
                time.sleep(1.0)
            keep(picture)
            tab.write("instruction", "open the cabinet door")
            tab.press("Do it")
            tab.reads("Done at once.")
            tab.press("Stop")
            tab.reads("Heard: stop.")
            tab.press("Resume")
            tab.reads("Heard: resume.")
            assert not tab.errors
        assert robot.asked == [("open the cabinet door", False), "stop", "resume"]
    finally:
        ending.set()
        thread.join(5.0)
        executor.shutdown()
        robot.destroy_node()


def keep(picture: np.ndarray) -> None:
    """Leave the picture where WM_SCREENSHOT says, for people to look at."""
    from PIL import Image as Picture
    if os.environ.get("WM_SCREENSHOT"):
        Picture.fromarray(picture).save(os.environ["WM_SCREENSHOT"])


def test_pages_of_other_sites_cannot_press_the_buttons(page: tuple[ViewNode, str]) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    node, url = page
    address, protocol = url.replace("http", "ws"), ["viser-v1.1.1"]
    with pytest.raises(InvalidStatus, match="403"):
        connect(address, origin="https://evil.example", subprotocols=protocol)
    with connect(address, origin=url.rstrip("/"), subprotocols=protocol) as own:
        assert own.recv(timeout=10)


def test_addresses_that_cannot_be_served_are_said_in_one_sentence(
        page: tuple[ViewNode, str]) -> None:
    port = int(page[1].rstrip("/").rsplit(":", 1)[1])
    for host, wanted in (("127.0.0.1", port), ("192.0.2.1", free_port())):
        with pytest.raises(UserError, match="cannot be served"):
            check_address(host, wanted)
