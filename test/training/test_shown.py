# SPDX-License-Identifier: Apache-2.0
"""Which episodes may be imitated: of what a model practised, what went as a demonstration does."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from wm_ros.training.shown import demonstrations, imitable, pointers, practised, switches, vain

CLOSES = [0.08] * 5 + [0.0] * 5
VAIN = [0.08, 0.08, 0.0, 0.0, 0.08, 0.08, 0.0, 0.0, 0.0, 0.0]
LATE = [0.08] * 30 + [0.0] * 5
REPEATS = [0.0] + [0.08] * 5 + [0.0] * 4  # its first command is what was told before


def cache(*episodes: tuple[list[float], dict[str, bool]], task: list[int] | None = None):
    """Episodes of gripper widths; demonstrations that succeed, unless said otherwise."""
    index = np.repeat(np.arange(len(episodes)), [len(w) for w, _ in episodes])
    action = np.zeros((len(index), 8))
    action[:, 7] = np.concatenate([w for w, _ in episodes])

    def flags(name: str, otherwise: bool) -> np.ndarray:
        return np.array([about.get(name, otherwise) for _, about in episodes])

    progress = np.array([p for widths, about in episodes for p in about.get(
        "progress", np.linspace(0.0, 1.0, len(widths)))])
    arrays = {"episode_success": flags("success", True),
              "episode_failure": flags("spoiled", False),
              "episode_practised": flags("own", False),
              "episode_task": np.array(task or [0] * len(episodes)),
              "episode_start": np.append(0, np.cumsum([len(w) for w, _ in episodes]))}
    return SimpleNamespace(arrays=arrays, action=action, progress=progress,
                           tasks=["one", "two"], episode_index=index, episodes=len(episodes),
                           episode_start=arrays["episode_start"],
                           among=lambda rows, marked: rows[marked[index[rows]]])


def rows_of(some: SimpleNamespace, episodes: np.ndarray | None = None) -> np.ndarray:
    """Those of the episodes, (E,) bool; all of them unless said otherwise."""
    every = np.arange(len(some.action))
    return every if episodes is None else some.among(every, episodes)


def test_practice_is_imitated_where_it_went_as_a_demonstration():
    own = {"own": True}
    some = cache((CLOSES, {}), (CLOSES, {}), (VAIN, {}), (CLOSES, own), (REPEATS, own),
                 (VAIN, own), (LATE, own), (CLOSES, own | {"success": False}),
                 (CLOSES, {"success": False}), (CLOSES, {"spoiled": True}))
    assert imitable(some, rows_of(some)).tolist() == [True] * 5 + [False] * 5
    assert practised(some).tolist() == [False] * 3 + [True] * 5 + [False] * 2


def test_demonstrations_that_are_not_known_judge_no_practice():
    some = cache((CLOSES, {}), (LATE, {}), (LATE, {"own": True}), (CLOSES, {"own": True}))
    first = np.array([True, False, True, True])
    assert imitable(some, rows_of(some)).tolist() == [True, True, False, True]
    assert imitable(some, rows_of(some, first)).tolist() == [True, False, False, True]
    later = rows_of(some, ~first | (np.arange(4) > 1))
    assert imitable(some, later).tolist() == [False, True, True, True]
    rows = rows_of(some, first)
    assert set(some.episode_index[demonstrations(some, rows)]) == {0, 3}
    hidden = np.array([False, True, True, True])
    assert set(some.episode_index[pointers(some, rows, hidden, hidden)]) == {2, 3}


def test_a_grasp_further_from_the_thing_than_any_demonstrations_is_in_vain():
    far = {"progress": [0.1] * 10}
    some = cache((CLOSES, {}), (CLOSES, {"own": True, "success": False} | far),
                 (CLOSES, {"own": True, "success": False}), (CLOSES, far | {"spoiled": True}),
                 ([0.08] * 10, {"own": True} | far), (CLOSES[::-1], {"own": True} | far))
    assert np.flatnonzero(vain(some, rows_of(some))).tolist() == [10, 11, 12, 13, 14]
    told = np.ones(6, bool)
    assert set(pointers(some, rows_of(some), told, told)) == {*range(15), *range(40, 60)}
    untold = pointers(some, rows_of(some), told, np.arange(6) != 1)
    assert set(untold) == {*range(10), *range(40, 60)}, "how far it came is not known"
    assert not vain(some, rows_of(some, np.arange(6) > 0)).any(), "nobody showed it"
    assert not vain(some, rows_of(some, np.arange(6) != 1)).any(), "it is not known"


def test_practice_alone_is_imitated_wherever_it_succeeded():
    own = {"own": True}
    some = cache((CLOSES, {}), (VAIN, own), (LATE, own), (LATE, own | {"success": False}),
                 task=[0, 1, 1, 1])
    assert imitable(some, rows_of(some)).tolist() == [True, True, True, False]
    assert not practised(some).any()


def test_a_first_command_that_only_repeats_is_no_switch():
    assert np.flatnonzero(switches(cache((CLOSES, {}), (REPEATS, {})))).tolist() == [5, 16]
