# SPDX-License-Identifier: Apache-2.0
"""An expert's episode, kept so that any moment of it can be gone back to."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wm_ros.evaluation.closed_loop import commanded, to_observation
from wm_ros.sim.env import TaskEnv
from wm_ros.sim.experts.moves import Action
from wm_ros.world_model.interface import ActionChunks, ModelSpec, Observation


class Recorded(NamedTuple):
    """What was seen, and the simulator's state then, every few control steps; and the command of
    each step."""

    seen: list[Observation]
    states: list[np.ndarray]
    commands: list[Action]

    def chunk(self, step: int, spec: ModelSpec) -> ActionChunks:
        """What was commanded from a step on; where the episode ends, the last command holds on."""
        last = len(self.commands) - 1
        return commanded([self.commands[min(step + i, last)] for i in range(spec.horizon)],
                         spec.dt)


def record(env: TaskEnv, every: int = 1, tail: int = 0) -> Recorded:
    """Let the expert do the task, looking ``every`` so many steps, and ``tail`` looks longer."""
    episode, expert = Recorded([], [], []), env.expert()
    while env.steps < env.max_steps:
        if env.success():
            if not tail:
                break
            tail -= 1
        episode.states.append(env.sim.state())
        episode.seen.append(to_observation(env.observe()))
        for _ in range(every):
            episode.commands.append(expert.act())
            env.step(episode.commands[-1])
    return episode
