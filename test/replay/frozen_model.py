# SPDX-License-Identifier: Apache-2.0
"""A world model without a network: nothing will change, and the hand stays where it is."""
from __future__ import annotations

from typing import Any

import numpy as np

from wm_ros.world_model import ActionChunks, Imagination, ModelSpec, Observation, State


class FrozenModel:
    """Imagines the present image for every future; its plans end ``drift`` m higher."""

    def __init__(self, drift: float = 0.0) -> None:
        self.spec = ModelSpec()
        self.drift = drift
        self.seen: list[Observation] = []

    def observe(self, observation: Observation, state: State | None = None) -> State:
        self.seen.append(observation)
        return State(observation)

    def act(self, state: State, instruction: str, n: int = 1) -> ActionChunks:
        o, h = state.observation, self.spec.horizon
        up = np.linspace(0.0, self.drift, h)[:, None] * np.array([0.0, 0.0, 1.0])
        one = np.full(n, 0.5)
        return ActionChunks(
            np.tile(o.tcp_position + up, (n, 1, 1)), np.tile(o.tcp_quaternion, (n, h, 1)),
            np.full((n, h), o.gripper), self.spec.dt, one, one, np.zeros(n))

    def imagine(self, state: State, chunks: ActionChunks, instruction: str,
                render: bool = True) -> Imagination:
        n, times = len(chunks), np.array(self.spec.frame_steps) * self.spec.dt
        frames = np.tile(state.observation.scene_rgb, (n, len(times), 1, 1, 1))
        return Imagination(frames, times, np.zeros((n, len(times), 1, 1)), chunks.success,
                           chunks.progress, chunks.uncertainty)

    def surprise(self, state: State, observation: Observation) -> float:
        before, now = (o.scene_rgb.astype(float) for o in (state.observation, observation))
        return float(np.abs(before - now).mean())


def play(bag: Any, topics: Any = None, model: Any = None, **settings: Any) -> Any:
    """The outcome of a bag with a model (the frozen one unless another is given)."""
    from wm_ros.data.any_bag import AnyBag
    from wm_ros.data.topic_map import load_map
    from wm_ros.replay.player import Player, Settings

    player = Player(model or FrozenModel(), topics or load_map(), Settings(**settings))
    return player.play(AnyBag(bag))
