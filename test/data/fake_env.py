# SPDX-License-Identifier: Apache-2.0
"""An environment with the interface of `wm_ros.sim.env.TaskEnv` that needs no simulator."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import numpy as np

from wm_ros.motion.pose import Pose

DOWN = np.array([1.0, 0.0, 0.0, 0.0])


class FakeEnv:
    """The hand has to move 20 cm along x."""

    max_steps = 40
    room = "home"

    def __init__(self, task: str, seed: int, split: str = "train", robot: str = "panda",
                 image_size: int = 96) -> None:
        assert split == "train", "held-out layouts must never be collected"
        self.task = SimpleNamespace(room="home")
        self.seed = seed
        self.size = image_size
        self.instruction = f"move, {task}"
        self.position = np.array([0.3, 0.001 * seed, 0.3])
        self.rng = np.random.default_rng(seed)

    def expert(self) -> SimpleNamespace:
        return SimpleNamespace(act=lambda: (
            Pose(self.position + np.array([0.02, 0.0, 0.0]), DOWN), 0.08))

    def observe(self) -> SimpleNamespace:
        rgb = np.full((self.size, self.size, 3), 60, np.uint8)
        rgb[5:20, int(self.position[0] * 60) : int(self.position[0] * 60) + 10] = (220, 40, 40)
        pose = Pose(self.position.copy(), DOWN)
        return SimpleNamespace(
            scene_rgb=rgb, wrist_rgb=rgb[::-1], scene_depth=np.full(rgb.shape[:2], 1.25),
            scene_K=np.eye(3), scene_pose=pose, q=np.zeros(7), dq=np.zeros(7), tcp=pose,
            gripper=0.08, wrench=np.zeros(6), time=0.0)

    def step(self, action: tuple[Pose, float]) -> None:
        self.position = np.asarray(action[0].position).copy()

    def success(self) -> bool:
        return bool(self.position[0] > 0.5)

    def progress(self) -> float:
        return float(np.clip((self.position[0] - 0.3) / 0.2, 0, 1))

    def close(self) -> None:
        pass


class SlowEnv(FakeEnv):
    """Takes its time, so that a test can stop the collection in the middle."""

    def step(self, action: tuple[Pose, float]) -> None:
        super().step(action)
        time.sleep(0.01)


class BrokenEnv(FakeEnv):
    """Every episode of seed 1 raises."""

    def __init__(self, task: str, seed: int, **about: object) -> None:
        super().__init__(task, seed)
        if seed == 1:
            raise RuntimeError("no place for the mug")


class KilledEnv(FakeEnv):
    """The process of seed 2 dies."""

    def step(self, action: tuple[Pose, float]) -> None:
        super().step(action)
        if self.seed == 2:
            os._exit(9)


class FakeDriver:
    """A model that drives the hand backwards."""

    def __init__(self, checkpoint: str) -> None:
        assert checkpoint == "some model"

    def take_over(self) -> None:
        pass

    def __call__(self, obs: SimpleNamespace, instruction: str,
                 width: float) -> tuple[Pose, float]:
        return Pose(obs.tcp.position - np.array([0.001, 0.0, 0.0]), DOWN), 0.02


class NowhereEnv(FakeEnv):
    """The arm of seed 1 is nowhere at the end."""

    def step(self, action: tuple[Pose, float]) -> None:
        super().step(action)
        if self.seed == 1 and self.success():
            self.position[1] = np.nan
