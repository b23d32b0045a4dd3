# SPDX-License-Identifier: Apache-2.0
"""Number formats chosen at load."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_checkpoint import make_checkpoint, observation

from wm_ros.errors import UserError
from wm_ros.world_model import load_model, precision

WORDS = "put the mug on the tray"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize(("asked", "told"), [("bf16", "bfloat16"), ("int8", "int8")])
@pytest.mark.parametrize("family", ["video", "twin"])
def test_a_lower_precision_acts_and_imagines_nearly_the_same(tmp_path, asked, told, family):
    folder = make_checkpoint(tmp_path, family)
    full, low = (load_model(folder, precision=p) for p in ("fp32", asked))
    assert (full.precision, low.precision) == ("float32", told)
    answers = []
    for model in (full, low):
        state = model.observe(observation())
        chunks = model.act(state, WORDS, 2)
        answers.append((chunks, model.imagine(state, chunks, WORDS)))
    (a, b), (c, d) = answers
    far = np.abs(a.position - a.position[:, :1]).max()
    assert np.abs(a.position - c.position).max() < 0.1 * max(far, 0.01)
    assert np.abs(b.latents - d.latents).max() < 0.3 * np.abs(b.latents).std()
    assert d.frames.dtype == np.uint8 and np.isfinite(d.success).all()


def test_a_lower_precision_takes_less_memory(folder):
    sizes = {p: load_model(folder, precision=p).bytes for p in ("fp32", "bf16", "int8")}
    assert sizes["bf16"] < sizes["fp32"] and sizes["int8"] < sizes["fp32"]


@pytest.mark.parametrize(("native", "dtype"), [((False, False), torch.float32),
                                               ((True, False), torch.bfloat16),
                                               ((False, True), torch.bfloat16)])
def test_training_takes_bf16_only_where_the_cpu_multiplies_it(monkeypatch, native, dtype):
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    for name, has in zip(names, native, strict=True):
        monkeypatch.setattr(torch.cpu, name, lambda has=has: has, raising=False)
    assert precision.best_dtype("cpu") is dtype
    assert precision.resolve("auto", "cpu") == "fp32", "one candidate is faster so"


@pytest.mark.parametrize(("able", "told"), [(True, "bf16"), (False, "fp32")])
def test_auto_takes_bf16_only_on_a_gpu_that_multiplies_it(monkeypatch, able, told):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated: able)
    assert precision.resolve("auto", "cuda") == told


def test_a_torch_that_cannot_say_what_the_cpu_has_gets_float32(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert precision.best_dtype("cpu") is torch.float32


def test_wrong_wishes_get_one_sentence(folder):
    with pytest.raises(UserError, match="choose from auto"):
        load_model(folder, precision="fp8")
    with pytest.raises(UserError, match="CPU alone"):
        precision.resolve("int8", "cuda")
    with pytest.raises(UserError, match="no option 'sampler'"):
        load_model(folder, sampler=3)
    with pytest.raises(UserError, match="no network"):
        load_model("scene3d", precision="int8")
