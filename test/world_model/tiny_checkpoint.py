# SPDX-License-Identifier: Apache-2.0
"""A tiny untrained checkpoint and observations for tests."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from wm_ros.training.config import load
from wm_ros.world_model import Observation
from wm_ros.world_model.checkpoint import save_config, save_tensors
from wm_ros.world_model.text import DIM, normalise
from wm_ros.world_model.video.network import VideoNetwork
from wm_ros.world_model.video.renderer import Renderer
from wm_ros.world_model.video.tokeniser import Tokeniser

PHRASES = ["put the mug on the tray", "open the drawer"]


def make_checkpoint(folder: Path, family: str = "video") -> Path:
    """Write random weights with every layer alive (zero-initialised ones would hide bugs)."""
    _, config, _ = load("video_tiny")
    torch.manual_seed(0)
    network, tokeniser = VideoNetwork(config), Tokeniser(config)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.05 * torch.randn_like(p))
    save_tensors(dict(network.state_dict()), folder / "model.safetensors")
    save_tensors(dict(tokeniser.state_dict()), folder / "tokeniser.safetensors")
    save_tensors(dict(Renderer(config).state_dict()), folder / "renderer.safetensors")
    vectors = torch.nn.functional.normalize(torch.randn(len(PHRASES), DIM), dim=-1)
    save_tensors({"embeddings": vectors}, folder / "text.safetensors")
    save_config({"family": family, "network": config.to_dict(), "tasks": ["a", "b"],
                 "phrases": [normalise(p) for p in PHRASES],
                 "scales": {"position": [0.01 * (i + 1) for i in range(16)],
                            "rotation": [0.02 * (i + 1) for i in range(16)],
                            "surprise": 0.5}}, folder)
    return folder


def observation(seed: int = 0, stamp: float = 0.0) -> Observation:
    """A random but valid observation."""
    r = np.random.default_rng(seed)
    return Observation(
        scene_rgb=r.integers(0, 255, (96, 96, 3), dtype=np.uint8),
        scene_depth=r.uniform(0.5, 1.5, (96, 96)).astype(np.float32),
        wrist_rgb=r.integers(0, 255, (96, 96, 3), dtype=np.uint8),
        scene_K=np.array([[80.0, 0, 48], [0, 80, 48], [0, 0, 1]]),
        scene_position=np.array([1.2, 0, 0.8]), scene_quaternion=np.array([-0.6, 0.6, 0.4, -0.4]),
        q=np.zeros(7), tcp_position=np.array([0.4, 0.0, 0.3]),
        tcp_quaternion=np.array([1.0, 0, 0, 0]), gripper=0.08, wrench=np.zeros(6), stamp=stamp)
