# SPDX-License-Identifier: Apache-2.0
"""A tiny untrained jepa checkpoint for tests."""
from __future__ import annotations

from pathlib import Path

import torch

from wm_ros.training.jepa import Jepa, load
from wm_ros.world_model.checkpoint import save_config, save_tensors


def make_jepa(folder: Path) -> Path:
    """Write random weights; predictions are made to move, so that actions can be told apart."""
    network, _ = load("jepa_tiny")
    torch.manual_seed(0)
    model = Jepa(network)
    with torch.no_grad():
        model.predictor.leave.weight.normal_(std=0.3)
    save_tensors({**model.state_dict(), "whiten": torch.eye(network.latent)},
                 folder / "model.safetensors")
    save_config({"family": "jepa", "network": network.to_dict(), "tasks": ["a"],
                 "scales": {"surprise": 0.5}}, folder)
    return folder
