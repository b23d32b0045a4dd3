# SPDX-License-Identifier: Apache-2.0
"""docs/python_api.md says what the code does, and its example runs."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wm_ros import write_api


def test_the_page_of_the_python_api_is_not_stale(root: Path) -> None:
    page = (root / write_api.PAGE).read_text(encoding="utf-8")
    assert page == write_api.page(), "run `python -m wm_ros.write_api`"


def test_the_pages_example_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From any folder, with a model that moves ten centimetres up in place of the trained one."""
    from wm_ros import world_model
    from wm_ros.world_model import loading
    from wm_ros.world_model.checkpoint import read_config
    from wm_ros.world_model.interface import ActionChunks, Imagination, State

    class Upwards:
        def observe(self, observation: Any, state: Any = None) -> State:
            return State(observation)

        def act(self, state: State, instruction: str, n: int = 1) -> ActionChunks:
            here = state.observation
            rise = np.linspace(0.0, 0.1, 16)[:, None] * [0.0, 0.0, 1.0]
            return ActionChunks(np.tile(here.tcp_position + rise, (n, 1, 1)),
                                np.tile(here.tcp_quaternion, (n, 16, 1)), np.full((n, 16), 0.08),
                                0.1, np.ones(n), np.zeros(n), np.zeros(n))

        def imagine(self, state: State, chunks: ActionChunks, instruction: str,
                    render: bool = True) -> Imagination:
            n = len(chunks)
            return Imagination(None, np.array([0.8]), np.zeros((n, 1, 4, 8), np.float32),
                               chunks.success, chunks.progress, chunks.uncertainty)

    def load_model(name: str) -> Upwards:
        read_config(loading.find(name))  # it is there
        return Upwards()
    monkeypatch.setattr(world_model, "load_model", load_model)
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", write_api.HEADER, re.S)[0]
    space: dict[str, Any] = {}
    exec(compile(code, "the page's example", "exec"), space)
    env = space["env"]
    assert env.steps == 3
    assert env.sim.tcp_pose().position[2] > space["obs"].tcp.position[2] + 0.005
    env.close()
