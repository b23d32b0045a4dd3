# SPDX-License-Identifier: Apache-2.0
"""The share of the machine that the progress bar tells, and the sizes by name."""
from __future__ import annotations

import re

import pytest
import torch

from wm_ros.paths import config
from wm_ros.training import throughput
from wm_ros.training.config import load
from wm_ros.training.throughput import MachineShare
from wm_ros.world_model.video.network import VideoNetwork


def test_the_share_is_flops_over_time_over_peak(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(throughput, "matmul_rate", lambda *_: 1.0)  # GFLOP/s
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: clock[0])
    share = MachineShare(torch.float32)
    assert str(share) == ""
    for _ in range(5):
        with share.counted():
            torch.randn(100, 500) @ torch.randn(500, 1000)  # 0.1 GFLOP
        clock[0] += 0.2
        share.stepped()
    assert share.flops == 10**8
    assert share.share == pytest.approx(0.4, rel=0.3) and str(share).endswith("% of peak")


def test_the_backward_pass_is_counted():
    share = MachineShare(torch.float32)
    layer = torch.nn.Linear(64, 64, bias=False)
    with share.counted():
        layer(torch.randn(8, 64)).sum().backward()
    assert share.flops == 2 * 2 * 8 * 64 * 64, "forward, and the weights' gradient"
    assert share.peak > 0


@pytest.mark.parametrize("name", ["video_base", "video_large"])
def test_a_size_has_the_parameters_that_its_file_claims(name):
    with torch.device("meta"):
        network = VideoNetwork(load(name)[1])
    claimed = re.search(r"([\d.]+) million parameters",
                        config("models", f"{name}.yaml").read_text())
    assert claimed is not None
    count = sum(p.numel() for p in network.parameters()) / 1e6
    assert count == pytest.approx(float(claimed[1]), rel=0.005)
