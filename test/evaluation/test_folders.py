# SPDX-License-Identifier: Apache-2.0
"""What an earlier command wrote is kept, and two commands do not mix in one folder."""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.few_data import __main__ as few_data
from wm_ros import demo
from wm_ros.errors import UserError
from wm_ros.evaluation import scan
from wm_ros.evaluation.closed_loop import Outcome
from wm_ros.evaluation.folders import PART, for_report
from wm_ros.evaluation.unfinished import Unfinished
from wm_ros.files import LOCK

NAMES = ("eval.json", "index.html", "plots", "*-success.gif")


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != LOCK}


def report(out: Path, text: str, **told: Any) -> None:
    with for_report(out, NAMES, lambda old: old.get("mark") == told["mark"]):
        (out / "plots").mkdir(parents=True, exist_ok=True)
        for name in ("index.html", "plots/a.png", "a-1-success.gif"):
            (out / name).write_text(text)
        (out / "eval.json").write_text(json.dumps(told))


def test_an_earlier_report_is_moved_aside_and_told_and_all_else_stays(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "eval"
    report(out, "first", mark="a")
    (out / "unfinished").mkdir()
    (out / "notes.txt").write_text("mine")
    report(out, "again", mark="a")  # the same command goes on
    assert [path.name for path in tmp_path.iterdir()] == ["eval"] and not capsys.readouterr().err
    for mark in ("b", "c"):
        report(out, mark, mark=mark)
        assert f"The earlier report is kept in {out.resolve()}_" in capsys.readouterr().err
    kept = {(path / "index.html").read_text(): path for path in tmp_path.iterdir()}
    assert set(kept) == {"again", "b", "c"} and (out / "notes.txt").is_file()
    assert names(kept["again"]) == names(kept["b"]) == {
        "eval.json", "index.html", "plots", "plots/a.png", "a-1-success.gif"}
    assert (out / "unfinished").is_dir()


def test_a_page_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(UserError, match="a page of something else"):
        report(tmp_path, "ours", mark="a")
    assert (tmp_path / "index.html").read_text() == "mine"


def test_a_folder_is_one_commands_at_a_time(tmp_path: Path) -> None:
    with for_report(tmp_path, NAMES), pytest.raises(UserError, match="Another process"):
        report(tmp_path, "ours", mark="a")
    report(tmp_path, "ours", mark="a")


def test_an_episode_whose_film_was_moved_away_is_run_again(tmp_path: Path) -> None:
    kept = Unfinished(tmp_path, "mark", "version")
    outcome = Outcome("task", 1, "words", False, 1.0, 0.0)
    kept.keep(outcome, None)
    path = kept.folder / "task-1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"film": "task-1-failure.gif"}))
    assert kept.find("task", 1, False) == outcome and kept.find("task", 1, True) is None
    (tmp_path / "task-1-failure.gif").touch()
    assert kept.find("task", 1, True) == outcome


def test_a_demo_keeps_the_run_that_is_under_way(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "demo"
    args = argparse.Namespace(out=out, headless=True)
    monkeypatch.setattr(demo, "_plans", lambda _: [])

    def runs(args: argparse.Namespace, *_: Any) -> int:
        (out / "logs").mkdir()
        with pytest.raises(UserError, match="Another process is writing to"):
            demo.run(args)
        (out / "result.json").write_text("{}")
        return 0

    monkeypatch.setattr(demo, "_all", runs)
    for _ in range(2):
        assert demo.run(args) == 0
    assert [names(path) for path in tmp_path.iterdir()] == [{"logs", "result.json"}] * 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").touch()
    with pytest.raises(UserError, match="no earlier run"):
        demo.run(argparse.Namespace(out=tmp_path / "mine", headless=True))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter"]


@pytest.mark.parametrize("scanned", [False, True])
def test_a_scan_that_is_stopped_leaves_the_earlier_one_and_can_be_repeated(
        scanned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, ended = tmp_path / "scan", {"now": False}
    card = "format: 1\nfamily: scene3d\nnetwork: {}\n"

    def scan_one(args: argparse.Namespace, task: str, seed: int, folder: Path) -> Any:
        (folder / "map.npz").write_text(str(args.turn))
        (folder / "meshes").mkdir()
        (folder / "meshes" / f"{args.turn}.stl").touch()
        if ended["now"]:
            raise KeyboardInterrupt
        (folder / "config.yaml").write_text(card)
        return {}, None

    monkeypatch.setattr(scan, "scan_one", scan_one)
    monkeypatch.setattr(scan, "line", lambda *_: "")

    def wm_scan(turn: int) -> None:
        scan.run(argparse.Namespace(size=128, seconds=9.0, scene="home", task=None, seed=[100],
                                    out=out, noise=False, turn=turn))

    if scanned:
        wm_scan(0)
    before = names(out)
    ended["now"] = True
    with pytest.raises(KeyboardInterrupt):
        wm_scan(1)
    assert {name for name in names(out) if not name.startswith(PART)} == before
    ended["now"] = False
    wm_scan(2)
    assert names(out) == {"config.yaml", "map.npz", "meshes", "meshes/2.stl"}
    assert (out / "map.npz").read_text() == "2"


def test_of_two_trainings_none_goes_on_where_the_other_failed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    class Program(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, words: list[str], **options: Any) -> None:
            seconds, status = (60, 0) if "twin" in words else (0, 3)
            super().__init__([sys.executable, "-c", f"import time; time.sleep({seconds}); "
                              f"raise SystemExit({status})"], **options)
            started.append(self)

    (tmp_path / "shared").mkdir()
    for name in few_data.SHARED:
        (tmp_path / "shared" / name).touch()
    monkeypatch.setattr(few_data.subprocess, "Popen", Program)
    began = time.monotonic()
    with pytest.raises(SystemExit, match="failed: see"):
        few_data.train(tmp_path, [], 0)
    assert time.monotonic() - began < 30
    assert len(started) == 2 and None not in [program.poll() for program in started]
