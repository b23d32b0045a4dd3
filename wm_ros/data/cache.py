# SPDX-License-Identifier: Apache-2.0
"""Training cache: data sets decoded once into flat arrays that are mapped into memory.

A cache is a folder with `meta.json` and one .npy file per array. Row i is one frame:

    scene, wrist   uint8   (N, H, W, 3)      depth     uint16 (N, H, W) mm (when asked for)
    state          float32 (N, 15)           action, executed  float32 (N, 8)
    wrench         float32 (N, 6)            camera    float32 (N, 16)
    progress       float32 (N,)              episode_index, frame_index  int32 (N,)

and per episode: episode_start int64 (E + 1,), episode_task, episode_instruction int32 (E,),
episode_seed int64 (E,), episode_success, episode_perturbed, episode_failure, episode_practised
bool (E,).
See `wm_ros.data.episode` for units and frames.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from wm_ros.data import layout, video
from wm_ros.data.damage import whole_file
from wm_ros.data.episode import CAMERAS, DEPTH_KEY, VECTOR_FEATURES, VIDEO_KEYS
from wm_ros.data.lerobot import Dataset, disk_errors, matrix
from wm_ros.environment import begin_worker
from wm_ros.errors import UserError
from wm_ros.files import remove_left, write_json

VERSION = 2
META = "meta.json"


@dataclass
class EpisodeCache:
    """The arrays of a cache, mapped read-only; see the module's head for shapes and units."""

    folder: Path
    tasks: list[str]
    instructions: list[str]
    fps: int
    fingerprint: str
    arrays: dict[str, np.ndarray] = field(repr=False)
    task: np.ndarray = field(init=False, repr=False)  # (N,) int32, index into tasks
    instruction: np.ndarray = field(init=False, repr=False)  # (N,) int32
    success: np.ndarray = field(init=False, repr=False)  # (N,) bool, of the row's episode
    failure: np.ndarray = field(init=False, repr=False)  # (N,) bool, spoiled on purpose

    def __post_init__(self) -> None:
        episode = self.arrays["episode_index"]
        self.task = self.arrays["episode_task"][episode]
        self.instruction = self.arrays["episode_instruction"][episode]
        self.success = self.arrays["episode_success"][episode]
        self.failure = self.arrays["episode_failure"][episode]
        self._end = self.arrays["episode_start"][1:][episode]

    def __getattr__(self, name: str) -> np.ndarray:
        arrays = self.__dict__.get("arrays", {})
        if name in arrays:
            return arrays[name]
        raise AttributeError(name)

    def __len__(self) -> int:
        return len(self.arrays["action"])

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.arrays["episode_task"])

    def future(self, rows: np.ndarray, ahead: int | np.ndarray) -> np.ndarray:
        """Rows that lie `ahead` frames later in the same episode, its last row at most.

        :param rows: (B,) row numbers
        :param ahead: k, or (K,) of them: the result is then (B, K)
        """
        rows = np.asarray(rows)
        last = self._end[rows] - 1
        if np.ndim(ahead):
            return np.minimum(rows[:, None] + np.asarray(ahead), last[:, None])
        return np.minimum(rows + ahead, last)

    def is_padded(self, rows: np.ndarray, ahead: int | np.ndarray) -> np.ndarray:
        """True where `future` had to stay at the episode's last row; same shape."""
        rows = np.asarray(rows)
        if np.ndim(ahead):
            return rows[:, None] + np.asarray(ahead) >= self._end[rows][:, None]
        return rows + ahead >= self._end[rows]

    def chunks(self, rows: np.ndarray, horizon: int = 16) -> np.ndarray:
        """float32 (B, horizon, 8): the actions from each row on; the last one is repeated."""
        return self.arrays["action"][self.future(rows, np.arange(horizon))]

    def among(self, rows: np.ndarray, marked: np.ndarray) -> np.ndarray:
        """Those of ``rows`` whose episode is ``marked``, (E,) bool."""
        return rows[marked[self.episode_index[rows]]]

    def rows_of(self, episodes: np.ndarray) -> np.ndarray:
        """All row numbers of the given episodes, in order."""
        start = self.arrays["episode_start"]
        return np.concatenate([np.arange(start[e], start[e + 1]) for e in episodes])


def load_cache(folder: Path | str) -> EpisodeCache:
    """Map a cache into memory.

    :raises UserError: there is none in `folder`
    """
    folder = Path(folder)
    try:
        meta = json.loads((folder / META).read_text())
        if meta["version"] != VERSION:
            raise ValueError
        arrays: dict[str, np.ndarray] = {
            name: np.load(
                folder / f"{name}.npy",
                mmap_mode="r" if name in meta["mapped"] else None,
                allow_pickle=False,
            )
            for name in meta["arrays"]
        }
    except (OSError, ValueError, KeyError):
        raise UserError(
            f"{folder} holds no usable training cache: build it anew from a data set."
        ) from None
    return EpisodeCache(
        folder, meta["tasks"], meta["instructions"], meta["fps"], meta["fingerprint"], arrays
    )


def fingerprint(sources: Sequence[Path | str], depth: bool = False) -> str:
    """A number that changes when any episode of the data sets does.

    :raises UserError: a source is no data set, or they are of several robots
    """
    digest = hashlib.sha256(f"{VERSION} {depth}".encode())
    for data in _checked(sources):
        for row in data.rows:
            digest.update(json.dumps([row[k] for k in (
                "task_name", "seed", "length", "success", "perturbed", "deliberate_failure",
                "practised",
                "tasks")]).encode())
        for path in _files(data):
            with whole_file(path):
                digest.update(str(path.stat().st_size).encode())
    return digest.hexdigest()[:16]


def build_cache(
    sources: Sequence[Path | str] | Path | str,
    folder: Path | str,
    depth: bool = False,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> EpisodeCache:
    """Decode data sets into a cache, or return the one that is already there and still fits.

    :param sources: folder of a data set, or several
    :param depth: keep the depth images too
    :param progress: called with (frames decoded, frames in all); frames count once per camera
    :raises UserError: `folder` holds something else, a source is no data set, the disk is full
    """
    if isinstance(sources, (str, Path)):
        sources = [sources]
    folder = Path(folder)
    mark = fingerprint(sources, depth)
    if _is_cache(folder):
        try:
            present = load_cache(folder)
        except UserError:
            present = None
        if present is not None and present.fingerprint == mark:
            return present
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} holds something that is no training cache: choose another.")
    part = folder.with_name(f".{folder.name}.part-{os.getpid()}")
    with disk_errors(folder):
        remove_left(folder.parent, f".{folder.name}.part-{{}}")
        try:
            part.mkdir(parents=True)
            _fill(part, [Dataset(s) for s in sources], depth, workers, progress, mark)
            if folder.exists():
                shutil.rmtree(folder)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return load_cache(folder)


def _checked(sources: Sequence[Path | str]) -> list[Dataset]:
    """The sets, each named once and all of one robot."""
    if twice := [str(s) for i, s in enumerate(sources)
                 if Path(s).resolve() in {Path(other).resolve() for other in sources[:i]}]:
        raise UserError(f"{twice[0]} is named twice under --data: name each set once.")
    data = [Dataset(source) for source in sources]
    if len(robots := {told for d in data if (told := d.info.get("robot_type"))}) > 1:
        raise UserError(f"The data sets are of several robots ({', '.join(sorted(robots))}): "
                        "train a model for each. The name is `name` in the robot's file: a Panda "
                        "keeps `name: panda` in its own.")
    return data


def check_size(sources: Sequence[Path | str], size: int) -> None:
    """:raises UserError: a data set's images are not (size, size)"""
    for source in sources:
        for row in Dataset(source).rows[:1]:
            height, width = row["image_height"], row["image_width"]
            if (height, width) != (size, size):
                raise UserError(f"The images of {source} are {width} x {height}, the network "
                                f"takes {size} x {size}: collect or convert with --image-size "
                                f"{size}.")


def _is_cache(folder: Path) -> bool:
    """Whether a cache was made here, of whatever version: only such a folder may be made anew."""
    try:
        return {"version", "fingerprint", "arrays"} <= set(json.loads((folder / META).read_text()))
    except (OSError, ValueError, TypeError):
        return False


def _files(data: Dataset) -> list[Path]:
    paths: dict[Path, None] = {}
    for index in range(len(data)):
        paths[data.data_path(index)] = None
        for key in VIDEO_KEYS:
            paths[data.video_path(index, key)] = None
    return list(paths)


def _fill(
    part: Path,
    data_sets: list[Dataset],
    depth: bool,
    workers: int,
    progress: Callable[[int, int], None] | None,
    mark: str,
) -> None:
    rows = [row for data in data_sets for row in data.rows]
    if not rows:
        raise UserError("The data set has no episodes: collect some first.")
    size = {(row["image_height"], row["image_width"]) for row in rows}
    if len(size) > 1:
        raise UserError("The data sets have images of different sizes: build one cache for each.")
    height, width = size.pop()
    total = sum(row["length"] for row in rows)
    shapes: dict[str, tuple[type, tuple[int, ...]]]
    shapes = dict.fromkeys(CAMERAS, (np.uint8, (total, height, width, 3)))
    if depth:
        shapes["depth"] = (np.uint16, (total, height, width))
    mapped = list(shapes)
    for attribute, names in VECTOR_FEATURES.values():
        shapes[attribute] = (np.float32, (total, len(names)))
    shapes["progress"] = (np.float32, (total,))
    for name, (kind, shape) in shapes.items():
        _allocate(part / f"{name}.npy", kind, shape)
    small = _episode_arrays(rows)
    for name, array in small.items():
        if name not in ("tasks", "instructions"):
            np.save(part / f"{name}.npy", array)
    jobs = _jobs(data_sets, depth)
    amount = total * (len(CAMERAS) + (1 if depth else 0))
    done = 0
    with closing(_run(part, jobs, workers)) as counts:
        for count in counts:
            done += count
            if progress is not None:
                progress(done, amount)
    meta = {
        "version": VERSION,
        "fingerprint": mark,
        "sources": [str(data.root.resolve()) for data in data_sets],
        "fps": data_sets[0].fps,
        "rows": total,
        "episodes": len(rows),
        "tasks": small["tasks"],
        "instructions": small["instructions"],
        "arrays": [*shapes, *(k for k in small if k not in ("tasks", "instructions"))],
        "mapped": mapped,
    }
    write_json(part / META, meta)


def _allocate(path: Path, kind: type, shape: tuple[int, ...]) -> None:
    """An array file whose space is reserved: a full disk shows now, not as a crash later."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
    del array
    with open(path, "r+b") as handle:
        os.posix_fallocate(handle.fileno(), 0, path.stat().st_size)


def _episode_arrays(rows: list[dict[str, Any]]) -> dict[str, Any]:
    tasks = sorted({row["task_name"] for row in rows})
    instructions = sorted({row["tasks"][0] for row in rows})
    task_id = {name: i for i, name in enumerate(tasks)}
    instruction_id = {name: i for i, name in enumerate(instructions)}
    lengths = np.array([row["length"] for row in rows])
    start = np.concatenate([[0], np.cumsum(lengths)])
    episode = np.repeat(np.arange(len(rows)), lengths)
    return {
        "tasks": tasks,
        "instructions": instructions,
        "episode_start": start.astype(np.int64),
        "episode_task": np.array([task_id[r["task_name"]] for r in rows], np.int32),
        "episode_instruction": np.array([instruction_id[r["tasks"][0]] for r in rows], np.int32),
        "episode_seed": np.array([r["seed"] for r in rows], np.int64),
        "episode_success": np.array([r["success"] for r in rows], bool),
        "episode_perturbed": np.array([r["perturbed"] for r in rows], bool),
        "episode_failure": np.array([r["deliberate_failure"] for r in rows], bool),
        "episode_practised": np.array([r["practised"] for r in rows], bool),
        "episode_index": episode.astype(np.int32),
        "frame_index": (np.arange(len(episode)) - start[episode]).astype(np.int32),
    }


Job = tuple[str, str, int, int, int]  # array, file, first row in it, rows, first row in the cache


def _jobs(data_sets: list[Dataset], depth: bool) -> list[Job]:
    """One job per file and array; episodes of one file lie side by side in the cache too."""
    spans: dict[tuple[str, Path], list[int]] = {}
    row = 0
    for data in data_sets:
        for index in range(len(data)):
            length = data.rows[index]["length"]
            paths = [("data", data.data_path(index))]
            paths += [
                (camera, data.video_path(index, key))
                for camera, key in zip(CAMERAS, VIDEO_KEYS, strict=True)
            ]
            for key in paths:
                spans.setdefault(key, [row, 0])[1] += length
            row += length
    jobs = []
    for (array, path), (start, count) in spans.items():
        if array == "data":
            jobs.append(("vectors", str(path), 0, count, start))
            if depth:
                jobs.append(("depth", str(path), 0, count, start))
        else:
            jobs += [
                (array, str(path), first, min(_STEP, count - first), start + first)
                for first in range(0, count, _STEP)
            ]
    return sorted(jobs, key=lambda job: -job[3])


_STEP = 3000  # frames a job: small enough for an even share and a moving progress bar


def _run(part: Path, jobs: list[Job], workers: int) -> Any:
    if workers <= 1 or len(jobs) < 4:
        for job in jobs:
            yield _decode(part, job)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), begin_worker)
    try:
        for future in as_completed([pool.submit(_decode, part, job) for job in jobs]):
            yield future.result()
    except BrokenProcessPool:
        raise UserError("A process that decodes was ended from outside, often for want of memory: "
                        "run the command again.") from None
    finally:  # Ctrl-C too: what waits is dropped, what runs takes seconds
        pool.shutdown(cancel_futures=True)


def _decode(part: Path, job: Job) -> int:
    """Do one job; returns the number of images decoded."""
    with whole_file(Path(job[1])):
        return _decode_file(part, job)


def _decode_file(part: Path, job: Job) -> int:
    array, file, first, count, start = job
    if array == "vectors":
        columns = [*VECTOR_FEATURES, "progress"]
        table = pq.read_table(file, columns=columns)
        for key, (attribute, names) in VECTOR_FEATURES.items():
            target = np.load(part / f"{attribute}.npy", mmap_mode="r+")
            target[start : start + count] = matrix(table.column(key), len(names))
        target = np.load(part / "progress.npy", mmap_mode="r+")
        target[start : start + count] = table.column("progress").to_numpy()
        return 0
    target = np.load(part / f"{array}.npy", mmap_mode="r+")
    if array == "depth":
        pngs = pq.read_table(file, columns=[DEPTH_KEY]).column(DEPTH_KEY)
        for i, cell in enumerate(pngs):
            target[start + i] = layout.decode_depth(cell["bytes"].as_py())
    else:
        for i, frame in enumerate(video.frames_from(Path(file), first, count)):
            target[start + i] = frame
    return count
