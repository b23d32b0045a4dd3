# SPDX-License-Identifier: Apache-2.0
"""Broken sensors, checkpoints and disks: one sentence that says what to do, nothing lost."""
from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import WrenchStamped
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState
from tf2_msgs.msg import TFMessage

from wm_ros.bridge import images, joints, observations, poses, times
from wm_ros.motion.pose import Pose
from wm_ros.msg import ModelStatus, Observation
from wm_ros.nodes import qos
from wm_ros.nodes.node_list import IMAGINATION, PERCEPTION
from wm_ros.nodes.supervisor import Supervisor, child_environment
from wm_ros.paths import config
from wm_ros.robot import load_robot

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]
ROBOT = load_robot()


class Sensors(Node):
    """Cameras, joints and wrench of a robot that is not there."""

    def __init__(self) -> None:
        super().__init__("sensors")
        self.observations: list[Observation] = []
        self.diagnostics: dict[str, DiagnosticStatus] = {}
        self.models: list[ModelStatus] = []
        self.off: set[str] = set()
        self.names = [*ROBOT.arm_joints, *ROBOT.finger_joints]
        self.position = np.append(ROBOT.home, [0.02, 0.02])
        scene, wrist = "/scene_camera", "/wrist_camera/color"
        self.outs = {
            "color": self.create_publisher(Image, f"{scene}/color/image_raw", qos.SENSOR),
            "info": self.create_publisher(CameraInfo, f"{scene}/color/camera_info", qos.SENSOR),
            "depth": self.create_publisher(Image, f"{scene}/depth/image_rect_raw", qos.SENSOR),
            "wrist": self.create_publisher(Image, f"{wrist}/image_raw", qos.SENSOR),
            "wrist_info": self.create_publisher(CameraInfo, f"{wrist}/camera_info", qos.SENSOR),
            "joints": self.create_publisher(JointState, "/joint_states", qos.STATE),
            "wrench": self.create_publisher(WrenchStamped, "/wrist/wrench", qos.SENSOR)}
        static = self.create_publisher(TFMessage, "/tf_static", qos.TF_STATIC)
        now = times.stamp(time.time())
        static.publish(TFMessage(transforms=[
            poses.to_transform(Pose.identity(), ROBOT.base_link, "scene_frame", now),
            poses.to_transform(Pose.identity(), ROBOT.hand_link, "wrist_frame", now)]))
        self.create_subscription(Observation, "/wm/observation", self.observations.append,
                                 qos.EVENT)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._hear, qos.EVENT)
        self.create_subscription(ModelStatus, "/wm/model_status", self.models.append, qos.LATCHED)
        self.create_timer(0.1, self._publish)

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics[status.name] = status

    def _publish(self) -> None:
        stamp = times.stamp(time.time())
        rgb = np.zeros((48, 64, 3), np.uint8)
        k = np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]])
        wrench = WrenchStamped()
        wrench.header.stamp = stamp
        messages = {
            "color": images.to_colour(rgb, stamp, "scene_frame"),
            "info": images.to_camera_info(k, (64, 48), stamp, "scene_frame"),
            "depth": images.to_depth(np.ones((48, 64), np.float32), stamp, "scene_frame"),
            "wrist": images.to_colour(rgb, stamp, "wrist_frame"),
            "wrist_info": images.to_camera_info(k, (64, 48), stamp, "wrist_frame"),
            "joints": joints.to_joint_state(stamp, self.names, self.position), "wrench": wrench}
        for name, message in messages.items():
            if name not in self.off:
                self.outs[name].publish(message)

    def until(self, condition: Callable[[], bool], timeout: float = 25.0) -> bool:
        """Spin until something is true; whether it became so."""
        limit = time.monotonic() + timeout
        while not condition() and time.monotonic() < limit:
            rclpy.spin_once(self, timeout_sec=0.1)
        return condition()

    def hears_nothing(self) -> bool:
        """Whether no observation comes any more, once those under way have come."""
        self.until(lambda: False, 0.2)
        count = len(self.observations)
        self.until(lambda: False, 0.5)
        return len(self.observations) == count

    def problem(self) -> str:
        """What /diagnostics says is wrong."""
        return " ".join(s.message for s in self.diagnostics.values()
                        if s.level == DiagnosticStatus.ERROR)


@pytest.fixture(scope="module")
def perception(ros: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The perception node alone."""
    spec = PERCEPTION.with_parameters(missing_after=0.5)
    with Supervisor([spec], tmp_path_factory.mktemp("perception")):
        yield


@pytest.fixture()
def sensors(perception: None) -> Iterator[Sensors]:
    """A robot's sensors, working."""
    node = Sensors()
    assert node.until(lambda: bool(node.observations)), node.problem()
    yield node
    node.destroy_node()


def test_sound_sensors_become_observations_of_the_right_size(sensors: Sensors) -> None:
    fields = observations.fields(sensors.observations[-1], ROBOT)
    assert fields["scene_rgb"].shape == (96, 96, 3)
    assert fields["scene_depth"].shape == (96, 96)
    np.testing.assert_allclose(fields["q"], ROBOT.home)
    np.testing.assert_allclose(fields["tcp_position"], [0.4, 0.0, 0.35], atol=2e-3)


@pytest.mark.parametrize(("sensor", "words"), [
    ("wrist", "wrist camera"), ("color", "scene camera"), ("depth", "depth"),
    ("joints", "joint states"), ("wrench", "force-torque")])
def test_missing_sensor_is_named_and_no_observation_comes(
        sensors: Sensors, sensor: str, words: str) -> None:
    sensors.off.add(sensor)
    assert sensors.until(lambda: words in sensors.problem())
    assert sensors.hears_nothing()
    count = len(sensors.observations)
    sensors.off.clear()
    assert sensors.until(lambda: len(sensors.observations) > count and not sensors.problem())


def test_joints_without_numbers_are_named_and_no_observation_comes(sensors: Sensors) -> None:
    sensors.position[2] = np.nan
    assert sensors.until(lambda: "NaN" in sensors.problem())
    assert ROBOT.arm_joints[2] in sensors.problem()
    assert sensors.hears_nothing()


def test_joints_of_another_robot_are_named_and_no_observation_comes(sensors: Sensors) -> None:
    sensors.names = [f"other_{name}" for name in sensors.names]
    assert sensors.until(lambda: "lack" in sensors.problem())
    assert ROBOT.arm_joints[0] in sensors.problem()
    assert "other_" in sensors.problem()
    assert sensors.hears_nothing()


@pytest.mark.parametrize("kind", ["missing", "empty", "garbage"])
def test_broken_checkpoint_gives_one_sentence_and_no_restart_loop(
        ros: None, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "model"
    if kind != "missing":
        folder.mkdir()
    if kind == "garbage":
        (folder / "config.yaml").write_text("family: [")
        (folder / "model.safetensors").write_bytes(b"no tensors")
    died: list[int] = []
    spec = IMAGINATION.with_parameters(checkpoint=str(folder))
    with Supervisor([spec], tmp_path / "logs", lambda _, status: died.append(status)):
        node = Sensors()
        assert node.until(lambda: any(m.message for m in node.models))
        node.until(lambda: False, 1.0)
        node.destroy_node()
    status = node.models[-1]
    assert not status.ready
    assert str(folder) in status.message
    assert "\n" not in status.message
    assert not died
    log = (tmp_path / "logs" / "imagination.log").read_text()
    assert "Traceback" not in log
    assert log.count("[ERROR]") == 1


MIXED = "/**:\n  ros__parameters: {safety: {workspace_min: [0.2, -0.4, 0]}}\n"
LOST = "/**:\n  ros__parameters: {robot: ROBOT}\n"


@pytest.mark.parametrize("node", ["perception", "view"])
@pytest.mark.parametrize(("text", "words"), [
    (MIXED, "Sequence should be of same type"),
    (LOST, "no_such.urdf as its urdf, but there is no such file")])
def test_settings_that_cannot_be_read_end_a_node_with_one_sentence(
        tmp_path: Path, node: str, text: str, words: str) -> None:
    robot, own = tmp_path / "robot.yaml", tmp_path / "own.yaml"
    robot.write_text(yaml.safe_dump({**yaml.safe_load(config("robots", "panda.yaml").read_text()),
                                     "urdf": "no_such.urdf"}))
    own.write_text(text.replace("ROBOT", str(robot)))
    done = subprocess.run(
        [sys.executable, "-m", f"wm_ros.nodes.{node}_node", "--ros-args", "--params-file",
         str(own)], env=child_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if "[rcl]" not in line]
    assert len(said) == 1 and words in said[0], done.stderr


def test_full_disk_ends_the_recording_in_words_and_keeps_what_was_recorded(
        ros: None, tmp_path: Path) -> None:
    from wm_ros.data.bag import read, recover
    bag = tmp_path / "bag"

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    child = subprocess.Popen(
        [sys.executable, "-m", "wm_ros.cli", "record", "--out", str(bag)], env=child_environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=small_disk)
    node = Sensors()
    try:
        assert node.until(lambda: child.poll() is not None, 40.0)
    finally:
        node.destroy_node()
        child.kill()
    said = child.communicate()[0]
    assert child.returncode not in (0, -signal.SIGXFSZ)
    assert "Traceback" not in said
    assert "make room" in said
    recover(bag)
    assert sum(1 for _ in read(bag)) > 10
