# SPDX-License-Identifier: Apache-2.0
"""Foresight is scored against what was seen, and the page shows it."""
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "world_model"))

from tiny_checkpoint import make_checkpoint  # noqa: E402

from wm_ros.evaluation import open_loop  # noqa: E402
from wm_ros.evaluation.closed_loop import Outcome  # noqa: E402
from wm_ros.evaluation.evaluate import calibrate, summarise  # noqa: E402
from wm_ros.evaluation.page import write_page  # noqa: E402
from wm_ros.evaluation.psnr import EQUAL, psnr  # noqa: E402
from wm_ros.world_model import load_model  # noqa: E402


def test_image_scores_rank_a_copy_over_noise():
    r = np.random.default_rng(0)
    truth = np.kron(r.integers(0, 255, (12, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    noisy = np.clip(truth + r.normal(0, 40, truth.shape), 0, 255).astype(np.uint8)
    half = np.arange(96 * 96).reshape(96, 96) < 96 * 48
    same = open_loop.image_scores(truth, truth, half)
    worse = open_loop.image_scores(noisy, truth, half)
    assert same["gmsd"] == 0 and same["ssim"] == pytest.approx(1)
    assert worse["psnr"] < 20 < same["psnr"] == EQUAL
    assert worse["changed"] == pytest.approx(psnr(noisy[:48], truth[:48]))
    assert np.isnan(open_loop.image_scores(noisy, truth, half & ~half)["changed"])
    assert worse["gmsd"] > 0.05 and worse["ssim"] < 0.9


def test_images_that_hardly_differ_are_as_good_as_equal_ones():
    a = np.full((96, 96, 3), 100, np.uint8)
    b = a.copy()
    b[0, 0, 0] += 1
    assert psnr(a, b) == psnr(a, a) == EQUAL
    assert psnr(a, a + 10) == pytest.approx(20 * np.log10(25.5))


def test_an_experts_episode_is_scored_and_shown(tmp_path, monkeypatch):
    model = load_model(make_checkpoint(tmp_path / "model"))
    monkeypatch.setattr(model.text, "understand", lambda words: torch.zeros(384))
    moments = open_loop.score(model, "close_drawer", 100, "held_out")
    assert 2 <= len(moments) <= open_loop.LOOKS
    scores = open_loop.summarise(moments)
    assert set(scores["horizons"]) == {"0.8", "1.6"}
    assert scores["action_mm"]["stay"] > 5, "the expert moved"
    assert scores["other"]["image"][1] == 2 * len(moments)
    outcomes = [Outcome("close_drawer", 100 + i, "close it", i == 0, 3.0, 0.5, act_ms=[10.0],
                        looks=[(0, 0.2, 0.1)]) for i in range(2)]
    summary = summarise(outcomes, ["close_drawer"]) | {
        "model": "tiny", "split": "held_out", "candidates": 1,
        "calibration": calibrate(outcomes, 16), "open_loop": scores}
    page = write_page(summary, tmp_path, []).read_text()
    assert "50 % of 2 episodes" in page and page.count("<svg") == 3 and "101" in page
