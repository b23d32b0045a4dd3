# SPDX-License-Identifier: Apache-2.0
"""What cannot be done is refused in one sentence, before the work."""
from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch

from wm_ros.cli import build_parser, main
from wm_ros.errors import UserError
from wm_ros.evaluation import evaluate, scan
from wm_ros.evaluation.arguments import AtLeast
from wm_ros.evaluation.folders import make_ready
from wm_ros.sim.tasks import task_names


@pytest.mark.parametrize("words", [
    "eval --first-seed -1", "eval --seeds 0", "eval --films -1", "eval --tasks ,", "eval --record "
    "--tasks home", "compare --first-seed -1", "compare --foresight -1", "compare --tasks ,",
    "probe --first-seed -1", "probe --workers 0", "calibrate --first-seed -1",
    "calibrate --tasks ,", "imagine --seed -1", "imagine --looks 0", "scan --seed 100 -1",
    "scan --pushes -1", "scan --task open_drawer --scene home"])
def test_wrong_numbers_and_no_tasks_are_refused_before_the_work(words, tmp_path, monkeypatch,
                                                               capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    told = capsys.readouterr().err
    assert told.startswith(("wm: --", "wm: open_drawer is a task of the office"))
    assert told.count("\n") == 1 and not list(tmp_path.iterdir())


def test_a_least_value_holds_for_every_number_of_an_option():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", action=AtLeast, least=0, nargs="+", default=[7])
    assert parser.parse_args([]).seed == [7]
    assert parser.parse_args(["--seed", "0", "3"]).seed == [0, 3]
    with pytest.raises(UserError, match="--seed must be at least 0"):
        parser.parse_args(["--seed", "3", "-2"])


@pytest.mark.parametrize("command", ["eval", "compare", "calibrate", "probe", "imagine"])
def test_a_model_is_judged_on_a_gpu_where_there_is_one(command, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert build_parser(command).parse_args([command, "--device", "cuda"]).device == "cuda"
    assert build_parser(command).parse_args([command]).device == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([command, "--device", "cuda"]) == 2
    assert capsys.readouterr().err == "wm: This machine has no CUDA device: leave --device out.\n"


def test_a_worker_loads_a_checkpoint_once_for_each_device(monkeypatch):
    loaded = []
    monkeypatch.setattr(evaluate, "_MODEL", {})
    monkeypatch.setattr("wm_ros.world_model.load_model",
                        lambda *words, **more: loaded.append((*words, more)))
    threads = torch.get_num_threads()
    try:
        for device in ("cpu", "cuda", "cuda"):
            evaluate.load_once(*evaluate.Load("video", device=device))
    finally:
        torch.set_num_threads(threads)
    assert loaded == [("video", device, "auto", {}) for device in ("cpu", "cuda")]


def test_tasks_are_named_by_room_or_one_by_one():
    assert "open_drawer" in task_names("office") and len(task_names("all")) == 12
    for text in ("", " , "):
        with pytest.raises(UserError, match="names no task"):
            task_names(text)


def test_a_scans_room_is_that_of_its_task():
    assert scan.choose(None, "open_drawer") == ("office", "open_drawer")
    assert scan.choose("office", "open_drawer") == ("office", "open_drawer")
    assert scan.choose(None, None)[0] == "home" and scan.choose("office", None)[0] == "office"


@pytest.mark.parametrize("config", [None, "family: video\nformat: 1\nnetwork: {}\n", "[]"])
def test_a_scan_overwrites_nothing_but_a_scan(config, tmp_path, capsys):
    (tmp_path / "meshes").mkdir()
    mine = tmp_path / "meshes" / "mine.obj"
    mine.write_text("v 0 0 0\n")
    if config is not None:
        (tmp_path / "config.yaml").write_text(config)
    assert main(["scan", "--seconds", "5", "--out", str(tmp_path)]) == 2
    assert "no scan" in capsys.readouterr().err and mine.is_file()
    (tmp_path / "config.yaml").write_text("format: 1\nfamily: scene3d\nnetwork: {}\n")
    scan.check_folder(tmp_path)
    scan.check_folder(tmp_path / "new")


@pytest.mark.parametrize("command", [
    "eval --model video", "compare --models video", "probe", "imagine", "scan", "bench"])
def test_a_report_that_cannot_be_written_is_told_before_the_work(command, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "report" / "x"
    assert main([*command.split(), "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert str(tmp_path / "file") in told and "cannot be used" in told and told.count("\n") == 1


def test_a_folder_that_is_not_ours_to_write_is_named(tmp_path: Path, monkeypatch):
    make_ready(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    with pytest.raises(PermissionError, match=str(tmp_path)):
        make_ready(tmp_path)
