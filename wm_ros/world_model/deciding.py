# SPDX-License-Identifier: Apache-2.0
"""Imagination that decides: propose, imagine, doubt, rank; within a time budget, if wanted."""
from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wm_ros.world_model.interface import (
    ActionChunks,
    Imagination,
    Observation,
    Sceptic,
    State,
    WorldModel,
)

REMEMBERED = 7  # decisions whose durations count
HEADROOM = 0.9  # share of the budget that is planned with
TIE = 0.1  # of predicted success plus progress; a value head tells candidates apart no finer


class Anytime:
    """How many candidates fit into a time budget, learnt from how long they took.

    The time of a candidate is the median share it had in the newest decisions. What a decision
    costs besides its candidates makes that share fall as they become more, so the number climbs
    to where the budget is spent, and gives way when the machine gets busy.

    :param budget: s;  ``most`` candidates at any rate
    """

    def __init__(self, budget: float, most: int):
        self.budget, self.most = budget, most
        self._shares: deque[float] = deque(maxlen=REMEMBERED)

    def learn(self, n: int, seconds: float) -> None:
        """``n`` candidates took so long."""
        self._shares.append(seconds / n)

    def count(self) -> int:
        """Candidates that should fit, at least 1."""
        if not self._shares:
            return 1
        fit = HEADROOM * self.budget / max(float(np.median(self._shares)), 1e-9)
        return int(np.clip(fit, 1, self.most))


@dataclass
class Decision:
    """What was proposed, what it would lead to, and which of it is worth following.

    :param futures: None where no imagination was needed
    :param order: indices of the chunks to follow, best first; rejected ones are left out
    """

    state: State
    chunks: ActionChunks
    futures: Imagination | None
    order: list[int]


class Decider:
    """Best-of-N with a world model.

    One candidate that nobody wants to see is proposed without imagining anything.

    :param count: candidates where a call does not say; with a budget at most so many
    :param budget: s for a decision, or 0: no limit (anytime mode, see :class:`Anytime`)
    :param limit: doubt from which on an imagined future counts as implausible; 0: believe all
    :param clock: s, for tests
    """

    def __init__(self, model: WorldModel, count: int = 1, budget: float = 0.0, limit: float = 1.0,
                 clock: Callable[[], float] = time.perf_counter):
        self.model, self.limit, self._count, self._clock = model, limit, count, clock
        self.anytime = Anytime(budget, count) if budget > 0 else None
        self.act_seconds: deque[float] = deque(maxlen=30)
        self.imagine_seconds: deque[float] = deque(maxlen=30)  # a candidate

    def decide(self, observation: Observation, instruction: str, count: int = 0,
               render: bool = False, before: State | None = None) -> Decision:
        """Look, propose, and where there is a choice or a viewer, imagine and rank.

        :param count: candidates; 0: the default
        :param before: the state of the look before
        :raises UserError: if the words mean no known task
        """
        begin = self._clock()
        n = count or (self._count if self.anytime is None else self.anytime.count())
        state = self.model.observe(observation, before)
        chunks = self.model.act(state, instruction, n)
        self.act_seconds.append(self._clock() - begin)
        futures = self.imagine(state, chunks, instruction, render) if render or n > 1 else None
        doubt = doubted(self.model, state, chunks, futures, instruction) if self.limit else None
        order = rank(chunks, futures, doubt, self.limit)
        if self.anytime is not None:
            self.anytime.learn(n, self._clock() - begin)
        return Decision(state, chunks, futures, order)

    def imagine(self, state: State, chunks: ActionChunks, instruction: str,
                render: bool) -> Imagination:
        """The model's own, with its time taken."""
        begin = self._clock()
        futures = self.model.imagine(state, chunks, instruction, render=render)
        self.imagine_seconds.append((self._clock() - begin) / max(len(chunks), 1))
        return futures


def doubted(model: WorldModel, state: State, chunks: ActionChunks, futures: Imagination | None,
            instruction: str) -> np.ndarray | None:
    """(n,) doubt of imagined futures; None where there is nothing to choose or to doubt with."""
    if futures is None or len(chunks) < 2 or not isinstance(model, Sceptic):
        return None
    return model.doubt(state, chunks, futures, instruction)


def rank(chunks: ActionChunks, futures: Imagination | None, doubt: np.ndarray | None = None,
         limit: float = 1.0) -> list[int]:
    """Best first: by predicted success and progress; of equal ones the nearest to their mean path.

    The best of many noisy values is the luckiest one, so differences below ``TIE`` do not count.
    Where an imagined value is not known (NaN), the chunk's own one stands for it.
    What is doubted (n,) beyond ``limit`` is left out; of nothing but doubtful ones the least
    doubtful stays.
    """
    own = _values(chunks)
    told = own if futures is None else _values(futures)
    worth = np.nan_to_num(np.where(np.isnan(told), own, told)).sum(0)
    apart = np.nan_to_num(np.asarray(chunks.uncertainty, dtype=float))
    order = [int(i) for i in np.lexsort((apart, np.floor((worth.max() - worth) / TIE)))]
    if doubt is None:
        return order
    believed = [i for i in order if doubt[i] <= limit]
    return believed or [int(np.argmin(doubt))]


def _values(judged: ActionChunks | Imagination) -> np.ndarray:
    """(2, n) success and progress."""
    return np.array([judged.success, judged.progress], dtype=float)
