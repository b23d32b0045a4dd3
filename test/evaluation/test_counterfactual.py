# SPDX-License-Identifier: Apache-2.0
"""Who knows what actions do is told from who does not."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from wm_ros.evaluation import counterfactual
from wm_ros.evaluation.recorded import record
from wm_ros.motion.pose import Pose
from wm_ros.sim.env import TaskEnv
from wm_ros.world_model.interface import ModelSpec

SPEC = ModelSpec(family="video", image_size=96, horizon=16, frame_steps=(8, 16))


class Oracle:
    """Looks into the simulator; ``sign`` -1 takes each way for the opposite one."""

    spec = SPEC

    def __init__(self, env: TaskEnv, state: np.ndarray, sign: int) -> None:
        self.env, self.state, self.sign = env, state, sign

    def observe(self, now: Any) -> Any:
        return now

    def imagine(self, now: Any, chunks: Any, words: str) -> Any:
        frames = []
        for which in range(2)[::self.sign]:
            poses = [Pose(p, q) for p, q in zip(chunks.position[which], chunks.quaternion[which],
                                                strict=True)]
            actions = [SimpleNamespace(pose=pose, width=float(w))
                       for pose, w in zip(poses, chunks.gripper[which], strict=True)]
            future = counterfactual.follow(self.env, self.state, actions[:8])
            frames.append([future.image] * 2)
        return SimpleNamespace(frames=np.array(frames))


def test_right_futures_are_told_from_those_of_the_opposite_way() -> None:
    env = TaskEnv("put_mug_on_tray", 100, "held_out")
    try:
        episode = record(env)
        held = next(t for t, o in enumerate(episode.seen)
                    if o.gripper < 0.06 and o.tcp_position[2] > 0.15)  # the mug is in the hand
        answers = [counterfactual.ask(
            Oracle(env, episode.states[held], sign), env, episode.seen[held],  # type: ignore
            episode.states[held], 0.0, np.random.default_rng(0)) for sign in (1, -1)]
    finally:
        env.close()
    assert answers[0] == {"image": [True, True], "things": [True, True]}
    assert answers[1] == {"image": [False, False], "things": [False, False]}
    assert counterfactual.summarise(answers) == {"image": [2, 4], "things": [2, 4]}
