# SPDX-License-Identifier: Apache-2.0
"""The launch files under the real launch and launch_ros, where a ROS installation brings them."""
from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("launch_ros", reason="launch_ros is not installed (apt-get install "
                    "ros-jazzy-launch-ros); the arguments are tested all the same")

from launch import LaunchContext, LaunchDescription  # noqa: E402
from launch.actions import ExecuteProcess  # noqa: E402
from launch.launch_description_sources import (  # noqa: E402
    get_launch_description_from_python_launch_file,
)
from launch.utilities import perform_substitutions  # noqa: E402
from parameter_tree import flat

from wm_ros.errors import UserError  # noqa: E402
from wm_ros.launching.arguments import FILES, ROBOT, ROOM, checked  # noqa: E402
from wm_ros.launching.gazebo import GAZEBO  # noqa: E402
from wm_ros.launching.lifecycle import BringUp  # noqa: E402
from wm_ros.launching.system import installed, system  # noqa: E402
from wm_ros.nodes.node_list import DEFAULTS, NodeSpec  # noqa: E402
from wm_ros.robot import load_robot  # noqa: E402
from wm_ros.sim.world_command import write  # noqa: E402

HERE = Path(__file__).parent
ROS = HERE.parent / "ros"
READY, END = 120.0, 25.0  # s


class Loader(yaml.SafeLoader):
    """launch writes lists as Python's tuples; ROS reads past the tag."""


Loader.add_constructor("tag:yaml.org,2002:python/tuple", Loader.construct_sequence)


# --- without starting anything

def processes(entities: Any, context: LaunchContext) -> Iterator[ExecuteProcess]:
    """Every process that a description would start, in order."""
    for entity in entities:
        if isinstance(entity, LaunchDescription):
            yield from processes(entity.entities, context)
        elif entity.condition is not None and not entity.condition.evaluate(context):
            continue
        elif isinstance(entity, ExecuteProcess):
            yield entity
        elif not isinstance(entity, BringUp):
            yield from processes(entity.execute(context) or [], context)


def free_port() -> str:
    """A port on which no page is served."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def started(root: Path, name: str, **values: str) -> list[ExecuteProcess]:
    """The processes of a launch file with these arguments."""
    context = LaunchContext()
    context.launch_configurations.update({"port": free_port(), **values})
    path = root / "launch" / f"{name}.launch.py"
    description = get_launch_description_from_python_launch_file(str(path))
    found = list(processes([description], context))
    for process in found:
        if hasattr(process, "node_package"):
            process._perform_substitutions(context)
        process.words = [perform_substitutions(context, word) for word in process.cmd[1:]
                         if "LocalSubstitution" not in str(word)]
    return found


def parameters(node: str, words: list[str]) -> dict[str, Any]:
    """What the files and values of a command line amount to for a node, as rclpy reads them."""
    merged: dict[str, dict[str, Any]] = {"/**": {}, node: {}}

    for option, word in zip(words, words[1:], strict=False):
        if option == "--params-file":
            for name, group in yaml.load(Path(word).read_text(), Loader).items():
                if name.lstrip("/") in ("**", node):
                    merged["/**" if "**" in name else node] |= flat(group["ros__parameters"])
        elif option == "-p":
            name, value = word.split(":=", 1)
            merged[node][name.split(":", 1)[1]] = yaml.safe_load(value)
    return merged["/**"] | merged[node]


def same(process: Any, spec: NodeSpec) -> None:
    assert process.node_name == f"/{spec.name}"
    launched, listed = (parameters(spec.name, words)
                        for words in (process.words, spec.command_line()))
    assert launched.pop("autostart", False) is False  # events bring it up
    assert launched == listed
    if not installed(spec.executable):
        assert f"wm_ros.nodes.{spec.executable}" in process.words


@pytest.mark.parametrize(("name", "values"), [
    ("home", {}), ("office", {"headless": "true", "seed": "3", "moveit": "embedded"}),
    ("home", {"sim": "none", "rviz": "false", "use_sim_time": "true"}),
    ("robot", {"moveit": "embedded"})])
def test_launch_file_starts_the_list_with_its_parameters(root: Path, name: str,
                                                         values: dict[str, str]) -> None:
    arguments = ROBOT if name == "robot" else ROOM
    room = None if name == "robot" else name
    values = {"port": free_port(), **values}
    specs = system(room, checked(arguments, values))
    found = [p for p in started(root, name, **values) if hasattr(p, "node_name")]
    assert len(found) == len(specs)
    for process, spec in zip(found, specs, strict=True):
        same(process, spec)


def test_own_parameters_overrule_the_packages(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("/**:\n  ros__parameters:\n    topics: {joint_states: /mine/joint_states}\n"
                   "planning:\n  ros__parameters: {horizon: 2}\n")
    for process in started(root, "robot", config=str(own)):
        read = parameters(process.node_name.lstrip("/"), process.words)
        assert read["topics.joint_states"] == "/mine/joint_states"
        if process.node_name.lstrip("/") == "planning":
            assert read["horizon"] == 2


@pytest.mark.parametrize("name", sorted(FILES))
def test_show_args_lists_exactly_this_files_arguments(root: Path, name: str) -> None:
    path = root / "launch" / f"{name}.launch.py"
    shown = get_launch_description_from_python_launch_file(str(path)).get_launch_arguments()
    assert [a.name for a in shown] == [a.name for a in FILES[name]]
    assert all(a.description != "no description given" and a.default_value is not None
               for a in shown)


def test_view_starts_the_page_only(root: Path) -> None:
    assert [p.node_name for p in started(root, "view")] == ["/view"]
    assert not started(root, "view", view="false")


@pytest.mark.parametrize("name", ["home", "robot", "view"])
def test_page_that_cannot_be_served_is_refused_before_anything_starts(
        root: Path, name: str, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own.write_text(f"view: {{ros__parameters: {{port: {port}, host: 127.0.0.1}}}}")
        given = {"moveit": "embedded"} if name == "robot" else {}
        for values in ({"port": str(port)}, {"port": "", "config": str(own)}):
            with pytest.raises(UserError, match=rf"served on 127.0.0.1:{port} .*; choose"):
                started(root, name, **given, **values)
        assert started(root, "home", port=str(port), headless="true")
        assert not started(root, "view", port=str(port), view="false")


@pytest.fixture
def ros_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Installed packages of other people, as far as launch looks at them: names and programs."""
    prefix = tmp_path / "prefix"
    programs = {"rviz2": "rviz2", "ros_gz_sim": "create", "ros_gz_bridge": "parameter_bridge",
                "robot_state_publisher": "robot_state_publisher", "controller_manager": "spawner",
                "moveit_ros_move_group": "move_group"}
    for package in {*programs, *GAZEBO, "moveit_planners_ompl", "moveit_kinematics",
                    "pilz_industrial_motion_planner", "moveit_simple_controller_manager"}:
        marker = prefix / "share/ament_index/resource_index/packages" / package
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        if package in programs:
            program = prefix / "lib" / package / programs[package]
            program.parent.mkdir(parents=True)
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
    gz = prefix / "share/ros_gz_sim/launch/gz_sim.launch.py"
    gz.parent.mkdir(parents=True)
    gz.write_text('''
from launch import LaunchDescription
from launch.actions import ExecuteProcess
from launch.substitutions import LaunchConfiguration
def generate_launch_description():
    return LaunchDescription([ExecuteProcess(cmd=["gz", "sim", LaunchConfiguration("gz_args")])])
''')
    monkeypatch.setenv("AMENT_PREFIX_PATH",
                       os.pathsep.join([str(prefix), os.environ.get("AMENT_PREFIX_PATH", "")]))
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros"))
    return prefix


def test_rviz_is_started_with_the_rooms_display(root: Path, ros_packages: Path) -> None:
    found = started(root, "office", rviz="true", sim="none")
    rviz = [p for p in found if getattr(p, "node_package", "") == "rviz2"]
    assert len(rviz) == 1 and any(w.endswith("office.rviz") for w in rviz[0].words)
    assert not [p for p in started(root, "office", rviz="true", sim="none", headless="true")
                if getattr(p, "node_package", "") == "rviz2"]


def test_rviz_looks_at_ones_own_robot_and_its_topics(
        root: Path, tmp_path: Path, ros_packages: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("/**:\n  ros__parameters:\n    robot: ur5\n    topics:\n"
                   "      scene_color: /camera/color/image_raw\n")
    found = started(root, "robot", rviz="true", config=str(own))
    (rviz,) = (p for p in found if getattr(p, "node_package", "") == "rviz2")
    assert rviz.words[rviz.words.index("--fixed-frame") + 1] == load_robot("ur5").base_link
    assert "/scene_camera/color/image_raw:=/camera/color/image_raw" in rviz.words


def test_gazebo_gets_the_world_the_robot_its_controllers_and_the_bridge(
        root: Path, tmp_path: Path, ros_packages: Path) -> None:
    found = started(root, "home", sim="gazebo", headless="true", seed="4",
                    instruction="open the cabinet door")
    (folder,) = (tmp_path / "ros/wm_ros/worlds").iterdir()
    assert folder.name.startswith("home_open_door_")
    commands = {getattr(p, "node_executable", p.words[0]): p for p in found}
    assert commands["sim"].words == ["sim", f"-r -s --headless-rendering {folder}/world.sdf"]
    spawned = commands["create"].words
    assert spawned[spawned.index("-file") + 1] == str(folder / "robot.urdf")
    assert spawned[spawned.index("-world") + 1] == "home"
    bridge = parameters("bridge", commands["parameter_bridge"].words)
    assert bridge["config_file"] == str(folder / "bridge.yaml") and bridge["use_sim_time"] is True
    described = parameters("robot_state_publisher", commands["robot_state_publisher"].words)
    assert described["robot_description"] == (folder / "robot.urdf").read_text()
    # the nodes: none of the embedded simulator's, this world's robot and furniture, Gazebo's time
    nodes = {p.node_name.lstrip("/"): p for p in found if hasattr(p, "node_name")
             and any("wm_ros.nodes" in w for w in p.words)}
    assert "simulation" not in nodes and {"planning", "move_group", "monitor"} <= set(nodes)
    for name in ("planning", "move_group", "perception", "monitor"):
        read = parameters(name, nodes[name].words)
        assert read["robot"] == str(folder / "robot.yaml") and read["use_sim_time"] is True
    read = parameters("gazebo", nodes["gazebo"].words)
    assert (read["room"], read["world"]) == ("home", str(folder))


def test_gazebos_bridge_follows_the_users_topics(
        root: Path, tmp_path: Path, ros_packages: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("/**:\n  ros__parameters:\n    topics:\n"
                   "      scene_color: /camera/color/image_raw\n")
    found = started(root, "home", sim="gazebo", config=str(own))
    (bridge,) = (p for p in found if getattr(p, "node_package", "") == "ros_gz_bridge")
    assert "/scene_camera/color/image_raw:=/camera/color/image_raw" in bridge.words


@pytest.mark.parametrize(("values", "reach"), [({}, "SUBNET"), ({"room": "home"}, None)])
def test_nodes_of_a_real_robot_in_ones_own_launch_file_look_beyond_this_machine(
        root: Path, values: dict[str, str], reach: str | None,
        monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    started(root, "include/nodes", moveit="embedded", **values)
    assert os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE") == reach


def test_world_of_ones_own_is_taken_and_a_broken_one_refused(
        root: Path, tmp_path: Path, ros_packages: Path) -> None:
    own = tmp_path / "own"
    write(own, "home", "", 3, True)
    found = started(root, "home", sim="gazebo", world=str(own))
    assert any(f"-r {own}/world.sdf" in getattr(p, "words", []) for p in found)
    with pytest.raises(UserError, match="a world of the home"):
        started(root, "office", sim="gazebo", world=str(own))
    with pytest.raises(UserError, match="add sim:=gazebo"):
        started(root, "home", world=str(own))
    (own / "bridge.yaml").unlink()
    with pytest.raises(UserError, match="bridge.yaml is not in it"):
        started(root, "home", sim="gazebo", world=str(own))


def test_robot_that_is_not_there_is_refused_before_anything_starts(
        root: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("/**:\n  ros__parameters:\n    robot: no_such_robot\n")
    with pytest.raises(UserError, match="no_such_robot.yaml: known robots are"):
        started(root, "robot", config=str(own))


def test_missing_packages_are_named_with_the_command_that_installs_them(root: Path) -> None:
    for values, package in (({"sim": "gazebo"}, "ros-jazzy-ros-gz-sim"), ({"moveit": "move_group"},
                            "ros-jazzy-moveit-ros-move-group"), ({"rviz": "true"}, "rviz2")):
        with pytest.raises(UserError, match=f"sudo apt install .*{package}"):
            started(root, "home", **values)


def test_move_group_is_configured_from_the_robots_file(root: Path, ros_packages: Path) -> None:
    found = started(root, "home", moveit="move_group")
    (process,) = (p for p in found if getattr(p, "node_package", "") == "moveit_ros_move_group")
    read = parameters("move_group", process.words)
    robot = load_robot()
    assert read["robot_description"].startswith("<?xml") and "panda_joint1" in read[
        "robot_description"]
    assert robot.controllers.arm in read["moveit_simple_controller_manager.controller_names"]
    assert "use_sim_time" in read
    assert not [p for p in found if any("motion_node" in w for w in p.words)]
    assert not [w for w in process.words if "__node" in w or "joint_states" in w]


def test_move_group_hears_the_robots_own_joint_states(
        root: Path, ros_packages: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("/**:\n  ros__parameters:\n    topics: {joint_states: /arm/states}\n")
    found = started(root, "home", moveit="move_group", config=str(own))
    (process,) = (p for p in found if getattr(p, "node_package", "") == "moveit_ros_move_group")
    assert "/joint_states:=/arm/states" in process.words


def test_replay_runs_the_command(root: Path, tmp_path: Path) -> None:
    (process,) = started(root, "replay", bag=str(tmp_path), out=str(tmp_path / "new"))
    assert process.words[-4:] == ["replay", str(tmp_path), "--out", str(tmp_path / "new")]


def test_instruction_and_recorder_are_started_beside_the_nodes(root: Path, tmp_path: Path) -> None:
    found = started(root, "home", instruction="open the door", record=str(tmp_path / "bag"))
    commands = [p.words for p in found if not hasattr(p, "node_package")]
    assert [c[2] for c in commands] == ["record", "instruct"]
    # the requirement's own words do a task
    found = started(root, "home", sim="mujoco", moveit="embedded", rviz="false", headless="true")
    (command,) = (p.words for p in found if not hasattr(p, "node_package"))
    assert command[2:4] == ["instruct", DEFAULTS["home"]]


# --- with real processes

class Launched:
    """A launch file that runs in a session of its own, as in a terminal."""

    def __init__(self, log: Path, file: Path, *words: str) -> None:
        self.log = log
        env = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "run_launch.py"), str(file), *words], stdout=out,
                stderr=subprocess.STDOUT, env=env, start_new_session=True)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern: str, seconds: float) -> re.Match[str]:
        limit = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text())
            if found:
                return found
            over = time.monotonic() > limit or self.process.poll() is not None
            assert not over, f"no {pattern!r} in\n{self.text()[-4000:]}"
            time.sleep(0.1)

    def alive(self) -> list[str]:
        """Command lines of this session's processes."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                state, _, _, session = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:4]
                if int(session) == self.process.pid and state != "Z":
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                pass
        return found

    def none_left(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        while self.alive():
            assert time.monotonic() < limit, f"left behind: {self.alive()}\n{self.text()[-3000:]}"
            time.sleep(0.1)

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends it to all."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> None:
        """Whatever happened, nothing stays."""
        if self.process.poll() is None:
            self.interrupt()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END)
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if os.getsid(int(entry.name)) == self.process.pid:
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                pass
        self.process.wait()


SCRIPTED = '''
import sys
from pathlib import Path
sys.path[:0] = [{ros!r}, {tests!r}]
from launch import LaunchDescription
from conftest import specs
from wm_ros.launching.actions import bring_up, command, later
from wm_ros.launching.system import wm

def start(context):
    chosen = specs(Path({tmp!r}))
    names = [spec.name for spec in chosen]
    words = wm("instruct", "move to the left", "--nodes", *names)
    return [*bring_up(context, chosen, [{patient!r}]), *command(context, "instruct", words)]

def generate_launch_description():
    return LaunchDescription([later(start)])
'''


# a busy machine must not look like one that lost its nodes
PATIENT = """/**:
  ros__parameters:
    heartbeat: {lease: 2.0}
    safety: {heartbeat_timeout: 10.0, max_observation_age: 5.0}
"""


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Launched]:
    """All nodes of the home, with a scripted model that can do one thing for certain."""
    file = tmp_path / "scripted.launch.py"
    patient = tmp_path / "patient.yaml"
    patient.write_text(PATIENT)
    file.write_text(SCRIPTED.format(ros=str(ROS), tests=str(ROS.parent), tmp=str(tmp_path),
                                    patient=str(patient)))
    launched = Launched(tmp_path / "log", file)
    try:
        yield launched
    finally:
        launched.end()


@pytest.mark.ros
def test_instruction_is_done_lost_node_comes_back_and_ctrl_c_leaves_nothing(
        scripted: Launched) -> None:
    scripted.wait_for("All nodes are ready", READY)
    ended = scripted.wait_for(r"\[instruct-\d+\] (Done|Not done) after .*|wm: .*", READY)
    assert ended.group(1) == "Done", ended.group()
    pid = int(scripted.wait_for(r"\[perception-\d+\]: process started with pid \[(\d+)\]",
                                1.0).group(1))
    os.kill(pid, signal.SIGKILL)
    again = scripted.wait_for(rf"(?s)pid {pid}, exit code -9.*perception-\d+\]: process started "
                              r"with pid \[(\d+)\]", 20.0)
    assert int(again.group(1)) != pid
    # the monitor stops the arm, and frees it only when every node is active again
    scripted.wait_for(r"(?s)perception node was lost.*All nodes are back", READY)
    scripted.interrupt()
    scripted.none_left(END)
    assert "SIGKILL" not in scripted.text() and "Traceback" not in scripted.text()


@pytest.mark.ros
def test_nodes_do_not_outlive_a_killed_launch(scripted: Launched) -> None:
    scripted.wait_for("All nodes are ready", READY)
    scripted.process.kill()
    scripted.none_left(END)


@pytest.mark.ros
@pytest.mark.parametrize(("words", "sentence"), [
    (["sim:=gazeebo"], "sim:=gazeebo is not possible; choose one of mujoco, gazebo, none."),
    (["rvis:=true"], "There is no argument rvis:= here; did you mean rviz:=?"),
    (["sim:=none", "once:=true"], "once:=true is not possible without an instruction; add "),
    (["seed:=many"], "seed:=many is not possible; give a whole number from 0 on."),
    (["config:=/nowhere.yaml"], "config:=/nowhere.yaml is not possible; the file cannot be read"),
])
def test_wrong_argument_gets_one_sentence_and_starts_nothing(
        root: Path, tmp_path: Path, words: list[str], sentence: str) -> None:
    launched = Launched(tmp_path / "log", root / "launch" / "home.launch.py", "headless:=true",
                        *words)
    try:
        assert launched.process.wait(60.0) == 1
        errors = [line for line in launched.text().splitlines() if "ERROR" in line]
        assert len(errors) == 1 and sentence in errors[0], launched.text()
        assert "process started" not in launched.text()
    finally:
        launched.end()


@pytest.mark.ros
def test_failed_replay_is_a_failed_launch(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    launched = Launched(tmp_path / "log", root / "launch" / "replay.launch.py",
                        f"bag:={tmp_path / 'empty'}", f"out:={tmp_path / 'out'}")
    try:
        assert launched.process.wait(READY) == 1
        assert "replay ended with status 2; it says why above" in launched.text()
        launched.none_left(END)
    finally:
        launched.end()


@pytest.mark.ros
def test_ctrl_c_while_everything_still_starts_leaves_nothing(root: Path, tmp_path: Path) -> None:
    launched = Launched(tmp_path / "log", root / "launch" / "home.launch.py", "headless:=true",
                        "instruction:=open the cabinet door", "once:=true")
    try:
        launched.wait_for(r"instruct-\d+\]: process started", 30.0)
        time.sleep(2.0)
        launched.interrupt()
        launched.none_left(END)
        assert "Caught exception" not in launched.text()
    finally:
        launched.end()


@pytest.mark.ros
def test_node_that_refuses_its_settings_ends_everything_with_a_reason(
        root: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("/**:\n  ros__parameters:\n    heartbeat: {rate: fast}\n")
    launched = Launched(tmp_path / "log", root / "launch" / "home.launch.py", "headless:=true",
                        f"config:={wrong}")
    try:
        launched.none_left(READY)
        assert "The parameter heartbeat.rate must be a float" in launched.text()
        assert "Caught exception" not in launched.text()
    finally:
        launched.end()


@pytest.mark.ros
@pytest.mark.slow
def test_home_without_windows_tries_the_instruction_and_ends(root: Path, tmp_path: Path) -> None:
    """The very command of the README, with the model that ships."""
    launched = Launched(tmp_path / "log", root / "launch" / "home.launch.py", "sim:=mujoco",
                        "moveit:=embedded", "rviz:=false", "headless:=true",
                        "instruction:=open the cabinet door", "time_limit:=20", "once:=true",
                        f"record:={tmp_path / 'bag'}")
    try:
        launched.wait_for("All nodes are ready", READY)
        launched.wait_for(r"(Done|Not done) after .* The simulator finds the task", READY)
        launched.none_left(END)
        assert list((tmp_path / "bag").glob("*.mcap"))
        assert (tmp_path / "bag" / "metadata.yaml").exists()
    finally:
        launched.end()
