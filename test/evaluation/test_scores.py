# SPDX-License-Identifier: Apache-2.0
"""The tables that users read are those that were measured."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from wm_ros.evaluation import scores


@pytest.mark.parametrize("folder", scores.PAGES)
def test_no_page_quotes_other_scores_than_the_file(root: Path, folder: str) -> None:
    parts = scores.tables(json.loads((root / folder / scores.FILE).read_text()))
    for name in scores.PAGES[folder]:
        page = (root / name).read_text(encoding="utf-8")
        assert "<!-- table -->" in page
        assert scores.fill(page, parts) == page, "run `make docs`"


def test_a_second_split_stands_beside_the_first(tmp_path: Path) -> None:
    row = {"successes": 1, "trials": 2, "interval": [0.1, 0.9], "seconds": None,
           "furniture_contacts": 7}
    summary = {"tasks": {"a": row}, "mean": 0.5, "candidates": 1, "first_seed": 100,
               "act_ms_p50": 1.0, "act_ms_p95": 2.0, "precision": "float32",
               "open_loop": {"horizons": {}, "moments": 1,
                             "other": {"image": [3, 4], "things": [0, 0]},
                             "action_mm": {"policy": 1.0, "inverse": 2.0, "stay": 3.0}},
               "calibration": {"bins": [], "looks": 3, "brier": 0.1, "ece": 0.1, "auroc": 0.5,
                               "base_rate": 0.5}}
    for split in ("held_out", "novel"):
        path = scores.record(summary | {"split": split}, tmp_path, "abc", {"cpu": "x"})
    kept = json.loads(path.read_text())
    assert set(kept) == {"held_out", "novel"} and "bins" not in kept["novel"]["calibration"]
    assert kept["novel"]["precision"] == "float32"
    assert "| a | 1/2 | 10-90 % |  | 7 | 1/2 | 7 |" in scores.tables(kept)["table"]


def test_what_was_not_measured_is_called_so_and_no_page_keeps_old_numbers() -> None:
    kept = {"held_out": {"tasks": {}, "mean": 0.5, "open_loop": {}, "calibration": {}}}
    parts = scores.tables(kept)
    places = ("foresight", "other", "actions", "calibration")
    assert {parts[k] for k in places} == {scores.UNMEASURED}
    assert "50 %" in parts["table"]
    assert scores.fill("<!-- foresight -->\n1.4 dB\n<!-- end -->", parts) == (
        f"<!-- foresight -->\n{scores.UNMEASURED}\n<!-- end -->")
    assert scores.tables({"novel": {}}) == {}
