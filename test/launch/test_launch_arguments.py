# SPDX-License-Identifier: Apache-2.0
"""What can be checked of the launch files without ROS launch: arguments, nodes, life cycle."""
from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from wm_ros import demo
from wm_ros.errors import UserError
from wm_ros.launching.arguments import BOOL, FILES, ROBOT, ROOM, checked, refuse_unknown
from wm_ros.launching.gazebo import refuse_unused_world, robot_name, world_folder
from wm_ros.launching.system import (
    instruct_command,
    own_topics,
    page_address,
    record_command,
    replay_command,
    system,
    user_file,
    wanted_layout,
    wm,
)
from wm_ros.launching.transitions import ACTIVATE, ASK_AGAIN, CONFIGURE, Transitions
from wm_ros.nodes import supervisor
from wm_ros.nodes.node_list import DEFAULTS, NodeSpec
from wm_ros.robot import load_robot
from wm_ros.sim.world_command import write


def given(arguments: Any = ROOM, **values: str) -> dict[str, str]:
    return checked(arguments, values)


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_argument_says_what_it_is_for_and_its_default_is_allowed(name: str) -> None:
    names = [argument.name for argument in FILES[name]]
    assert len(names) == len(set(names))
    for argument in FILES[name]:
        assert len(argument.description) > 15, argument.name
        assert not argument.description.endswith("."), argument.name
        assert argument.read(argument.default) == argument.default


def test_each_launch_file_takes_the_arguments_listed_for_it(root: Path) -> None:
    files = {path.name.removesuffix(".launch.py"): path
             for path in (root / "launch").glob("*.launch.py")}
    assert set(files) == set(FILES)
    for name, path in files.items():
        tree = ast.parse(path.read_text())
        tops = [call.args[1].id for call in ast.walk(tree) if isinstance(call, ast.Call)
                and getattr(call.func, "id", "") == "top"]
        lists = {"ROOM": ROOM, "ROBOT": ROBOT, "LOOK": FILES["view"], "REPLAY": FILES["replay"]}
        expected = next(key for key, value in lists.items() if value is FILES[name])
        assert tops == [expected], path


def test_each_part_that_a_launch_file_includes_is_there(root: Path) -> None:
    for path in (root / "launch").rglob("*.launch.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "include":
                part = root / "launch" / "include" / f"{call.args[0].value}.launch.py"
                assert part.is_file(), f"{path} includes {part}"


@pytest.mark.parametrize(("values", "sentence"), [
    ({"sim": "gazeebo"}, "sim:=gazeebo is not possible; choose one of mujoco, gazebo, none."),
    ({"headless": "maybe"}, "headless:=maybe is not possible; choose one of true, false."),
])
def test_a_wrong_value_gets_one_sentence(values: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        given(**values)
    assert str(error.value) == sentence


def test_switches_may_be_written_as_python_and_launch_write_them() -> None:
    for text in ("true", "True", "1"):
        assert given(headless=text)["headless"] == "true"
    assert all(a.choices == BOOL for a in ROOM if a.default in BOOL and a.name != "record")


def test_a_tilde_that_the_shell_leaves_is_the_home_folder(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "it").mkdir()
    own = tmp_path / "mine.yaml"
    own.write_text("/**: {ros__parameters: {robot: ur5}}\n")
    value = given(record="~/bags/x", config="~/mine.yaml", model="~/it")
    assert record_command(value) == wm("record", "--out", str(tmp_path / "bags" / "x"))
    assert user_file(value["config"]) == [str(own)]
    specs = {spec.name: spec.parameters for spec in system("home", value)}
    assert specs["imagination"]["checkpoint"] == str(tmp_path / "it")
    replay = given(FILES["replay"], bag="~/it", out="~/new", topics="~/mine.yaml")
    assert replay_command(replay) == wm("replay", str(tmp_path / "it"), "--out",
                                        str(tmp_path / "new"), "--topics", str(own))


def test_a_misspelt_argument_is_not_passed_over() -> None:
    with pytest.raises(UserError, match="rvis:= here; did you mean rviz:="):
        refuse_unknown(ROOM, ["sim:=mujoco", "rvis:=true"])
    refuse_unknown(ROOM, ["sim:=mujoco", "launch-prefix:=gdb"])


@pytest.mark.parametrize(("values", "part"), [
    ({"seed": "x"}, "seed:=x is not possible"), ({"port": "0"}, "port:=0 is not possible"),
    ({"port": "70000"}, "whole number from 1 to 65535"),
    ({"model": "/nowhere"}, "no such folder")])
def test_values_that_no_node_could_use_are_refused_before_any_starts(
        values: dict[str, str], part: str) -> None:
    with pytest.raises(UserError, match=part):
        system("home", given(**values))


def test_parameter_file_that_is_none_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("topics: {joint_states: /x}\n")
    for path, part in ((tmp_path / "none.yaml", "cannot be read"), (wrong, "ros__parameters")):
        with pytest.raises(UserError, match=part):
            user_file(str(path))
    good = tmp_path / "good.yaml"
    good.write_text("/**:\n  ros__parameters:\n    robot: panda\n")
    assert user_file(str(good)) == [str(good)] and user_file("") == []


def test_lists_that_ros_cannot_read_are_named(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("/**:\n  ros__parameters:\n    safety:\n"
                   "      workspace_min: [0.20, -0.40, 0]\n      workspace_max: [0.7, 0.4, 0.6]\n")
    with pytest.raises(UserError, match="; safety.workspace_min mixes numbers .* write 0.0 for 0"):
        user_file(str(own))
    own.write_text(own.read_text().replace("-0.40, 0]", "-0.40, 0.0]"))
    assert user_file(str(own)) == [str(own)]


@pytest.mark.parametrize(("group", "parameters", "sentence"), [
    ("/**", "safety: {max_tool_sped: 0.1}",
     "/** has no parameter safety.max_tool_sped, did you mean safety.max_tool_speed?"),
    ("/**", "safety.vmax: 0.1", "/** has no parameter safety.vmax; docs/ros_names.md lists all"),
    ("/**", "max_jump: 0.1", "did you mean safety.max_jump?"),
    ("motion", "padding: 0.1", "there is no node motion, did you mean move_group?"),
    ("/planing", "horizon: 2", "there is no node /planing, did you mean planning?"),
    ("move_group", "paddding: 0.1", "did you mean padding?"),
    ("move_group", "safety: {max_tool_speed: 0.1}", "it is one of planning and monitor."),
    ("imagination", "horizon: 2", "imagination has no parameter horizon; it is one of planning."),
    ("planning", "colour: red", "planning has no parameter colour; docs/ros_names.md lists all"),
])
def test_misspelt_parameters_are_not_passed_over(
        group: str, parameters: str, sentence: str, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(f"{group}:\n  ros__parameters:\n    {parameters}\n")
    with pytest.raises(UserError) as error:
        system("home", given(config=str(own)))
    assert str(error.value).startswith(f"config:={own} is not possible; ")
    assert sentence in str(error.value)


@pytest.mark.parametrize(("text", "name"), [
    ("/**: {ros__parameters: 3}", "/**"), ("/**: {ros__parameters: [robot]}", "/**"),
    ("/**: {ros__parameters: {3: x}}", "/**"), ("/**: {ros__parameters: {on: x}}", "/**"),
    ("/**: {ros__parameters: {robot: ur5}}\nsimulation: 3", "simulation"),
    ("/**: {ros__parameters: {robot: ur5}}\n/view: [port]", "/view"),
    ("/**: {ros__parameters: {robot: ur5}}\nplanning:", "planning"),
    ("/**: {ros__parameters: {robot: ur5}}\nplanning: {horizon: 2}", "planning"),
])
def test_a_group_without_named_parameters_is_named(
        text: str, name: str, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(text)
    for read in (lambda: system("home", given(config=str(own))), lambda: own_topics(str(own))):
        with pytest.raises(UserError) as error:
            read()
        assert str(error.value).startswith(
            f"config:={own} is not possible; below {name} there must be `ros__parameters:`")


def test_parameters_of_other_nodes_and_of_ros_may_stand_in_the_file(
        root: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("""
/**: {ros__parameters: {use_sim_time: true, robot_ip: 10.0.0.2, publish_rate: 50}}
/planning: {ros__parameters: {horizon: 2, safety.max_jump: 0.1, qos_overrides: {/tf: {depth: 2}}}}
move_group: {ros__parameters: {trajectory_execution: {allowed_goal_duration_margin_extra: 1.0}}}
camera_driver: {ros__parameters: {rate: 30, safety: {on: true}}}
my_namespace: {planer: {ros__parameters: {anything: 1}}}
simulation: {camera: {ros__parameters: {anything: 1}}}
driver: 3
""")
    assert user_file(str(own)) == [str(own)]
    for shipped in ("nodes", "motion", "safety", "topics"):
        user_file(str(root / "config" / f"{shipped}.yaml"))


OWN = """
simulation:
  ros__parameters: {seed: 5, held_out: false, task: close_door}
view:
  ros__parameters: {port: 9001, host: 0.0.0.0}
"""


def test_what_is_not_given_is_as_the_users_file_has_it(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(OWN)

    def found(**values: str) -> tuple[Any, ...]:
        value = given(config=str(own), **values)
        specs = {spec.name: spec.parameters for spec in system("home", value)}
        simulated = specs["simulation"]
        host, port = page_address(value)
        assert specs["view"]["port"] == port and "host" not in specs["view"]
        assert host == "0.0.0.0"
        return (simulated["task"], simulated["seed"], simulated["held_out"], port)
    assert found() == ("close_door", 5, False, 9001)
    assert found(seed="7", held_out="true", port="9002") == ("close_door", 7, True, 9002)
    task, _, held_out, _ = found(instruction="open the cabinet door")
    assert (task, held_out) == ("open_door", False)


def test_gazebos_world_is_the_one_that_the_users_file_names(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros"))
    own = tmp_path / "mine.yaml"
    own.write_text(OWN)
    folder = world_folder("home", given(sim="gazebo", config=str(own)))
    assert folder.name == "home_close_door_5_train"


def test_beside_gazebo_the_names_that_it_gives_itself_win(tmp_path: Path) -> None:
    from wm_ros.bridge.perception import OWN_FRAMES
    write(tmp_path, "home", "", 3, True)
    told = yaml.safe_load((tmp_path / "parameters.yaml").read_text())["/**"]["ros__parameters"]
    assert told["topics"] == {"joint_states": "/joint_states"}
    assert told["frames"] == {"scene_camera": OWN_FRAMES["scene"], "wrench": "",
                              "wrist_camera": OWN_FRAMES["wrist"]}


def test_the_page_alone_follows_the_users_file(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view_node = pytest.importorskip("wm_ros.nodes.view_node")
    from wm_ros.view import command
    own = tmp_path / "mine.yaml"
    own.write_text(OWN)
    lines: list[list[str]] = []
    monkeypatch.setattr(view_node, "main", lambda words: lines.append(words) or 0)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    for words in ([], ["--port", "9002", "--host", "127.0.0.1"]):
        assert command.run(parser.parse_args(["--config", str(own), *words])) == 0
    assert "-p" not in lines[0] and lines[0][-1] == str(own)
    assert lines[1][-4:] == ["-p", "view:port:=9002", "-p", "view:host:='127.0.0.1'"]


def test_displays_follow_the_robots_own_topics(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("/**:\n  ros__parameters:\n    robot: ur5\n    topics:\n"
                   "      scene_color: /camera/color/image_raw\n"
                   "      joint_states: /joint_states\n      wrist_color: ''\n"
                   "    topics.wrench: /ft/wrench\n")
    assert own_topics(str(own)) == {
        "/scene_camera/color/image_raw": "/camera/color/image_raw", "/wrist/wrench": "/ft/wrench"}
    assert own_topics("") == {}


def _demo_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
                ) -> list[list[str]]:
    """The command lines of the nodes that `wm demo` hands to its supervisor."""
    class Caught(Exception):
        pass
    caught: list[list[str]] = []

    def catch(specs: list[NodeSpec], _logs: Path, _died: Any, own: list[str]) -> None:
        caught.extend(spec.command_line(own) for spec in specs)
        raise Caught
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    args = parser.parse_args(words)
    plan = demo._plans(args)[0]
    monkeypatch.setattr(supervisor, "Supervisor", catch)
    with pytest.raises(Caught), demo._system(args, plan, tmp_path):
        pass
    return caught


@pytest.mark.parametrize(("room", "words", "values"), [
    ("home", [], {}),
    ("office", [], {}),
    ("office", ["--headless", "--task", "press the red button", "--seed", "7"],
     {"headless": "true", "instruction": "press the red button", "seed": "7"}),
    ("home", ["--port", "9001"], {"port": "9001"}),
    ("home", ["--config", "mine.yaml"], {"config": "mine.yaml"}),
])
def test_launch_starts_the_nodes_and_parameters_of_the_demo(
        room: str, words: list[str], values: dict[str, str], tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("planning: {ros__parameters: {horizon: 8}}\n"
                                 "view: {ros__parameters: {port: 9003}}\n")
    demos = _demo_lines(monkeypatch, tmp_path, ["--room", room, *words])
    value = given(**values)
    launched = system(room, value)
    assert [s.command_line(user_file(value["config"])) for s in launched] == demos


def test_a_world_that_nothing_loads_or_of_another_room_is_refused(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sim in ("mujoco", "none"):
        with pytest.raises(UserError, match="for Gazebo alone; add sim:=gazebo"):
            refuse_unused_world(given(world=str(tmp_path), sim=sim))
        refuse_unused_world(given(sim=sim))
    refuse_unused_world(given(world=str(tmp_path), sim="gazebo"))
    write(tmp_path, "home", "", 3, True)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert world_folder("home", given(world=f"~/{tmp_path.name}", sim="gazebo")) == tmp_path
    value = given(world=str(tmp_path), sim="gazebo")
    assert world_folder("home", value) == tmp_path
    with pytest.raises(UserError, match="a world of the home: start home.launch.py"):
        world_folder("office", value)
    write(tmp_path, "home", "", 3, True, "ur5")
    own = tmp_path / "mine.yaml"
    own.write_text(OWN)
    for config in ("", str(own)):
        assert load_robot(robot_name(config, str(tmp_path))).name == "ur5"
    assert robot_name("") == "panda"


def test_the_readmes_instruction_fits_the_room_that_its_launch_lays_out(root: Path) -> None:
    text = (root / "README.md").read_text()
    (words,) = re.findall(r"\{instruction: '(.*?)'\}", text)
    assert "ros2 launch wm_ros home.launch.py\n" in text
    assert wanted_layout("home", given(instruction=words)) == wanted_layout("home", given())
    (request,) = re.findall(r"ResetSimulation\s+\"(\{.*?\})\"", text)
    fields = set((root / "srv" / "ResetSimulation.srv").read_text().split("---")[0].split())
    assert set(yaml.safe_load(request)) <= fields


def test_a_trained_model_reaches_the_node_that_uses_it(tmp_path: Path) -> None:
    specs = {s.name: s for s in system("home", given(model=str(tmp_path)))}
    assert specs["imagination"].parameters["checkpoint"] == str(tmp_path)


def test_only_what_is_asked_for_is_started() -> None:
    def names(room: str | None, arguments: Any = ROOM, **values: str) -> set[str]:
        return {s.name for s in system(room, given(arguments, **values))}
    assert "simulation" not in names("home", sim="gazebo") | names("home", sim="none")
    assert "gazebo" in names("home", sim="gazebo") and "gazebo" not in names("home", sim="none")
    assert "move_group" not in names("home", moveit="move_group")
    assert names("home", rviz="true", headless="true") == names("home", headless="true")
    assert "visualization" in names("home", rviz="true")
    assert "view" in names("home") and "view" not in names("home", view="false")
    assert not {"simulation", "move_group"} & names(None, ROBOT)


def test_monitor_watches_what_the_launch_file_starts() -> None:
    for values in ({}, {"sim": "gazebo"}, {"sim": "none", "moveit": "move_group"}):
        specs = system("home", given(**values))
        watched = next(s for s in specs if s.name == "monitor").parameters["safety.nodes"]
        assert set(watched) == {s.name for s in specs if s.safety} - {"monitor"}


def test_time_comes_from_gazebo_and_from_nowhere_else_unless_told() -> None:
    def simulated(**values: str) -> set[str]:
        return {s.name for s in system("home", given(**values))
                if s.parameters.get("use_sim_time")}
    assert not simulated()
    assert not simulated(sim="gazebo", use_sim_time="false")
    assert simulated(sim="gazebo") >= {"perception", "planning", "move_group", "monitor"}
    # the simulator makes /clock; waiting for its own clock it would never start
    assert "simulation" not in simulated(use_sim_time="true")


def test_instruction_and_recording_become_commands(tmp_path: Path) -> None:
    value = given(instruction="open the door", time_limit="20", record=str(tmp_path / "bag"))
    specs = system("home", value)
    command = instruct_command("home", value, specs)
    assert command[:len(wm("instruct"))] == wm("instruct") and "open the door" in command
    assert command[command.index("--time-limit") + 1] == "20.0"
    assert set(command[command.index("--nodes") + 1:]) == {s.name for s in specs if s.safety}
    assert record_command(value) == wm("record", "--out", str(tmp_path / "bag"))
    assert record_command(given(record="true")) == wm("record")
    unlimited = given(instruction="open the door", once="true")
    assert "--time-limit" not in instruct_command("home", unlimited, specs)
    assert not instruct_command("home", given(), specs) and not record_command(given())


def words_of(room: str | None, arguments: Any = ROOM, **values: str) -> str:
    """The instruction that a launch with these arguments gives, "" for none."""
    command = instruct_command(room, given(arguments, **values), [])
    return command[len(wm("instruct"))] if command else ""


def test_a_simulated_room_without_windows_does_what_it_is_laid_out_for(tmp_path: Path) -> None:
    for room, words in DEFAULTS.items():
        assert words_of(room, headless="true") == words == words_of(
            room, headless="true", sim="gazebo", moveit="move_group", once="true")
        assert words in next(a for a in ROOM if a.name == "instruction").text
    assert words_of("home", headless="true", instruction="wipe it") == "wipe it"
    own = tmp_path / "mine.yaml"
    own.write_text(OWN)
    assert words_of("home", headless="true", config=str(own)) == "close the cabinet"
    own.write_text("simulation: {ros__parameters: {task: ''}}")
    assert words_of("home", headless="true", config=str(own)) == DEFAULTS["home"]
    for nobody in (words_of("home"), words_of("home", view="false"),
                   words_of("home", headless="true", sim="none"),
                   words_of(None, ROBOT, headless="true")):
        assert nobody == ""


@pytest.mark.parametrize(("values", "part"), [
    ({"once": "true"}, "once:=true is not possible without an instruction; add instruction:="),
    ({"time_limit": "20"}, "time_limit:=20 is not possible without an instruction"),
    ({"time_limit": "soon"}, "time_limit:=soon is not possible; give seconds"),
    ({"time_limit": "0", "instruction": "open the door"}, "time_limit:=0 is not possible; give"),
])
def test_what_is_said_of_no_instruction_is_refused(values: dict[str, str], part: str) -> None:
    for room, arguments in (("home", ROOM), (None, ROBOT)):
        with pytest.raises(UserError, match=part):
            words_of(room, arguments, **values)


def test_recording_never_overwrites(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        record_command(given(record=str(tmp_path)))


def test_replay_is_the_command(tmp_path: Path) -> None:
    value = given(FILES["replay"], bag=str(tmp_path), out="there")
    assert replay_command(value) == wm("replay", str(tmp_path), "--out", str(Path.cwd() / "there"))
    topics = tmp_path / "map.yaml"
    topics.touch()
    more = given(FILES["replay"], bag=str(tmp_path), topics=str(topics), realtime="true")
    assert replay_command(more)[-3:] == ["--topics", str(topics), "--realtime"]
    seen = given(FILES["replay"], bag=str(tmp_path), instruction="open it", rectified="true",
                 proposer=str(tmp_path))
    assert replay_command(seen)[-5:] == ["--proposer", str(tmp_path), "--instruction", "open it",
                                         "--rectified"]
    for wrong, part in (({}, "bag:=FOLDER"), ({"bag": "/nowhere"}, "no such file"),
                        ({"bag": str(tmp_path), "proposer": "/nowhere"}, "proposer:=/nowhere")):
        with pytest.raises(UserError, match=part):
            replay_command(given(FILES["replay"], **wrong))


class TestLifeCycle:
    """Beats of a process, and which transition each leads to."""

    def test_node_is_configured_once_and_activated_by_the_event(self) -> None:
        beats = Transitions()
        assert beats.wanted("/a", 1, "unconfigured", 0.0) == CONFIGURE
        assert beats.wanted("/a", 1, "unconfigured", 1.0) is None
        assert beats.wanted("/a", 1, "inactive", 2.0) is None and beats.managed("/a")
        assert beats.wanted("/a", 1, "active", 3.0) is None and not beats.managed("/a")

    def test_lost_request_is_sent_again(self) -> None:
        beats = Transitions()
        assert beats.wanted("/a", 1, "unconfigured", 0.0) == CONFIGURE
        assert beats.wanted("/a", 1, "unconfigured", ASK_AGAIN + 0.1) == CONFIGURE
        assert beats.wanted("/a", 1, "inactive", 10.0) is None
        assert beats.wanted("/a", 1, "inactive", 10.1 + ASK_AGAIN) == ACTIVATE

    def test_node_that_was_started_again_comes_back(self) -> None:
        beats = Transitions()
        beats.wanted("/a", 1, "active", 0.0)
        assert beats.wanted("/a", 2, "unconfigured", 5.0) == CONFIGURE and beats.managed("/a")

    def test_node_that_a_person_deactivated_stays_so(self) -> None:
        beats = Transitions()
        beats.wanted("/a", 1, "active", 0.0)
        for now in (1.0, 1.0 + 2 * ASK_AGAIN):
            assert beats.wanted("/a", 1, "inactive", now) is None
            assert beats.wanted("/a", 1, "unconfigured", now) is None

    def test_node_that_failed_is_not_asked_over_and_over(self) -> None:
        beats = Transitions()
        assert beats.wanted("/a", 1, "unconfigured", 0.0) == CONFIGURE
        assert all(beats.wanted("/a", 1, "error", t) is None for t in (1.0, 10.0, 100.0))
