# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from wm_ros import cli, environment, paths
from wm_ros.errors import UserError


def wm(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(paths.share())} | environ
    return subprocess.run([sys.executable, "-m", "wm_ros.cli", *words], env=env, text=True,
                          capture_output=True, timeout=120)


@pytest.fixture
def command(monkeypatch):
    """A command of our own behind `wm probe`."""
    module = types.ModuleType("wm_ros_probe")
    module.HELP = "A probe."
    module.add_arguments = lambda parser: parser.add_argument("--number", type=int, default=0)
    module.run = lambda args: args.number
    monkeypatch.setitem(sys.modules, "wm_ros_probe", module)
    monkeypatch.setitem(cli.COMMANDS, "probe", "wm_ros_probe")
    return module


def test_a_newcomer_sees_every_command_explained_without_waiting_for_torch():
    done = wm("--help")
    assert done.returncode == 0
    for name in cli.COMMANDS:
        assert name in done.stdout
    heavy = "import sys, wm_ros.cli as c; c.build_parser(None); " \
            "print([m for m in ('torch', 'mujoco', 'rclpy') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", heavy], text=True, capture_output=True,
                            env=os.environ | {"PYTHONPATH": str(paths.share())})
    assert loaded.stdout.strip() == "[]"


def test_every_command_in_the_list_exists_and_explains_itself():
    for name, module in cli.COMMANDS.items():
        line = cli.help_line(module)
        assert line and not line.startswith("("), f"wm {name} ({module}): {line}"


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_help_of_a_command_works(name, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert not ended.value.code and f"usage: wm {name}" in capsys.readouterr().out


def test_help_works_from_the_shell():
    done = wm("eval", "--help")
    assert done.returncode == 0, done.stderr
    assert "usage: wm eval" in done.stdout


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_option_says_what_it_does(name):
    parser = cli.build_parser(name)
    chosen = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    assert not [a.option_strings for a in chosen.choices[name]._actions if not a.help]


def test_an_exit_status_of_a_command_reaches_the_shell(command):
    assert cli.main(["probe", "--number", "3"]) == 3


def test_a_users_mistake_gives_one_sentence_and_no_traceback(command, capsys):
    def run(args):
        raise UserError("Say which room: --scene home or --scene office.")
    command.run = run
    assert cli.main(["probe"]) == 2
    printed = capsys.readouterr().err
    assert printed == "wm: Say which room: --scene home or --scene office.\n"


def test_ctrl_c_ends_a_command_quietly(command, capsys):
    def run(args):
        raise KeyboardInterrupt
    command.run = run
    assert cli.main(["probe"]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("words", ["--help", "sim"])
def test_a_reader_that_goes_away_is_no_mistake(words):
    env = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with subprocess.Popen([sys.executable, "-m", "wm_ros.cli", *words.split()], text=True,
                          env=env | {"PYTHONPATH": str(paths.share())}, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as done:
        done.stdout.close()
        assert (done.stderr.read(), done.wait(timeout=120)) == ("", 141)


def test_long_work_goes_on_where_nobody_reads_its_progress(tmp_path):
    program = """
import pathlib, sys, time, types
from wm_ros import cli
from wm_ros.progress import Progress
def run(args):
    with Progress("work", 3) as bar:
        for done in (1, 2, 3):
            bar._last = -100.0
            bar.update(done)
    pathlib.Path(sys.argv[1]).write_text("done")
sys.modules["work"] = types.SimpleNamespace(HELP="", add_arguments=lambda parser: None, run=run)
cli.COMMANDS["probe"] = "work"
sys.exit(cli.main(["probe"]))
"""
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "result")],
                          env=os.environ | {"PYTHONPATH": str(paths.share())},
                          stderr=subprocess.PIPE) as working:
        working.stderr.close()
        working.wait(timeout=120)
    assert (tmp_path / "result").read_text() == "done"


def test_a_full_disk_gives_one_sentence(command, capsys):
    def run(args):
        raise OSError(errno.ENOSPC, "No space left on device", "out/demo/run.mcap")
    command.run = run
    assert cli.main(["probe"]) == 2
    assert capsys.readouterr().err.startswith("wm: The disk is full (out/demo/run.mcap)")


@pytest.mark.parametrize("error", [
    PermissionError(errno.EACCES, "Permission denied", "out/x"),
    NotADirectoryError(errno.ENOTDIR, "Not a directory", "out/x"),
    FileExistsError(errno.EEXIST, "File exists", "out/x"),
    IsADirectoryError(errno.EISDIR, "Is a directory", "out/x"),
    OSError(errno.EROFS, "Read-only file system", "out/x")])
def test_a_file_that_cannot_be_used_is_named_in_one_sentence(error, command, capsys):
    def run(args):
        raise error
    command.run = run
    assert cli.main(["probe"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"wm: out/x cannot be used ({error.strerror})")
    assert told.count("\n") == 1


def test_a_refusal_that_names_no_file_is_not_hidden(command):
    def run(args):
        raise PermissionError(errno.EPERM, "Operation not permitted")
    command.run = run
    with pytest.raises(PermissionError):
        cli.main(["probe"])


def test_every_default_is_told_zero_too_and_lines_of_a_description_stay(command, capsys):
    def add_arguments(parser):
        parser.description = "First line.\n  Second line."
        parser.add_argument("--number", type=int, default=0, help="a number")
        parser.add_argument("--flag", action="store_true", help="a flag")
        parser.add_argument("--name", help="a name")
    command.add_arguments = add_arguments
    with pytest.raises(SystemExit):
        cli.main(["probe", "--help"])
    told = capsys.readouterr().out
    assert "First line.\n  Second line." in told and "a number (default: 0)" in told
    assert "a flag\n" in told and "a name\n" in told


def test_a_missing_library_says_how_to_install_it(command, capsys):
    def run(args):
        import no_such_library  # noqa: F401
    command.run = run
    assert cli.main(["probe"]) == 2
    assert "no_such_library" in (printed := capsys.readouterr().err) and "make setup" in printed


def test_a_bug_is_not_hidden_as_a_users_mistake(command):
    command.run = lambda args: 1 / 0
    with pytest.raises(ZeroDivisionError):
        cli.main(["probe"])


def test_an_unknown_command_is_answered_with_the_list():
    done = wm("dance")
    assert done.returncode == 2 and "demo" in done.stderr and "Traceback" not in done.stderr


def test_a_users_own_settings_are_never_overruled():
    env = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "MUJOCO_GL": "osmesa",
           "FASTRTPS_DEFAULT_PROFILES_FILE": "/mine.xml"}
    environment.prepare(kept := dict(env))
    assert kept.items() >= env.items()


def test_a_robot_on_another_machine_is_not_cut_off_by_the_loopback_profile():
    environment.prepare(local := {})
    environment.prepare(network := {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"})
    profiles = [Path(env["FASTRTPS_DEFAULT_PROFILES_FILE"]).read_text()
                for env in (local, network)]
    assert "127.0.0.1" in profiles[0] and "127.0.0.1" not in profiles[1]


@pytest.mark.parametrize("own_session", [True, False])
def test_who_only_watches_steps_back_and_takes_no_neighbour_along(own_session):
    group = Path("/proc/self/autogroup")
    script = ("from wm_ros import environment; from pathlib import Path; import os\n"
              "before = os.nice(0); environment.step_back(); print(os.nice(0) - before)\n"
              f"if Path('{group}').exists(): print(Path('{group}').read_text())")
    done = subprocess.run([sys.executable, "-c", script], cwd=paths.share(), text=True, check=True,
                          capture_output=True, start_new_session=own_session)
    niceness, *session = done.stdout.split()
    assert int(niceness) == min(environment.STEP_BACK, 19 - os.nice(0))  # 19 is the end
    if session:
        assert int(session[-1]) == environment.STEP_BACK if own_session else (
            group.read_text().split()[-1] == session[-1])


def test_robot_descriptions_are_found_and_missing_ones_named(tmp_path, monkeypatch):
    (tmp_path / "my_robot" / "urdf").mkdir(parents=True)
    (tmp_path / "my_robot" / "urdf" / "arm.urdf").write_text("<robot/>")
    monkeypatch.setenv("WM_ROBOT_DATA", str(tmp_path))
    assert paths.robot_data("package://my_robot/urdf/arm.urdf").read_text() == "<robot/>"
    assert paths.package_dirs("package://my_robot/urdf/arm.urdf") == [tmp_path]
    with pytest.raises(UserError, match="no_robot"):
        paths.robot_data("package://no_robot/arm.urdf")


@pytest.mark.parametrize("words", [
    "demo --port 99999", "demo --time-limit -1", "demo --seed -1", "instruct x --wait 0",
    "view --port 0", "view --robot nobody", "view --config /nowhere.yaml",
    "sim open_door --seed -1", "record --seconds -1"])
def test_wrong_numbers_and_names_are_answered_before_anything_starts(words, tmp_path):
    done = subprocess.run([sys.executable, "-m", "wm_ros.cli", *words.split()], cwd=tmp_path,
                          env=os.environ | {"PYTHONPATH": str(paths.share())}, text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("wm: ") and done.stderr.count("\n") == 1, done.stderr
    assert not list(tmp_path.iterdir())


def test_waiting_in_vain_for_nodes_ends_with_a_sentence_and_no_crash():
    pytest.importorskip("rclpy")
    done = wm("instruct", "open the door", "--wait", "1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
