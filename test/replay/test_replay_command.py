# SPDX-License-Identifier: Apache-2.0
"""`wm replay`: the same metrics each time, a report, and a verdict against a baseline."""
from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("wm_ros.msg")
from wm_ros.cli import main  # noqa: E402
from wm_ros.replay import baseline, command  # noqa: E402

TEST = Path(__file__).resolve().parents[1]
BAGS = TEST / "bags"
sys.path.insert(0, str(TEST / "world_model"))
from tiny_checkpoint import make_checkpoint  # noqa: E402

WORDS = "open the drawer"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def replayed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One replay of the home bag with its page."""
    out = tmp_path_factory.mktemp("replay") / "home"
    assert main(["replay", str(BAGS / "home"), *options(model, out)]) == 0
    return out


def options(model: Path, out: Path, *more: str) -> list[str]:
    return ["--model", str(model), "--instruction", WORDS, "--out", str(out), *more]


def part(out: Path) -> str:
    return json.dumps(json.loads((out / "metrics.json").read_text())["metrics"])


def edited(source: Path, target: Path, **summary: float) -> Path:
    content: dict[str, Any] = json.loads((source / "metrics.json").read_text())
    content["metrics"]["summary"] |= summary
    target.write_text(json.dumps(content))
    return target


def test_the_same_bag_gives_the_same_metrics_to_the_bit_three_times(
        model: Path, replayed: Path, tmp_path: Path) -> None:
    out = tmp_path / "second"
    env = {**os.environ, "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "2",
           "PYTHONPATH": str(TEST.parent)}
    subprocess.run([sys.executable, "-m", "wm_ros.cli", "replay", str(BAGS / "home"),
                    *options(model, out, "--no-page")], env=env, check=True, timeout=250)
    third = tmp_path / "third"
    assert main(["replay", str(BAGS / "home"), *options(model, third, "--no-page")]) == 0
    assert part(out) == part(replayed) == part(third)
    assert "NaN" not in (out / "metrics.json").read_text()


def test_real_time_takes_as_long_as_the_recording_and_gives_the_same_metrics(
        model: Path, replayed: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    assert main(["replay", str(BAGS / "home"),
                 *options(model, tmp_path / "slow", "--no-page", "--realtime")]) == 0
    assert time.monotonic() - started > 4.0
    assert part(tmp_path / "slow") == part(replayed)


def test_the_report_holds_page_futures_surprise_and_latency(replayed: Path) -> None:
    page = (replayed / "index.html").read_text()
    assert WORDS in page and "replayed" in page and "http://" not in page.replace(
        "http://www.w3.org", "")
    content = json.loads((replayed / "metrics.json").read_text())
    assert {"perceive", "propose", "imagine", "surprise", "plan"} <= set(
        content["latency"]["stages"])
    summary = content["metrics"]["summary"]
    assert summary["looks"] == 11 and summary["judged"] >= 5
    for name in ("imagined_db_0.8s", "copied_db_1.6s", "surprise_mean", "command_position_m",
                 "plan_fraction"):
        assert summary[name] is not None
    assert "ms" not in json.dumps(content["metrics"]["looks"]), "no times of this machine there"
    assert (replayed / "imagined.gif").stat().st_size > 1000


def test_numbers_outlive_a_page_that_cannot_be_made(
        model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> None:
        raise MemoryError

    monkeypatch.setattr("wm_ros.report.render.render", full)
    out = tmp_path / "out"
    with pytest.raises(MemoryError):
        main(["replay", str(BAGS / "home"), *options(model, out, "--no-plans", "--every", "1.2")])
    assert json.loads((out / command.PART / "metrics.json").read_text())["metrics"]["looks"]


@pytest.mark.parametrize(("seconds", "said"), [(1.0, "too short"), (60.0, "No commands were")])
def test_why_nothing_was_judged_is_said(
        seconds: float, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"bag": {"name": "bag"}, "looks": [{"t": 0.0}], "summary": {"looks": 1, "judged": 0},
               "perception": {"seconds": seconds, "observations": 9, "future_seconds": 1.6}}
    command._tell({"metrics": metrics, "latency": {"times_real_time": 1.0}}, tmp_path)
    assert said in capsys.readouterr().out


def test_the_office_is_replayed_with_several_candidates(model: Path, tmp_path: Path) -> None:
    assert main(["replay", str(BAGS / "office"),
                 *options(model, tmp_path / "o", "--no-page", "--candidates", "3",
                          "--every", "1.0")]) == 0
    assert json.loads(part(tmp_path / "o"))["summary"]["looks"] == 5


def test_other_families_are_replayed_and_their_weights_and_scans_are_told_apart(
        model: Path, tmp_path: Path) -> None:
    scan, team = tmp_path / "scan", tmp_path / "team"
    shutil.copytree(TEST.parent / "checkpoints/scene3d", scan)
    team.mkdir()
    (team / "config.yaml").write_text(
        f"format: 1\nfamily: ensemble\nnetwork: {{}}\npropose: {model}\ncandidates: 2\n")
    found = {}
    for name, folder, more in (("scan", scan, ("--proposer", str(model))), ("team", team, ())):
        for turn in range(2):
            out = tmp_path / f"{name}{turn}"
            assert main(["replay", str(BAGS / "home"), *options(
                folder, out, "--no-page", "--no-plans", "--every", "1.2", *more)]) == 0
            content = json.loads(part(out))
            assert content["summary"]["judged"] >= 1 and content["model"]["family"] in (
                "scene3d", "ensemble")
            found[name, turn] = content
        (folder / "more.json").write_text("{}")  # a scan is more than weights and a config.yaml
    for name in ("scan", "team"):
        assert found[name, 0] == found[name, 1]
        known = command._about(SimpleNamespace(spec=SimpleNamespace(family="")), str(
            tmp_path / name), SimpleNamespace(proposer=str(model)))
        assert known["fingerprint"] != found[name, 0]["model"]["fingerprint"]
    assert found["scan", 0]["model"]["proposer"] == model.name
    assert "proposer" not in found["team", 0]["model"]


def test_a_proposer_that_nobody_asks_is_refused(
        model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(BAGS / "home"), *options(
        model, tmp_path / "x", "--proposer", str(model))]) == 2
    assert "only foresee" in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_the_robot_of_the_bag_is_the_one_whose_body_the_model_knows(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr("wm_ros.world_model.load_model", lambda *_, **options: told | options)
    topics = tmp_path / "map.yaml"
    topics.write_text("robot: ur5")
    args = SimpleNamespace(seed=0, threads=1, device="cpu", proposer="", topics=topics)
    assert command._model("scene3d", args)["robot"].name == "ur5"
    assert "robot" not in command._model("video", args)


def test_both_models_are_looked_at_before_either_is_replayed(
        model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(model, torn)
    weights = torn / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    monkeypatch.setattr(command, "replay", lambda *_: pytest.fail("replayed"))
    for wrong, said in ((tmp_path / "typo", "no checkpoint"), (torn, "cannot be read")):
        assert main(["replay", str(BAGS / "home"), *options(
            wrong, tmp_path / "out", "--baseline-model", str(model))]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_same_command_begins_anew_where_it_was_stopped(
        model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    words = ["replay", str(BAGS / "home"), *options(
        model, tmp_path / "out", "--no-page", "--no-plans", "--every", "1.2",
        "--baseline-model", str(model))]
    real = command.replay

    def stopped(args: Any, name: str, out: Path, before: Any = None) -> Any:
        if before is not None:
            raise KeyboardInterrupt
        return real(args, name, out)
    monkeypatch.setattr(command, "replay", stopped)
    assert main(words) == 130
    monkeypatch.setattr(command, "replay", real)
    assert main(words) == 0
    assert "Not worse than the baseline" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "baseline", "comparison.json", "metrics.json"]
    assert main(words) == 2, "what is whole is not overwritten"


def test_a_regression_against_a_baseline_gives_exit_status_1(
        model: Path, replayed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.loads(part(replayed))["summary"]
    better = edited(replayed, tmp_path / "better.json",
                    **{"imagined_db_0.8s": before["imagined_db_0.8s"] + 2.0})
    assert main(["replay", str(BAGS / "home"), *options(
        model, tmp_path / "out", "--no-page", "--baseline", str(better))]) == 1
    assert "Worse than the baseline: imagined_db_0.8s" in capsys.readouterr().out
    rows = json.loads((tmp_path / "out/comparison.json").read_text())
    assert [row["name"] for row in rows if row["worse"]] == ["imagined_db_0.8s"]


def test_only_what_is_worse_by_more_than_is_allowed_counts(
        replayed: Path, tmp_path: Path) -> None:
    now = json.loads((replayed / "metrics.json").read_text())
    before = now["metrics"]["summary"]

    def worse(*words: str, **was: float) -> list[str]:
        parser = argparse.ArgumentParser()
        baseline.add_arguments(parser.add_argument_group())
        then = json.loads(edited(replayed, tmp_path / "then.json", **was).read_text())
        rows = baseline.compare(now, then, parser.parse_args(words))
        return [row["name"] for row in rows if row["worse"]]

    better = {"imagined_db_0.8s": before["imagined_db_0.8s"] + 2.0}
    assert worse() == []
    assert worse(**better) == ["imagined_db_0.8s"]
    assert worse("--max-psnr-drop", "3", **better) == []
    assert worse(surprise_mean=0.5 * before["surprise_mean"]) == ["surprise_mean"]
    assert worse(surprise_mean=0.0) == (["surprise_mean"] if before["surprise_mean"] > 0.01
                                        else []), "a tenth of the limit is what a share is of"
    assert worse(**{"copied_db_0.8s": before["copied_db_0.8s"] + 2.0}) == [], "not the model's"


def test_a_baseline_of_another_bag_or_other_settings_is_refused(
        model: Path, replayed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for bag, more, said in ((BAGS / "office", (), "another recording"),
                            (BAGS / "home", ("--every", "0.8"), "every 0.4")):
        assert main(["replay", str(bag), *options(
            model, tmp_path / said.replace(" ", "_"), "--no-page", "--baseline", str(replayed),
            *more)]) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "bad.json").write_text("{}")
    assert main(["replay", str(BAGS / "home"), *options(
        model, tmp_path / "x", "--baseline", str(tmp_path / "bad.json"))]) == 2


def test_two_checkpoints_are_compared_in_one_call(
        model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import load_file, save_file

    other = tmp_path / "other"
    shutil.copytree(model, other)
    weights = load_file(other / "model.safetensors")
    save_file({k: v * 1.2 for k, v in weights.items()}, other / "model.safetensors")
    status = main(["replay", str(BAGS / "home"), *options(
        model, tmp_path / "out", "--no-page", "--no-plans", "--baseline-model", str(other))])
    assert status in (0, 1)
    rows = json.loads((tmp_path / "out/comparison.json").read_text())
    assert any(row["before"] != row["now"] for row in rows)
    assert (status == 1) == any(row["worse"] for row in rows)
    assert (tmp_path / "out/baseline/metrics.json").is_file()
    capsys.readouterr()


def test_nothing_is_overwritten_and_mistakes_are_said_in_one_sentence(
        model: Path, replayed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
            ([str(BAGS / "home"), *options(model, replayed)], "not overwritten"),
            ([str(tmp_path / "none"), *options(model, tmp_path / "a")], "does not exist"),
            ([str(BAGS / "home"), *options(tmp_path / "m", tmp_path / "b")], "no checkpoint"),
            ([str(BAGS / "home"), *options(model, tmp_path / "c", "--every", "0")], "above 0")):
        assert main(["replay", *words]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [
    "--seed -1", "--seed 4294967296", "--candidates 0", "--threads 0", "--every nan",
    "--tolerance inf", "--max-psnr-drop nan", "--max-latency-rise nan"])
def test_wrong_numbers_are_refused_before_the_bag_is_read(
        words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path / "none"), *words.split()]) == 2
    error = capsys.readouterr().err
    assert words.split()[0] in error and error.count("\n") == 1


def test_two_replays_at_once_do_not_mix(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda *_: "now")
    monkeypatch.setattr(command, "_check_proposer", lambda _: None)
    monkeypatch.setattr(command, "_tell", lambda *_: None)
    begun: list[list[str]] = [["replay", "bag"], ["replay", "bag", "--out", "out/replay/now"]]
    answers = []

    def replay(args: Any, name: str, part: Path, before: Any) -> dict[str, Any]:
        (part / "metrics.json").write_text(str(len(begun)))
        while begun:  # this one still runs
            answers.append(main(begun.pop()))
        return {}

    monkeypatch.setattr(command, "replay", replay)
    assert main(["replay", "bag"]) == 0
    assert answers == [2, 0]
    assert "Another process is writing to out/replay/now" in capsys.readouterr().err
    found = {str(path.relative_to("out/replay")) for path in Path("out/replay").rglob("*")}
    assert found == {"now", "now/metrics.json", "now_2", "now_2/metrics.json"}
