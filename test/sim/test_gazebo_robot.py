# SPDX-License-Identifier: Apache-2.0
"""Gazebo offers the topics, controllers, frames and rates of the embedded simulator."""
from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import yaml
from transforms3d.euler import euler2mat

from wm_ros import moveit_config
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose
from wm_ros.nodes import parameters
from wm_ros.paths import config
from wm_ros.robot import RobotConfig, load_robot
from wm_ros.sim import gazebo_config, gazebo_robot, world_command
from wm_ros.sim.link_tree import LinkTree
from wm_ros.sim.randomize import randomize
from wm_ros.sim.rooms import load_room
from wm_ros.sim.sdf_emitter import RATE

ROBOT = load_robot()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    world_command.write(folder, "home", "", 7, True)
    return folder


@pytest.fixture(scope="module")
def urdf(world: Path) -> ET.Element:
    return ET.parse(world / "robot.urdf").getroot()


def scene():
    return randomize(load_room("home"), 7, "held_out")


def default(name: str):
    return next(p.default for p in parameters.SIMULATION if p.name == name)


@pytest.mark.parametrize("name", ["controllers.yaml", "bridge.yaml"])
def test_checked_in_files_are_not_stale(name: str) -> None:
    assert config("gazebo", name).read_text() == gazebo_config.files(ROBOT)[name], \
        "run python -m wm_ros.sim.gazebo_config"


def test_every_topic_that_the_nodes_read_comes_from_gazebo() -> None:
    bridged = {entry["ros_topic_name"]: entry for entry in gazebo_config.bridge(ROBOT)}
    wanted = set(gazebo_config.topics().values()) | {"/clock"}
    # joint states come from ros2_control and not over the bridge
    assert wanted - set(bridged) == {gazebo_config.topics()["joint_states"]}
    assert all(entry["direction"] == "GZ_TO_ROS" for entry in bridged.values())


def test_sensors_publish_what_the_bridge_carries(world: Path, urdf: ET.Element) -> None:
    sensors = {s.get("name"): s for root in (urdf, ET.parse(world / "world.sdf").getroot())
               for s in root.iter("sensor")}
    topics = set()
    for sensor in sensors.values():
        topic = sensor.findtext("topic") or sensor.findtext("contact/topic")
        if sensor.get("type") == "rgbd_camera":
            topics |= {f"/{topic}/{end}" for end in ("image", "depth_image", "camera_info")}
        elif sensor.get("type") == "camera":
            topics |= {f"/{topic}", f"/{topic.rsplit('/', 1)[0]}/camera_info"}
        else:
            topics.add(f"/{topic}")
    bridged = {entry["gz_topic_name"] for entry in gazebo_config.bridge(ROBOT)}
    assert topics == bridged - {"/clock"}
    assert {s.get("type") for s in sensors.values()} == {"camera", "rgbd_camera", "contact",
                                                         "force_torque"}


def test_rates_are_those_of_the_embedded_simulator(world: Path, urdf: ET.Element) -> None:
    set_rates = yaml.safe_load(config("nodes.yaml").read_text())["simulation"]["ros__parameters"]
    assert set_rates["camera_rate"] == RATE
    assert set_rates["joint_rate"] == gazebo_config.JOINT_RATE
    for root in (urdf, ET.parse(world / "world.sdf").getroot()):
        for sensor in root.iter("sensor"):
            camera = "camera" in str(sensor.get("type"))
            assert float(sensor.findtext("update_rate")) == set_rates[
                "camera_rate" if camera else "joint_rate"], sensor.get("name")


def test_cameras_see_what_the_embedded_ones_see(world: Path, urdf: ET.Element) -> None:
    """Same place, same field of view, square like the model's images, and their TF frames."""
    tree = LinkTree((world / "robot.urdf").read_text())
    fixed = {link.child: link for link in tree.fixed()}
    sensors = {s.get("name"): s for root in (urdf, ET.parse(world / "world.sdf").getroot())
               for s in root.iter("sensor")}
    for camera in scene().cameras:
        if camera.name == "overview":
            continue
        sensor = sensors[f"{camera.name}_camera"]
        frame = sensor.findtext("camera/optical_frame_id")
        assert frame == default_frame(camera.name)
        link = fixed[frame]
        assert link.parent == (ROBOT.hand_link if camera.on_hand else ROBOT.base_link)
        assert np.allclose(link.pose.position, camera.position, atol=1e-6)
        same = abs(np.dot(link.pose.quaternion, camera.quaternion))
        assert same == pytest.approx(1.0, abs=1e-6)
        assert float(sensor.findtext("camera/horizontal_fov")) == pytest.approx(camera.fovy)
        assert sensor.findtext("camera/image/width") == sensor.findtext("camera/image/height")


def default_frame(camera: str) -> str:
    return next(p.default for p in parameters.TOPICS if p.name == f"frames.{camera}_camera")


def test_controllers_have_the_names_joints_and_tolerances_of_the_embedded_ones(
        urdf: ET.Element) -> None:
    made = gazebo_config.controllers(ROBOT)
    manager = made["controller_manager"]["ros__parameters"]
    assert {ROBOT.controllers.arm, ROBOT.controllers.gripper} < set(manager)
    arm = made[ROBOT.controllers.arm]["ros__parameters"]
    assert arm["joints"] == list(ROBOT.arm_joints)
    for name in ROBOT.arm_joints:
        assert arm["constraints"][name] == {"trajectory": default("path_tolerance"),
                                            "goal": default("goal_tolerance")}
    assert arm["constraints"]["goal_time"] == default("goal_time_tolerance")
    commanded = {j.get("name") for j in urdf.find("ros2_control").findall("joint")
                 if j.find("command_interface") is not None}
    gripper = made[ROBOT.controllers.gripper]["ros__parameters"]
    assert commanded == {*ROBOT.arm_joints, gripper["joint"]}


def test_robot_starts_at_home_with_its_hand_open(urdf: ET.Element) -> None:
    start = {j.get("name"): float(j.findtext("state_interface/param"))
             for j in urdf.find("ros2_control").findall("joint")}
    assert np.allclose([start[name] for name in ROBOT.arm_joints], ROBOT.home, atol=1e-5)
    assert sum(start[name] for name in ROBOT.finger_joints) == ROBOT.gripper.open_width


def finger_limits(urdf: ET.Element, robot: RobotConfig) -> list[tuple[float, float]]:
    joints = {j.get("name"): j.find("limit") for j in urdf.findall("joint")}
    return [(float(joints[name].get("lower")), float(joints[name].get("upper")))
            for name in robot.finger_joints]


@pytest.mark.parametrize("name", ["panda", "ur5"])
def test_no_finger_stands_at_a_limit(name: str) -> None:
    """There Gazebo's engine would not move it any more; the robot's own URDF stays as it is."""
    robot = load_robot(name)
    commanded = [robot.gripper.finger_scale * width for width in (robot.gripper.closed_width,
                                                                  robot.gripper.open_width)]
    text = robot.urdf_path.read_text()
    made = ET.fromstring(gazebo_robot.robot_urdf(robot, scene(), Path("controllers.yaml")))
    for low, high in finger_limits(made, robot):
        assert low < commanded[0] - 5e-4 and high > commanded[1] + 5e-4
    assert robot.urdf_path.read_text() == text
    own = ET.fromstring(moveit_config.description(robot))
    assert finger_limits(own, robot) == [tuple(commanded)] * 2


def test_gripper_command_means_the_same_opening(world: Path) -> None:
    """ros2_control's gripper controllers command one finger, and so does the embedded one."""
    gripper = load_robot(str(world / "robot.yaml")).gripper
    assert gripper.command_scale == gripper.finger_scale == ROBOT.gripper.finger_scale


@pytest.mark.parametrize("name", ["panda", "ur5"])
def test_a_gripper_command_is_one_fingers_way_where_ros2_control_takes_it(name: str) -> None:
    """GripperActionController compares the position of a command with that of its one joint."""
    gripper = load_robot(name).gripper
    finger = gripper.open_width * gripper.finger_scale
    assert gripper.open_width * gripper.command_scale == pytest.approx(finger)


def test_only_who_listens_gets_contacts() -> None:
    """They come at every physics step."""
    lazy = [e["gz_type_name"] for e in gazebo_config.bridge(ROBOT) if e.get("lazy")]
    assert lazy == ["gz.msgs.Contacts"] * 2


def test_planner_is_told_the_same_furniture(world: Path) -> None:
    from wm_ros.bridge import furniture
    told = furniture.from_yaml(yaml.safe_load((world / "furniture.yaml").read_text()),
                               ROBOT.base_link)
    meant = furniture.from_scene(scene(), ROBOT.base_link, default("furniture_margin"))
    mine, theirs = ({o.id: o for o in m.world.collision_objects} for m in (told, meant))
    assert set(mine) == set(theirs)
    for name, item in mine.items():
        other = theirs[name]
        assert [p.type for p in item.primitives] == [p.type for p in other.primitives]
        for a, b in zip(item.primitives, other.primitives, strict=True):
            assert np.allclose(a.dimensions, b.dimensions, atol=1e-6)
        for a, b in zip(item.primitive_poses, other.primitive_poses, strict=True):
            assert (a.position.x, a.position.y, a.position.z) == pytest.approx(
                (b.position.x, b.position.y, b.position.z), abs=1e-5)


def test_seed_gives_the_same_world_and_another_seed_another(tmp_path: Path, world: Path) -> None:
    for name, seed in (("again", 7), ("other", 8)):
        world_command.write(tmp_path / name, "home", "", seed, True)
    text = {p.parent.name: p.read_text() for p in (
        world / "world.sdf", tmp_path / "again/world.sdf", tmp_path / "other/world.sdf")}
    assert text["again"] == text[world.name] != text["other"]


def test_words_that_mean_no_task_get_one_sentence(tmp_path: Path) -> None:
    import argparse
    parser = argparse.ArgumentParser()
    world_command.add_arguments(parser)
    with pytest.raises(UserError, match="No task of the home is meant by 'sing'; there are"):
        world_command.run(parser.parse_args(["--task", "sing", "--out", str(tmp_path / "x")]))
    with pytest.raises(UserError, match="belongs to the office"):
        world_command.write(tmp_path, "home", "open_drawer", 1, True)


# sdformat's warning of the tag that Gazebo's sensors read and the format does not name
FRAME_TAG = "XML Element[gz_frame_id], child of element[sensor], not defined in SDF"


def _sdf(file: Path, *words: str) -> str:
    if shutil.which("ign") is None:
        pytest.skip("no `ign` (apt-get install libsdformat-dev ignition-tools)")
    done = subprocess.run(["ign", "sdf", *words, str(file)], capture_output=True, text=True,
                          timeout=60)
    if "not an ign" in done.stderr or "ign sdf" in done.stderr:
        pytest.skip("`ign` has no sdf command (apt-get install libsdformat-dev)")
    noise = [line for line in done.stderr.splitlines()
             if line.strip() and "libignition-tools-backward" not in line
             and FRAME_TAG not in line]
    assert done.returncode == 0 and not noise, done.stdout + done.stderr
    return done.stdout


def test_files_that_are_no_world_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "robot.yaml").write_text("mine")
    with pytest.raises(UserError, match="holds something that is no world"):
        world_command.write(tmp_path, "home", "", 0, True)
    assert [(f.name, f.read_text()) for f in tmp_path.iterdir()] == [("robot.yaml", "mine")]


def test_gazebo_reads_the_robot_whole(world: Path, urdf: ET.Element, tmp_path: Path) -> None:
    """sdformat drops links, sensors and joints in silence when a URDF is not to its liking."""
    text = _sdf(world / "robot.urdf", "-p")
    model = ET.fromstring(text).find("model")
    links = {link.get("name") for link in model.findall("link")}
    moving = [j for j in urdf.findall("joint") if j.get("type") != "fixed"]
    assert {j.find("child").get("link") for j in moving} | {ROBOT.hand_link} <= links
    joints = {j.get("name"): j for j in model.findall("joint")}
    assert {j.get("name") for j in moving} <= set(joints)
    sensors = {s.get("name"): s for s in model.iter("sensor")}
    assert {s.get("name") for s in urdf.iter("sensor")} == set(sensors)
    assert sensors["wrist_wrench"].findtext("gz_frame_id") == ROBOT.hand_link
    camera = next(c for c in scene().cameras if c.name == "wrist")
    numbers = [float(v) for v in sensors["wrist_camera"].findtext("pose").split()]
    looks = euler2mat(*numbers[3:], "sxyz")[:, 0]
    assert np.allclose(numbers[:3], camera.position, atol=1e-5)
    forward = Pose.of(camera.position, camera.quaternion).rotation()[:, 2]
    assert np.allclose(looks, forward, atol=1e-4)
    for name in ROBOT.finger_joints:
        finger = joints[name].findtext("child")
        link = next(e for e in model.findall("link") if e.get("name") == finger)
        named = {c.text for s in link.iter("sensor") for c in s.iter("collision")}
        assert named == {c.get("name") for c in link.findall("collision")}
    file = tmp_path / "robot.sdf"
    file.write_text(text)
    assert "Valid" in _sdf(file, "-k")


def test_world_of_any_seed_is_valid(world: Path) -> None:
    assert "Valid" in _sdf(world / "world.sdf", "-k")


def test_a_robot_whose_files_lie_beside_its_yaml_is_found_from_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(yaml.safe_dump(gazebo_config.robot_file("ur5")))
    assert load_robot(str(file)).urdf_path.is_file()
