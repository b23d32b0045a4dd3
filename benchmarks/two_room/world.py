# SPDX-License-Identifier: Apache-2.0
"""The peer's package, its TwoRoom environment, films of it, and the tasks in it."""
from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import cv2
import numpy as np
import transformers.models.vit  # noqa: F401  before the stand-ins: it asks for torchvision's version
from transformers import ViTConfig, ViTModel  # noqa: F401

SIZE = 64  # px; the environment draws 224
BLOCK = 5  # actions of one prediction
AHEAD = 25  # actions from a task's start to its goal, on an expert's way
BUDGET = 50  # actions that a task may take
NEAR = 16.0  # px of the environment's field: its own limit of success
UNUSED = {"lancedb", "lance", "torchvision", "pygame", "pymunk", "shapely", "h5py", "decord"}


class Films(NamedTuple):
    """``frames`` (N, T, SIZE, SIZE, 3) uint8, ``actions`` (N, T - 1, 2), ``places`` (N, T, 2) px.
    """

    frames: np.ndarray
    actions: np.ndarray
    places: np.ndarray


class Task(NamedTuple):
    """Places in px of the field, and the image of the goal."""

    start: np.ndarray
    goal: np.ndarray
    image: np.ndarray


class _Empty(ModuleType):
    def __getattr__(self, name: str) -> MagicMock:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name)


class _StandIns(MetaPathFinder, Loader):
    def find_spec(self, fullname: str, path: Sequence[str] | None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        known = fullname.split(".")[0] in UNUSED
        return ModuleSpec(fullname, self, is_package=True) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def import_peer() -> None:
    """Make ``stable_worldmodel`` importable without what TwoRoom does not use."""
    sys.meta_path.append(_StandIns())
    import stable_worldmodel  # noqa: F401


def make_env() -> Any:
    """The peer's environment, without gymnasium's wrappers."""
    from stable_worldmodel.envs.two_room.env import TwoRoomEnv

    return TwoRoomEnv()


def look(env: Any) -> np.ndarray:
    """(SIZE, SIZE, 3) uint8."""
    return np.asarray(cv2.resize(env.render(), (SIZE, SIZE), interpolation=cv2.INTER_AREA))


def film(n: int, steps: int, seed: int, noise: float = 0.5) -> Iterator[Films]:
    """``n`` films of the peer's expert on its way to one target after another."""
    import torch
    from stable_worldmodel.envs.two_room.expert_policy import ExpertPolicy

    env, expert = make_env(), ExpertPolicy(action_noise=noise, seed=seed)
    expert.env = env
    random = np.random.default_rng(seed)
    for i in range(n):
        env.reset(seed=seed + i)
        frames, actions, places = [look(env)], [], [env.agent_position.numpy().copy()]
        for _ in range(steps):
            action = expert.get_action({"state": env.agent_position.numpy(),
                                        "goal_state": env.target_position.numpy()})
            arrived = env.step(action)[2]
            if arrived:
                env.target_position = torch.tensor(random.uniform(25, 199, 2)).float()
            frames.append(look(env))
            actions.append(action)
            places.append(env.agent_position.numpy().copy())
        yield Films(np.stack(frames), np.stack(actions), np.stack(places))


def tasks(n: int, seed: int) -> list[Task]:
    """Start and goal of an expert without noise, ``AHEAD`` actions apart, far enough to count."""
    found: list[Task] = []
    for one in film(10 * n, AHEAD, seed, noise=0.0):
        start, goal = one.places[0], one.places[-1]
        if np.linalg.norm(goal - start) > 3 * NEAR:
            found.append(Task(start, goal, one.frames[-1]))
        if len(found) == n:
            break
    return found
