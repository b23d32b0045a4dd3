# SPDX-License-Identifier: Apache-2.0
"""One episode of an expert: as it is, pushed off its way, spoiled on purpose, or taking turns with
a model that it corrects or with a hand that explores; or of a model that practises alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from wm_ros.data.episode import Episode, EpisodeBuilder

TURN = {"driver": (8, 40), "expert": (16, 32)}  # control steps that each drives before the other
TAKEN_IN_TURNS = ("corrected", "explored")
DRIVEN = ("corrected", "practised")  # by a model
SPOILED = ("failure", "explored")  # never to be imitated
TAIL = 10  # control steps recorded after success: the expert retreats and rests
LOW = 0.08  # m: a hand that strolls goes no further down from here
LEVEL, AS_TOLD = 0.5, 0.5  # of its pieces of way: shares that are level, that leave the fingers be
Change = Callable[[Any, Any, float], tuple[Any, float]]  # (obs, action's pose, width) -> executed


def kind_of(task: str, seed: int, perturb: float, failures: float,
            corrected: float = 0.0, explore: float = 0.0, practice: float = 0.0) -> str:
    """Which kind of episode a seed gives; the same for every run of a collection."""
    u = np.random.default_rng([seed, *task.encode()]).random()
    for kind, share in (("failure", failures), ("perturbed", perturb), ("corrected", corrected),
                        ("explored", explore), ("practised", practice)):
        if u < share:
            return kind
        u -= share
    return "clean"


def rollout(env: Any, task: str, seed: int, kind: str, driver: Any = None,
            hindsight: float = 0.0) -> Episode:
    """Let the expert of `env` (see `wm_ros.sim.env.TaskEnv`) act and record it at 10 Hz.

    In perturbed episodes the recorded action is the expert's while the executed one drifts off
    (DART, arXiv 1703.09327). In corrected ones a model drives in turns with the expert, whose
    action is recorded all the time: what to do where the model's own mistakes lead (DAgger,
    arXiv 1011.0686; in turns as in HG-DAgger, arXiv 1810.02890). In explored ones it takes turns
    with a hand that strolls about: what a model that predicts must know of places and touches
    where no expert goes. Such an episode has twice the time, and nothing in it is to be imitated:
    where a stroll led says nothing of where the expert would have gone. In practised ones the
    model drives alone, and both actions are its own: where it succeeded, on a layout that nobody
    showed it, it can learn from itself (filtered behaviour cloning, as in RoboCat, arXiv
    2306.11706). In failures both actions are the spoiled ones.

    :param driver: see `wm_ros.evaluation.driver.ModelDriver`; needed in corrected and practised
        episodes
    :param hindsight: share of practised episodes in which what was done with another thing than
        was named counts, under the words for that (Andrychowicz et al. 2017, arXiv 1707.01495)
    """
    rng = np.random.default_rng([seed, 31, *task.encode()])
    expert = env.expert()
    if kind == "explored":
        driver = Stroll(rng)
    if kind in TAKEN_IN_TURNS:
        change = _turns(rng, driver, env.instruction)
    elif kind == "practised":
        change = _alone(driver, env.instruction)
    else:
        change = _change(kind, rng)
    limit = env.max_steps * (2 if kind == "explored" else 1)
    if kind == "failure":
        limit = min(limit, int(rng.integers(40, 90)))
    others = env.watch_others() if hindsight and rng.random() < hindsight else []
    along: list[list[float]] = [[] for _ in others]
    rows = EpisodeBuilder()
    tail = TAIL
    while len(rows) < limit and tail > 0:
        obs = env.observe()
        wanted = expert.act()
        executed = change(obs, *wanted)
        recorded = executed if kind in ("failure", "practised") else wanted
        rows.add(obs, recorded, executed, env.progress())
        for progress, other in zip(along, others, strict=True):
            progress.append(other.progress())
        env.step(executed)
        if env.success() or any(other.succeeded for other in others):
            tail -= 1
    episode = rows.finish(
        task=task,
        instruction=env.instruction,
        seed=seed,
        success=bool(env.success()),
        perturbed=kind in ("perturbed", *TAKEN_IN_TURNS),
        deliberate_failure=kind in SPOILED,
        practised=kind == "practised",
        room=getattr(getattr(env, "task", None), "room", ""),
    )
    for progress, other in zip(along, others, strict=True):
        if other.succeeded and not episode.success:
            return replace(episode, instruction=other.task.instruction(rng), success=True,
                           progress=np.array(progress, np.float32))
    return episode


def _change(kind: str, rng: np.random.Generator) -> Change:
    if kind == "perturbed":
        from wm_ros.sim.env import Disturbance
        from wm_ros.sim.experts.moves import Action

        disturb = Disturbance(rng, 1.0)
        def push(obs: Any, pose: Any, width: float) -> tuple[Any, float]:
            pushed = disturb(Action(pose, width), obs.tcp)
            return pushed.pose, pushed.width

        return push
    if kind == "failure":
        return _SPOILERS[rng.integers(len(_SPOILERS))](rng)
    return lambda obs, pose, width: (pose, width)


def _turns(rng: np.random.Generator, driver: Any, instruction: str) -> Change:
    """The driver drives some steps, then the expert, and so on; the driver begins."""
    who, left, told = "expert", 0, 0.08

    def change(obs: Any, pose: Any, width: float) -> tuple[Any, float]:
        nonlocal who, left, told
        if left == 0:
            who = "driver" if who == "expert" else "expert"
            left = int(rng.integers(*TURN[who]))
            driver.take_over()
        left -= 1
        if who == "driver":
            pose, width = driver(obs, instruction, told)
        told = width
        return pose, width

    return change


def _alone(driver: Any, instruction: str) -> Change:
    """The driver drives, whatever the expert wants."""
    told = 0.08

    def change(obs: Any, pose: Any, width: float) -> tuple[Any, float]:
        nonlocal told
        pose, told = driver(obs, instruction, told)
        return pose, told

    return change


def _beside(rng: np.random.Generator) -> Change:
    """Everything is done 3 to 8 cm beside where it should be."""
    angle, reach = rng.uniform(-np.pi, np.pi), rng.uniform(0.03, 0.08)
    offset = np.array([np.cos(angle), np.sin(angle), 0.0]) * reach

    def change(obs: Any, pose: Any, width: float) -> tuple[Any, float]:
        # the expert corrects from the real hand: hold the offset against it, step by step
        drift = offset * 0.4
        return pose._replace(position=np.asarray(pose.position) + drift), width

    return change


def _early_release(rng: np.random.Generator) -> Change:
    """The fingers open now and then where they should hold."""
    left = 0

    def change(obs: Any, pose: Any, width: float) -> tuple[Any, float]:
        nonlocal left
        if left == 0 and width < 0.03 and rng.random() < 0.08:
            left = int(rng.integers(5, 15))
        if left > 0:
            left -= 1
            return pose, 0.08
        return pose, width

    return change


class Stroll:
    """A hand that strolls about: straight pieces of random way, turn and opening.

    Half of the pieces are level, so that it pushes what stands there and drags what it holds; in
    half of them the fingers stay as they are told. A driver as
    :class:`wm_ros.evaluation.driver.ModelDriver` is, that looks at nothing.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.take_over()

    def take_over(self) -> None:
        """Begin a new piece at the next step."""
        self.left = 0

    def __call__(self, obs: Any, instruction: str, width: float) -> tuple[Any, float]:
        """The next pose and width."""
        from wm_ros.sim.experts.moves import CLOSED, CRUISE, OPEN, TURN, down
        from wm_ros.sim.shapes import yaw_of

        rng, tcp = self.rng, obs.tcp
        if self.left == 0:
            self.left = int(rng.integers(4, 14))
            self.step = rng.normal(size=3)
            if rng.random() < LEVEL:
                self.step[2] = 0.0
            self.step *= rng.uniform(0.25, 1.0) * CRUISE / np.linalg.norm(self.step)
            self.turn = rng.uniform(-TURN, TURN) if rng.random() < 0.5 else 0.0
            self.width = (width if rng.random() < AS_TOLD
                          else float(rng.choice([CLOSED, OPEN])))
        self.left -= 1
        if tcp.position[2] < LOW:
            self.step[2] = abs(self.step[2])
        return tcp._replace(position=np.asarray(tcp.position) + self.step,
                            quaternion=down(yaw_of(tcp.quaternion) + self.turn)), self.width


def _wander(rng: np.random.Generator) -> Change:
    """From some moment on the hand strolls about; the fingers do as they like."""
    start, stroll = int(rng.integers(5, 30)), Stroll(rng)
    count = 0

    def change(obs: Any, pose: Any, width: float) -> tuple[Any, float]:
        nonlocal count
        count += 1
        return (pose, width) if count < start else stroll(obs, "", width)

    return change


_SPOILERS = (_beside, _early_release, _wander)
