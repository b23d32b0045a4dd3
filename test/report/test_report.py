# SPDX-License-Identifier: Apache-2.0
"""A run's report: complete, readable without a network, and made from whatever a run left."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wm_ros.errors import UserError
from wm_ros.report.render import render
from wm_ros.report.run import load_run
from wm_ros.report.run_log import RunLog

T0 = 1_700_000_000.0


def scene(x: float, ghost: int = 0) -> np.ndarray:
    """A red block on a table, at x in 0 .. 1."""
    frame = np.zeros((96, 96, 3), np.uint8)
    frame[:40], frame[40:] = (196, 205, 214), (146, 116, 88)
    left = int(x * 80)
    frame[52:68, left : left + 14] = (200, 50 + ghost, 45 + ghost)
    return frame


def _surprise(i: int) -> float:
    return 0.3 + 0.25 * np.sin(i / 5) ** 2 + (0.6 if 40 < i < 45 else 0)


def made_up_run(folder: Path, seconds: float = 6.0) -> RunLog:
    """A run in which every second a chunk imagines the next 1.6 s."""
    log = RunLog(folder)
    for i in range(int(seconds * 10)):
        t = i / 10
        log.add_real_frame(T0 + t, scene(t / seconds))
        log.add_tcp(T0 + t, np.array([0.4 + 0.1 * np.sin(t), 0.2 * np.cos(t), 0.3 - 0.02 * t]))
        log.add_surprise(T0 + t, _surprise(i), 0.8)
        if i % 10 == 5:
            times = np.linspace(0, 1.6, 9)
            frames = np.stack([scene((t + dt) / seconds, 40) for dt in times])
            log.add_imagined(f"chunk-{i}", T0 + t, times, frames, 0.5 + 0.4 * t / seconds, 0.1)
            log.add_stage("act", 0.045 + 0.002 * i / 10)
            log.add_stage("plan", 0.012)
            log.add_stage("camera_to_trajectory", 0.12 + 0.001 * i)
    log.add_event(T0 + 0.2, "instruction accepted")
    log.set_result(success=True, instruction="put the mug on the <tray>", room="home",
                   task="put_mug_on_tray", seed=100, duration=6.4)
    return log


def test_a_run_leaves_a_page_an_animation_and_numbers(tmp_path: Path) -> None:
    made_up_run(tmp_path / "run").save()
    page = render(tmp_path / "run", tmp_path / "out")
    text = page.read_text()
    assert "put the mug on the &lt;tray&gt;" in text and "<tray>" not in text
    assert text.count("<svg") == 4 and "data:image/webp;base64," in text
    film = Image.open(tmp_path / "out/imagined.gif")
    assert film.n_frames == 60 and film.size[0] > 2 * 288
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert result["success"] is True and len(result["surprise"]) == 60
    assert result["stages"][0]["p95_ms"] > 0
    assert (tmp_path / "out/plots/surprise.png").exists()


def test_the_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    made_up_run(tmp_path / "run").save()
    text = render(tmp_path / "run").read_text()
    links = set(re.findall(r'(?:src|href)="([^"]{0,40})', text))
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "url(http" not in text and "<script" not in text


def test_imagined_frames_stand_beside_the_moment_they_were_imagined_for(tmp_path: Path) -> None:
    made_up_run(tmp_path / "run").save()
    run = load_run(tmp_path / "run")
    assert run.imagined_at(0.2) is None, "nothing had been imagined yet"
    for time in (0.7, 2.0, 5.0):
        frame, chunk = run.imagined_at(time)
        assert abs(run.imagined_t[frame] - time) <= 0.11
        assert run.result["chunks"][chunk]["t"] <= time < run.result["chunks"][chunk]["t"] + 1.01


def test_a_run_that_failed_at_once_is_reported_too(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run")
    log.set_result(success=False, instruction="fly")
    log.add_event(0.0, "the words mean nothing to the model")
    log.save()
    assert "not done" in render(tmp_path / "run").read_text()


def test_numbers_that_are_not_finite_do_not_spoil_a_report(tmp_path: Path) -> None:
    log = made_up_run(tmp_path / "run", 2.0)
    log.add_surprise(T0 + 2, float("nan"), 0.8)
    log.add_imagined("late", T0 + 2, np.zeros(0), np.zeros((0, 96, 96, 3)), float("nan"), 0.0)
    log.save()
    assert render(tmp_path / "run").exists()
    text = (tmp_path / "run/result.json").read_text()
    assert "NaN" not in text and "Infinity" not in text, "browsers and jq refuse those words"


def test_a_long_run_does_not_fill_the_memory(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run", max_real_frames=50)
    for i in range(400):
        log.add_real_frame(i / 10, scene(0.5))
    log.save()
    run = load_run(tmp_path / "run")
    assert 25 <= len(run.real) <= 51 and run.duration > 35


def test_many_futures_do_not_fill_the_memory_either(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run", max_imagined_frames=50)
    for i in range(200):
        log.add_real_frame(T0 + i / 2, scene(i / 200))
        log.add_imagined(f"chunk-{i}", T0 + i / 2, np.array([0.8, 1.6]),
                         np.stack([scene(i / 200), scene(i / 200)]), 0.5, 0.1)
        assert len(log._imagined) <= 50
    log.set_result(success=True, instruction="go on")
    log.save()
    run = load_run(tmp_path / "run")
    kept = sorted(set(run.imagined_chunk.tolist()))
    assert kept == list(range(0, 200, 8)) and len(run.imagined) == 50
    assert len(run.result["chunks"]) == 200 and {c["frames"] for c in run.result["chunks"]} == {2}
    assert run.imagined_at(96.8) is not None
    assert render(tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["real.npz", "imagined.npz", "trace.npz", "result.json"])
def test_a_file_that_is_cut_or_damaged_is_said_in_one_sentence(tmp_path: Path, name: str) -> None:
    made_up_run(tmp_path / "run", 2.0).save()
    file = tmp_path / "run" / name
    whole = file.read_bytes()
    for left in (0, 1, 100, len(whole) // 2, len(whole) - 30):
        file.write_bytes(whole[:left])
        with pytest.raises(UserError, match="no complete run"):
            render(tmp_path / "run")
    if name.endswith(".npz"):  # a block that was never written
        middle = len(whole) // 2
        file.write_bytes(whole[:200] + bytes(middle - 200) + whole[middle:])
    else:
        file.write_text("[]")
    with pytest.raises(UserError, match="no complete run"):
        render(tmp_path / "run")


def test_a_folder_without_a_run_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no complete run"):
        render(tmp_path)


def test_another_runs_folder_and_anything_else_is_not_overwritten(tmp_path: Path) -> None:
    made_up_run(tmp_path / "run", 2.0).save()
    made_up_run(tmp_path / "other", 1.0).save()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    result = (tmp_path / "other" / "result.json").read_bytes()
    for name in ("other", "mine"):
        with pytest.raises(UserError, match="exists already and is not overwritten"):
            render(tmp_path / "run", tmp_path / name)
    assert (tmp_path / "other" / "result.json").read_bytes() == result
    assert (tmp_path / "mine" / "index.html").read_text() == "mine"
    for _ in range(2):  # its own report is made anew
        render(tmp_path / "run", tmp_path / "out")
