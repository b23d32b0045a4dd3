# SPDX-License-Identifier: Apache-2.0
"""Which rows of the data are trained on, and which are held back."""
from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np

from wm_ros.data.cache import EpisodeCache
from wm_ros.errors import UserError
from wm_ros.training.config import TrainingConfig
from wm_ros.training.shown import demonstrations, practised

RULE = "by seed"


def with_images_alone(cache: EpisodeCache, last: int) -> EpisodeCache:
    """The cache, of whose ``last`` episodes nothing but the images is to be used."""
    known = np.arange(cache.episodes) < cache.episodes - last
    return replace(cache, arrays=cache.arrays | {"episode_known": known})


def known(cache: EpisodeCache) -> np.ndarray:
    """(E,) False for what :func:`with_images_alone` marked."""
    return cache.arrays.get("episode_known", np.ones(cache.episodes, bool))


def split(cache: EpisodeCache, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and for validation, by whole layouts.

    An episode's side hangs on its seed, for the tasks share its room: no room that is held back
    is trained on through another task. The side stays when data are added, so that a fine-tuned
    model is judged by what the first training did not see either. Every task has an episode in
    validation that shows how it is done, unless a task would have nothing left to train on;
    one of which nothing but images is known shows nothing.

    :raises UserError: if there is nothing to hold back, or nothing else
    """
    task, seed = cache.arrays["episode_task"], cache.arrays["episode_seed"]
    told = known(cache)
    shown = (cache.arrays["episode_success"] & ~cache.arrays["episode_failure"]
             & ~practised(cache) & told)
    rank = np.array([zlib.crc32(str(s).encode()) / 2**32 for s in seed])
    held = rank < share
    for able in (shown & (task == t) for t in np.unique(task)):
        for least in np.unique(rank[able]):  # rising
            more = held | (rank == least)
            if held[able].any():
                break
            if set(task[told & ~more]) == set(task[told & ~held]):
                held = more
    if held.all() or not held.any():
        raise UserError("These episodes are too few to train on and to hold one back: collect "
                        "more with `wm collect`, or record more (one bag a demonstration).")
    return cache.rows_of(np.flatnonzero(~held)), cache.rows_of(np.flatnonzero(held))


def of_tasks(cache: EpisodeCache, chosen: list[int], rows: np.ndarray) -> np.ndarray:
    """Those of ``rows`` that belong to the chosen tasks. :raises UserError: if none does"""
    rows = rows[np.isin(cache.task[rows], chosen)]
    if not len(rows):
        raise UserError("The chosen tasks have too few episodes to train on and to hold one "
                        "back: collect more with `wm collect`, or record more (one bag a "
                        "demonstration).")
    return rows


def choose(cache: EpisodeCache, tasks: str) -> list[int]:
    """Indices of the named tasks. :raises UserError: if the data have none of that name"""
    names = cache.tasks if tasks == "all" else tasks.split(",")
    if missing := [n for n in names if n not in cache.tasks]:
        raise UserError(f"The data hold no task {missing[0]!r}, but {', '.join(cache.tasks)}.")
    return [cache.tasks.index(n) for n in names]


def named(tasks: str) -> str:
    """The same for the same tasks, in whatever order they are named."""
    return ",".join(sorted(set(tasks.split(","))))


def beyond(cache: EpisodeCache, rows: np.ndarray, most: int) -> np.ndarray:
    """(E,) True for the demonstrations of each task in ``rows`` after the first ``most``; none
    where ``most`` is 0. What a model has practised counts as none."""
    out = np.zeros(cache.episodes, bool)
    shown = np.unique(cache.episode_index[demonstrations(cache, rows)])
    shown = shown[~cache.arrays["episode_practised"][shown]]
    task = cache.arrays["episode_task"][shown]
    for t in np.unique(task) if most else ():
        out[shown[task == t][most:]] = True
    return out


def hidden(cache: EpisodeCache, share: float) -> np.ndarray:
    """(E,) True for so large a share of the episodes, the same ones in every process and run, and
    for those of which nothing but images is known."""
    return ~known(cache) | (np.random.default_rng(0).random(cache.episodes) < share)


def taught(cache: EpisodeCache, rows: np.ndarray,
           settings: TrainingConfig) -> tuple[np.ndarray, np.ndarray]:
    """Those of ``rows`` that are trained on, and (E,) whether an episode's actions are known."""
    labelled = ~hidden(cache, settings.unlabelled)
    further = beyond(cache, cache.among(rows, labelled), settings.demonstrations)
    if settings.further == "video":
        return rows, labelled & ~further
    return cache.among(rows, ~further), labelled


def check_rows(cache: EpisodeCache, tasks: str, share: float, imitate: bool,
               unlabelled: float = 0.0) -> None:
    """Look before anything is trained.

    :param imitate: whether anything is to be learnt that only demonstrations show
    :param unlabelled: share of the episodes whose actions are hidden
    :raises UserError: the data lack the tasks, episodes of both sides, or demonstrations
    """
    chosen = choose(cache, tasks)
    training, _ = (of_tasks(cache, chosen, rows) for rows in split(cache, share))
    shown = np.unique(cache.episode_index[demonstrations(cache, training)])
    if imitate and hidden(cache, unlabelled)[shown].all():
        raise UserError("None of the episodes to train on shows its task done"
                        + (", or the actions of all that do are hidden" if len(shown) else "")
                        + ": collect demonstrations with `wm collect`.")


def check_arm(cache: EpisodeCache) -> None:
    """Refuse episodes that hold nothing but images where more of them is to be used.

    :raises UserError: with what to do
    """
    blind = known(cache).copy()
    blind[np.unique(cache.episode_index[np.asarray(cache.state)[:, 8:11].any(1)])] = False
    if blind.any():
        raise UserError(f"{blind.sum()} episodes hold nothing but images: name their set with "
                        "--video.")


def check_depth(cache: EpisodeCache, tasks: str, family: str) -> None:
    """Refuse episodes whose depth is all zeros, as `wm convert` writes it where no topic gave it.

    :param tasks: those to train on
    :raises UserError: with what to do
    """
    start = cache.arrays["episode_start"]
    mine = np.flatnonzero(np.isin(cache.arrays["episode_task"], choose(cache, tasks)))
    blind = sum(not cache.depth[[start[e], (start[e] + start[e + 1]) // 2,
                                 start[e + 1] - 1]].any() for e in mine)
    if blind:
        raise UserError(f"{blind} of {len(mine)} episodes hold no depth of the scene camera, "
                        f"without which the family {family} cannot see: record its topic "
                        "(`scene_depth`) too and convert anew, leave these episodes out, or "
                        "train with --family jepa.")
