# SPDX-License-Identifier: Apache-2.0
"""The network run by ONNX Runtime."""
from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from tiny_checkpoint import make_checkpoint, observation

from wm_ros.cli import main
from wm_ros.errors import UserError
from wm_ros.world_model import load_model
from wm_ros.world_model.video import exported
from wm_ros.world_model.video import model as video_model

WORDS = "put the mug on the tray"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_onnx_gives_the_same_chunks_and_futures(tmp_path, monkeypatch):
    for name in ("onnxruntime", "onnx", "onnxscript"):
        pytest.importorskip(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_checkpoint(tmp_path / "tiny")
    answers = []
    for backend in ("torch", "onnx"):
        model = load_model(folder, backend=backend)
        state = model.observe(observation())
        chunks = model.act(state, WORDS, 3)
        inverse = model.infer_actions(state, model.imagine(state, chunks, WORDS).latents, WORDS)
        answers.append((chunks.position, chunks.success, state.memory["imagined"][2],
                        inverse.position))
    for one, other in zip(*answers, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    monkeypatch.setattr(exported, "_export", None)  # a second load must not export again
    load_model(folder, backend="onnx")


def test_without_onnx_runtime_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec",
                        lambda name, *a: None if name == "onnxruntime" else find(name, *a))
    with pytest.raises(UserError, match="pip install onnxruntime"):
        load_model(make_checkpoint(tmp_path), backend="onnx")


def test_auto_takes_torch_until_the_network_has_been_exported(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_checkpoint(tmp_path / "tiny")
    assert load_model(folder, backend="auto").backend == "torch"
    made = []
    monkeypatch.setattr(video_model, "ready", lambda weights: True)
    monkeypatch.setattr(video_model, "ExportedNetwork", lambda *a: made.append(a))
    monkeypatch.setattr(video_model, "prepare", lambda network, weights: weights.parent)
    assert load_model(folder, backend="auto").backend == "onnx" and made
    assert load_model(folder, backend="auto", precision="int8").backend == "torch"


def test_what_has_no_such_network_is_not_exported(capsys):
    assert main(["export", "jepa"]) == 2
    assert "family video" in capsys.readouterr().err


@pytest.mark.parametrize("options", [{"backend": "tensorrt"},
                                     {"backend": "onnx", "precision": "int8"}])
def test_a_backend_that_does_not_fit_gets_one_sentence(tmp_path, options):
    with pytest.raises(UserError, match="backend"):
        load_model(make_checkpoint(tmp_path), **options)
