# SPDX-License-Identifier: Apache-2.0
"""Every command that judges a model does its work once, with a tiny untrained one."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "world_model"))

from tiny_checkpoint import make_checkpoint  # noqa: E402
from tiny_jepa import make_jepa  # noqa: E402

from wm_ros import paths  # noqa: E402
from wm_ros.cli import main  # noqa: E402
from wm_ros.errors import UserError  # noqa: E402
from wm_ros.evaluation import (  # noqa: E402
    bench,
    calibrate,
    compare,
    evaluate,
    keeping,
    probe_command,
)
from wm_ros.sim.env import TaskEnv  # noqa: E402
from wm_ros.world_model.checkpoint import read_config, save_config, save_tensors  # noqa: E402
from wm_ros.world_model.text import DIM, normalise  # noqa: E402

TASK = "press_button"
SEEDS = 12
ONE = ["--tasks", TASK, "--seeds", "1", "--workers", "1"]


def words(seed: int, split: str = "held_out") -> str:
    env = TaskEnv(TASK, seed, split)
    env.close()
    return normalise(env.instruction)


@pytest.fixture()
def model(tmp_path: Path) -> Path:
    """A tiny checkpoint that knows the words of the first seeds."""
    folder = make_checkpoint(tmp_path / "tiny")
    phrases = sorted({words(100 + i) for i in range(SEEDS)} | {words(98000, "train")})
    phrases.append("put the mug on the tray")
    vectors = torch.nn.functional.normalize(torch.randn(len(phrases), DIM), dim=-1)
    save_tensors({"embeddings": vectors}, folder / "text.safetensors")
    save_config(read_config(folder) | {"phrases": phrases}, folder)
    return folder


def test_eval_scores_no_pictures_of_the_twin_which_imagines_none(model: Path,
                                                                 tmp_path: Path) -> None:
    save_config(read_config(model) | {"family": "twin"}, model)
    out = tmp_path / "eval"
    assert main(["eval", "--model", str(model), *ONE, "--open-loop", "1", "--films", "0", "--out",
                 str(out)]) == 0
    assert json.loads((out / "eval.json").read_text())["open_loop"] == {}


def test_eval_writes_rates_a_film_and_a_page(model: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["eval", "--model", str(model), *ONE, "--open-loop", "1", "--out", str(out)]) == 0
    summary = json.loads((out / "eval.json").read_text())
    assert summary["tasks"][TASK]["trials"] == 1 and summary["open_loop"]["moments"] >= 1
    assert f"| {TASK} | " in capsys.readouterr().out
    assert len(list(out.glob(f"{TASK}-100-*.gif"))) == 1 and (out / "index.html").is_file()
    assert not (out / "unfinished").exists(), "the next command starts anew"


def test_eval_takes_nearness_to_a_goal_for_no_probability(tmp_path: Path, monkeypatch) -> None:
    looked = evaluate.Outcome(TASK, 100, "", True, 3.0, 1.0, act_ms=[1.0], looks=[(0, 0.5, 0.1)])
    monkeypatch.setattr(evaluate.Workers, "answers", lambda self, calls, **_: iter(
        [looked] * len(list(calls))))
    out = tmp_path / "out"
    assert main(["eval", "--model", str(make_jepa(tmp_path / "jepa")), *ONE, "--films", "0",
                 "--out", str(out)]) == 0
    assert json.loads((out / "eval.json").read_text())["calibration"] == {}


def test_ctrl_c_ends_eval_within_seconds_and_the_same_command_goes_on(
        model: Path, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "out"
    command = ["eval", "--model", str(model), "--tasks", TASK, "--workers", "1", "--out",
               str(out), "--open-loop", "0", "--films", "0"]
    with subprocess.Popen(
            [sys.executable, "-m", "wm_ros.cli", *command, "--seeds", str(SEEDS)], text=True,
            env=os.environ | {"PYTHONPATH": str(paths.share())}, stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            end = time.monotonic() + 200
            while not list(out.glob("unfinished/*/*.json")) and time.monotonic() < end:
                time.sleep(0.05)
            began = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers hear it too
            told = process.communicate(timeout=60)[1]
        except BaseException:  # or this test would wait for it
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 130, told
    assert time.monotonic() - began < 20
    assert told.splitlines()[-1] == "wm: Stopped; the same command goes on from here."
    assert "Traceback" not in told
    kept = list(out.glob("unfinished/*/*.json"))
    assert 1 <= len(kept) < SEEDS
    first = next(path for path in kept if path.stem == f"{TASK}-100")
    cell = json.loads(first.read_text())
    assert cell["commit"] and cell["precision"]
    monkeypatch.setattr(keeping, "code_version", lambda: cell["commit"])
    cell["outcome"]["furniture_contacts"] = 77  # shows that it was not run again
    first.write_text(json.dumps(cell))
    assert main([*command, "--seeds", "1"]) == 0
    summary = json.loads((out / "eval.json").read_text())
    assert summary["episodes"][0]["furniture_contacts"] == 77


def test_compare_writes_a_table_and_keeps_every_episode_with_the_version_of_the_code(
        model: Path, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "out"
    assert compare._alone(max, 3, 4) == 4
    monkeypatch.setattr(compare, "_alone", lambda work, *words: work(*words))  # quicker
    assert main(["compare", "--models", f"it={model}", *ONE, "--foresight", "1", "--out",
                 str(out)]) == 0
    summary = json.loads((out / "compare.json").read_text())
    row = summary["models"]["it"]
    assert row["trials"] == 1 and row["cost"]["latency"]["act"] and len(row["precision"]) == 1
    assert "at 0.8 s" in (out / "compare.md").read_text()
    (cell,) = out.glob(f"cells/it-*/episode-{TASK}-100.json")
    kept = json.loads(cell.read_text())
    assert kept["commit"] == summary["commit"] and kept["precision"] == row["precision"][0]


def test_probe_writes_surprise_probes_and_the_time_of_a_plan(
        tmp_path: Path, monkeypatch, capsys) -> None:
    jepa, out, timed = make_jepa(tmp_path / "jepa"), tmp_path / "out", probe_command.plan_times
    monkeypatch.setattr(probe_command, "plan_times", lambda model: timed(model, times=1))
    assert main(["probe", "--model", str(jepa), *ONE, "--fit", "1", "--out", str(out)]) == 0
    summary = json.loads((out / "probe.json").read_text())
    assert summary["surprise"]["normal"]["looks"] and "tcp" in summary["probes"]
    assert len(summary["plan_ms"]) == 3 and (out / "surprise.png").is_file()
    assert "| linear probe |" in capsys.readouterr().out


def test_calibrate_tells_its_numbers_and_writes_them(model: Path, monkeypatch, capsys) -> None:
    # an untrained model never succeeds, and of one outcome nothing can be fitted
    monkeypatch.setattr(calibrate, "fit", lambda looks: [0.7, -2.0])
    assert main(["calibrate", "--model", str(model), *ONE]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["success"] == [0.7, -2.0] and told["before"]["looks"] > 5
    assert read_config(model)["scales"]["success"] == [0.7, -2.0]


def test_calibrate_keeps_what_was_written_meanwhile_and_tells_of_other_weights(
        model: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(calibrate.Workers, "answers", lambda self, calls: iter([[]]))
    monkeypatch.setattr(calibrate, "predicted", lambda looks, numbers: calibrate.np.zeros(0))

    def fit(looks: list) -> list[float]:
        save_config(read_config(model) | {"note": "mine"}, model)
        return [0.7, -2.0]

    monkeypatch.setattr(calibrate, "fit", fit)
    assert main(["calibrate", "--model", str(model), *ONE]) == 0
    card = read_config(model)
    assert card["note"] == "mine" and card["scales"]["success"] == [0.7, -2.0]

    def train(looks: list) -> list[float]:
        save_tensors({"new": torch.zeros(1)}, model / "model.safetensors")
        return [0.9, 0.0]

    monkeypatch.setattr(calibrate, "fit", train)
    assert main(["calibrate", "--model", str(model), *ONE]) == 2
    assert "changed meanwhile" in capsys.readouterr().err and read_config(model) == card


def test_imagine_writes_a_strip_and_its_errors(model: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["imagine", TASK, "--model", str(model), "--looks", "1", "--out", str(out)]) == 0
    (look,) = json.loads((out / "imagined.json").read_text())["looks"]
    assert 0 < look["imagined_db"] <= 60 and (out / "imagined.png").stat().st_size > 1000
    told = capsys.readouterr().out
    assert "now, imagined after 0.8 s, what then happened, imagined after 1.6 s" in told


def test_imagine_refuses_a_family_that_draws_nothing_and_keeps_the_earlier_report(
        tmp_path: Path, capsys) -> None:
    make_jepa(tmp_path / "jepa")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "imagined.json").write_text("{}")
    assert main(["imagine", TASK, "--model", str(tmp_path / "jepa"),
                 "--out", str(tmp_path / "out")]) == 2
    assert "imagines no frames: choose a model of the family video" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("out*")] == ["out"]


@pytest.mark.parametrize("words", [["eval", "--tasks", TASK], ["imagine", TASK]])
def test_who_has_no_policy_is_told_before_any_episode(words: list[str], tmp_path: Path,
                                                      capsys) -> None:
    assert main([*words, "--model", "scene3d", "--out", str(tmp_path / "out")]) == 2
    assert "scene3d has no policy" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bench_measures_a_model_and_a_part_that_fails_does_not_end_the_others(
        model: Path, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "new" / "bench.json"
    monkeypatch.setattr(bench, "machine", lambda: {"cpu": "quick"})
    monkeypatch.setitem(bench.PARTS, "planner", lambda _: {"p50_ms": 1.0})
    monkeypatch.setattr(bench, "times_of", lambda work, *_: (work(), bench.np.ones(3))[1])
    assert main(["bench", "--only", "model", "--model", str(model), "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["model"]["act_8"]["p50_ms"] == 1000.0 and report["commit"]
    assert main(["bench", "--only", "model,planner", "--model", str(tmp_path / "nowhere"), "--out",
                 str(out)]) == 2
    assert json.loads(out.read_text()) == report, "an earlier one stays"

    def fails(_: object) -> dict:
        raise UserError("It is broken.")

    monkeypatch.setitem(bench.PARTS, "model", fails)
    assert main(["bench", "--only", "model,planner", "--model", str(model), "--out",
                 str(out)]) == 1
    report = json.loads(out.read_text())
    assert "is broken" in report["model"]["error"] and report["planner"] == {"p50_ms": 1.0}
    assert main(["bench", "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize("text", ["notes of mine", '{"commit": "abc"}', "[]"])
def test_bench_overwrites_nothing_but_its_own_report(text: str, tmp_path: Path, monkeypatch,
                                                     capsys) -> None:
    monkeypatch.setitem(bench.PARTS, "planner", lambda _: {"p50_ms": 1.0})
    mine = tmp_path / "mine"
    mine.write_text(text)
    assert main(["bench", "--only", "planner", "--out", str(mine)]) == 2
    assert "not overwritten" in capsys.readouterr().err and mine.read_text() == text
