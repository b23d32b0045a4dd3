# SPDX-License-Identifier: Apache-2.0
"""`wm demo` as a user sees it: result, report and bag are there, and no process stays behind."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wm_ros.cli import main
from wm_ros.data.bag import is_finished, read, read_raw

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]
PROGRAM = Path(__file__).with_name("standin_demo.py")


@pytest.fixture()
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "good").touch()
    return folder


Starter = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture()
def start(root: Path, checkpoint: Path) -> Iterator[Starter]:
    """Starts demos; none outlives the test, whatever becomes of it."""
    started: list[subprocess.Popen[str]] = []

    def begin(out: Path, *more: str) -> subprocess.Popen[str]:
        env = dict(os.environ, PYTHONPATH=str(root))
        env.pop("ROS_PYTHON_CHECK_FIELDS", None)
        started.append(subprocess.Popen(
            [sys.executable, str(PROGRAM), "--headless", "--model", str(checkpoint), "--out",
             str(out), *more], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True))
        return started[-1]

    yield begin
    for demo in started:
        demo.kill()
        demo.communicate()
        wait_for(lambda: not left_behind(demo.pid), 20.0, "")  # noqa: B023


def wait_for(condition: Callable[[], object], seconds: float, why: str) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            pytest.fail(why or f"waited {seconds} s in vain")
        time.sleep(0.1)


def left_behind(pid: int) -> list[str]:
    """Command lines of processes that the demo with this number started and that still run."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if f"WM_SUPERVISOR_PID={pid}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def recorded(bag: Path) -> int:
    """How many messages there are, whole, in a bag that may still be written."""
    return sum(1 for _ in read_raw(bag))


def test_demo_leaves_result_report_and_bag_and_nothing_else(
        start: Starter, tmp_path: Path) -> None:
    out = tmp_path / "out"
    demo = start(out, "--task", "go left")
    said, told = demo.communicate(timeout=150)
    assert demo.returncode == 0, told
    assert json.loads(said)["success"] is True
    assert json.loads((out / "result.json").read_text())["success"] is True
    assert (out / "index.html").stat().st_size > 10_000
    topics = {record.topic for record in read(out / "bag")}
    assert {"/wm/observation", "/wm/action_chunk", "/joint_states", "/wm/trace"} <= topics
    assert left_behind(demo.pid) == []
    again = start(out, "--task", "dance a waltz", "--no-report")
    said, told = again.communicate(timeout=150)
    assert again.returncode == 1
    assert json.loads(said)["success"] is False
    assert "Traceback" not in told
    assert len(list(tmp_path.glob("out_*"))) == 1, "the first run is kept"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_demo_that_is_ended_early_leaves_no_process_and_a_readable_bag(
        start: Starter, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    demo = start(out, "--task", "go left", "--wait")
    wait_for(lambda: any((out / "bag").glob("*.mcap")), 90.0, "no bag was begun")
    wait_for(lambda: recorded(out / "bag") > 10, 30.0, "nothing was recorded")
    before = recorded(out / "bag")
    demo.send_signal(number)
    _, told = demo.communicate(timeout=60)
    assert "Traceback" not in told
    wait_for(lambda: not left_behind(demo.pid), 20.0, "nodes were left behind")
    assert sum(1 for _ in read(out / "bag")) >= before, "what was recorded is lost"
    assert is_finished(out / "bag") or number == signal.SIGKILL


@pytest.mark.parametrize("words", [["--model", "nosuch"], ["--seed", "2147483648"],
                                   ["--config", "CONFIG"]], ids=lambda words: words[0])
def test_what_cannot_be_run_is_refused_before_an_earlier_run_is_moved(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    config, out = tmp_path / "mine.yaml", tmp_path / "out"
    config.write_text("/**: {ros__parameters: {robot: r2d2}}")
    (out / "logs").mkdir(parents=True)
    words = [str(config) if word == "CONFIG" else word for word in words]
    assert main(["demo", "--out", str(out), *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.glob("out*")] == ["out"]


def test_wrong_words_on_the_command_line_are_answered_in_one_sentence(
        start: Starter, tmp_path: Path) -> None:
    demo = start(tmp_path / "out", "--scene", "attic")
    _, told = demo.communicate(timeout=60)
    assert demo.returncode == 2
    assert "home, office" in told
    assert "Traceback" not in told
