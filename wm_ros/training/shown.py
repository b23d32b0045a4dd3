# SPDX-License-Identifier: Apache-2.0
"""What shows how a task is done, and may be imitated."""
from __future__ import annotations

import numpy as np

from wm_ros.data.cache import EpisodeCache

QUICK = 0.75  # of the demonstrations of a task are as quick as what a model practised must be
FAR = 0.05  # of what is imitated has come as little far when it first takes hold ..
NEAR = 0.85  # .. and less than this of that is elsewhere


def switches(cache: EpisodeCache) -> np.ndarray:
    """(N,) True where the gripper command changes; after an episode's first row it does not count:
    a model's first command may still be what was told before."""
    width = np.asarray(cache.action)[:, 7]
    changes = np.append(False, np.abs(np.diff(width)) > 0.015)
    first = np.asarray(cache.episode_start)[:-1]
    changes[first] = changes[np.minimum(first + 1, len(width) - 1)] = False
    return changes


def practised(cache: EpisodeCache) -> np.ndarray:
    """(E,) True for what a model practised of tasks that demonstrations show as well."""
    a = cache.arrays
    own, task = a["episode_practised"], a["episode_task"]
    shown = a["episode_success"] & ~a["episode_failure"] & ~own
    return own & np.isin(task, task[shown])


def imitable(cache: EpisodeCache, rows: np.ndarray) -> np.ndarray:
    """(E,) True for those episodes of ``rows`` that are demonstrations and succeeded, or that a
    model practised with success as those show it: about as quickly, without grasps in vain. Where
    there are no demonstrations of a task among them, every success of its practice counts.

    :param rows: those that may be learnt from, actions included
    """
    a = cache.arrays
    success = a["episode_success"] & ~a["episode_failure"] & among_episodes(cache, rows)
    shown, own = success & ~a["episode_practised"], success & a["episode_practised"]
    length = np.diff(a["episode_start"])
    grasps = np.bincount(cache.episode_index, switches(cache), cache.episodes)
    for task in np.unique(a["episode_task"][own]):
        like = shown & (a["episode_task"] == task)
        if like.any():
            own &= (a["episode_task"] != task) | (
                (length <= np.quantile(length[like], QUICK))
                & (grasps <= np.median(grasps[like])))
    return shown | own


def vain(cache: EpisodeCache, rows: np.ndarray) -> np.ndarray:
    """(N,) True on the way to a first grasp that a model practised where the thing is not: it had
    come less far by then than what is `imitable` of the task. Such a place is not what the words
    mean.

    :param rows: as there
    """
    a, good, width = cache.arrays, imitable(cache, rows), np.asarray(cache.action)[:, 7]
    first = np.full(cache.episodes, -1)  # row at which an episode first takes hold
    taking = np.flatnonzero(switches(cache))[::-1]
    first[cache.episode_index[taking]] = taking
    first[width[first] > width[first - 1]] = -1
    task, takes = a["episode_task"], (first >= 0) & among_episodes(cache, rows)
    least = np.zeros(len(cache.tasks))
    for t in np.unique(task[takes & good]):
        least[t] = np.quantile(cache.progress[first[takes & good & (task == t)]], FAR)
    off = (takes & a["episode_practised"] & ~good
           & (cache.progress[first] < NEAR * least[task]))
    return off[cache.episode_index] & (np.arange(len(width)) < first[cache.episode_index])


def among_episodes(cache: EpisodeCache, rows: np.ndarray) -> np.ndarray:
    """(E,) True for the episodes of ``rows``."""
    return np.bincount(cache.episode_index[rows], minlength=cache.episodes) > 0


def demonstrations(cache: EpisodeCache, rows: np.ndarray) -> np.ndarray:
    """Those of ``rows`` at which an episode shows how its task is done."""
    return cache.among(rows, imitable(cache, rows))


def pointers(cache: EpisodeCache, rows: np.ndarray, labelled: np.ndarray,
             judged: np.ndarray) -> np.ndarray:
    """Those of ``rows`` that say where the words point, or where they do not.

    :param labelled: (E,) False for episodes whose actions are hidden
    :param judged: (E,) False for those whose progress is
    """
    known, told = cache.among(rows, labelled), cache.among(rows, judged)
    return np.union1d(demonstrations(cache, known), told[vain(cache, told)[told]])
