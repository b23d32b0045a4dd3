# SPDX-License-Identifier: Apache-2.0
"""Write and read data sets in LeRobot's layout (v3.0) so that nothing recorded is ever lost.

An episode is committed by one rename into `.pending/`; `merge` moves what is pending into files of
many episodes. The rename of the episode table `meta/episodes/.../file-N.parquet` is the commit of
a merged file: before it the pending episodes are the truth, after it the merged ones are.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wm_ros.data import layout, statistics, video
from wm_ros.data.damage import whole_file
from wm_ros.data.episode import (
    CAMERAS,
    DEPTH_KEY,
    FPS,
    VECTOR_FEATURES,
    VIDEO_KEYS,
    Episode,
)
from wm_ros.errors import UserError
from wm_ros.files import alone, whole, write_json, write_text

# LeRobot looks frames up by a float32 time in the file with a tolerance of 0.1 ms; half a unit in
# the last place of a float32 reaches that at about 1,000 s.
MAX_FRAMES_PER_FILE = 9_000
MAX_DATA_BYTES = 100 << 20
PENDING = ".pending"
_ABOUT = ("task", "instruction", "seed", "success", "perturbed", "deliberate_failure", "practised",
          "room")


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn a full disk, a missing permission or a vanished mount into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk that holds {root} is full: free some space and run the same command "
                "again; every finished episode is kept."
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(f"{root} cannot be written: choose another folder.") from error
        raise


class DatasetWriter:
    """Writes one data set. `commit` may be called by several processes at once, `merge` by one."""

    def __init__(self, root: Path | str, robot: str = "panda", lossless: bool = False) -> None:
        """Create the data set or go on with an unfinished or finished one.

        :param lossless: videos keep every bit of the images; one data set has one kind
        :raises UserError: `root` holds something else than such a data set
        """
        self.root = Path(root)
        self.robot, self.lossless = robot, lossless
        self.pending = self.root / PENDING
        if self.root.exists():
            if not self.root.is_dir():
                raise UserError(f"{root} is a file: choose a folder for the data set.")
            foreign = any(self.root.iterdir()) and not self.pending.is_dir()
            if foreign:
                raise UserError(
                    f"{root} already holds files of something else and nothing is overwritten: "
                    "choose another folder."
                )
        with disk_errors(self.root):
            self.pending.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the data set alone while writing to it."""
        with disk_errors(self.root), alone(self.pending, self.root):
            yield

    def commit(self, episode: Episode) -> None:
        """Keep one episode; when this returns, a killed process no longer loses it."""
        episode.check()
        final = self.pending / f"{_folder_name(episode.task)}-{episode.seed:08d}"
        part = self.pending / f"part-{os.getpid()}-{final.name}"
        with disk_errors(self.root):
            try:
                part.mkdir()
                pq.write_table(layout.episode_table(episode), part / "data.parquet")
                for camera, key in zip(CAMERAS, VIDEO_KEYS, strict=True):
                    video.encode(part / f"{key}.mp4", episode.images[camera], FPS,
                                 self.lossless)
                about = {name: getattr(episode, name) for name in _ABOUT}
                about["length"] = len(episode)
                about["height"], about["width"] = episode.images[CAMERAS[0]].shape[1:3]
                about["stats"] = _plain(_episode_stats(episode))
                (part / "episode.json").write_text(json.dumps(about))
                os.rename(part, final)
            except OSError:
                shutil.rmtree(part, ignore_errors=True)
                raise

    def keys(self) -> set[tuple[str, int]]:
        """(task, seed) of every episode kept so far."""
        return self._merged() | {(about["task"], about["seed"]) for _, about in self._pending()}

    def merge(self, report: Callable[[int, int], None] | None = None) -> int:
        """Move pending episodes into the files of the data set; call it under `lock`.

        :param report: called with (episodes done, episodes in all)
        :return: episodes in the data set
        """
        with disk_errors(self.root):
            self._recover()
            pending = list(self._pending())
            done = 0
            for group in _groups(pending):
                self._merge_group(group)
                done += len(group)
                if report is not None:
                    report(done, len(pending))
            return self._write_summary()

    def _pending(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in sorted(self.pending.iterdir()):
            if path.is_dir() and not path.name.startswith("part-"):
                with whole_file(path, video.ANEW):
                    about = _UNTOLD | json.loads((path / "episode.json").read_text())
                yield path, about

    def _merged(self) -> set[tuple[str, int]]:
        return {(row["task_name"], row["seed"])
                for row in read_episode_rows(self.root, ["task_name", "seed"])}

    def _recover(self) -> None:
        """Remove what an interrupted commit or merge left half done."""
        for part in self.pending.glob("part-*"):
            shutil.rmtree(part, ignore_errors=True)
        for part in self.root.glob("**/*.part"):
            if part.is_file():  # a folder is a recording that its bag's turn makes anew
                part.unlink()
        committed = self._merged()
        for path, about in self._pending():
            if (about["task"], about["seed"]) in committed:
                self._remove(path)
        at = layout.place(len(list(episode_files(self.root))))
        for orphan in (
            layout.DATA_PATH.format(**at),
            *(layout.VIDEO_PATH.format(video_key=key, **at) for key in VIDEO_KEYS),
        ):
            (self.root / orphan).unlink(missing_ok=True)

    def _merge_group(self, group: list[tuple[Path, dict[str, Any]]]) -> None:
        rows = read_episode_rows(self.root, list(_EPISODE_COLUMNS))
        number = len(list(episode_files(self.root)))
        at = layout.place(number)
        instructions = read_tasks(self.root)
        index = len(rows)
        frame = rows[-1]["dataset_to_index"] if rows else 0
        tables, records = [], []
        first = frame
        for path, about in group:
            if about["instruction"] not in instructions:
                instructions.append(about["instruction"])
            task_index = instructions.index(about["instruction"])
            with whole_file(path, video.ANEW):
                table = pq.read_table(path / "data.parquet", schema=layout.data_schema())
            tables.append(layout.set_indices(table, index, frame, task_index))
            records.append(self._record(about, index, frame, frame - first, at, tables[-1]))
            index += 1
            frame += about["length"]
        self._write_table(layout.TASKS, layout.tasks_table(instructions))
        self._write_data(self.root / layout.DATA_PATH.format(**at), tables)
        lengths = [about["length"] for _, about in group]
        for key in VIDEO_KEYS:
            target = self.root / layout.VIDEO_PATH.format(video_key=key, **at)
            target.parent.mkdir(parents=True, exist_ok=True)
            with whole(target) as part:
                video.join(part, [path / f"{key}.mp4" for path, _ in group], lengths, FPS)
        self._write_table(layout.EPISODES_PATH.format(**at), pa.Table.from_pylist(records))
        for path, _ in group:
            self._remove(path)

    def _remove(self, path: Path) -> None:
        """Remove a pending episode; a stop meanwhile leaves none that seems damaged."""
        gone = path.with_name(f"part-{os.getpid()}-{path.name}")
        path.rename(gone)
        shutil.rmtree(gone)

    def _record(
        self,
        about: dict[str, Any],
        index: int,
        frame: int,
        offset: int,
        at: dict[str, int],
        table: pa.Table,
    ) -> dict[str, Any]:
        """One row of the episode table."""
        length = about["length"]
        record: dict[str, Any] = {
            "episode_index": index,
            "tasks": [about["instruction"]],
            "length": length,
            "data/chunk_index": at["chunk_index"],
            "data/file_index": at["file_index"],
            "dataset_from_index": frame,
            "dataset_to_index": frame + length,
            "meta/episodes/chunk_index": at["chunk_index"],
            "meta/episodes/file_index": at["file_index"],
            "task_name": about["task"],
            "room": about["room"],
            "seed": about["seed"],
            "success": about["success"],
            "perturbed": about["perturbed"],
            "deliberate_failure": about["deliberate_failure"],
            "practised": about["practised"],
            "image_height": about["height"],
            "image_width": about["width"],
        }
        for key in VIDEO_KEYS:
            record[f"videos/{key}/chunk_index"] = at["chunk_index"]
            record[f"videos/{key}/file_index"] = at["file_index"]
            record[f"videos/{key}/from_timestamp"] = offset / FPS
            record[f"videos/{key}/to_timestamp"] = (offset + length) / FPS
        stats = dict(about["stats"])
        for key in layout.SCALARS:
            stats[key] = _plain_one(
                statistics.vector_stats(table.column(key).to_numpy().astype(np.float64))
            )
        for key, entries in stats.items():
            for name, value in entries.items():
                record[f"stats/{key}/{name}"] = value
        return record

    def _write_data(self, path: Path, tables: list[pa.Table]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part, pq.ParquetWriter(part, layout.data_schema()) as writer:
            for table in tables:  # one row group per episode: an episode is read alone
                writer.write_table(table)

    def _write_table(self, name: str, table: pa.Table) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part:
            pq.write_table(table, part)

    def _write_summary(self) -> int:
        """info.json and stats.json follow from the episode tables; returns the episode count."""
        rows = read_episode_rows(self.root)
        if not rows:
            return 0
        height, width = rows[0]["image_height"], rows[0]["image_width"]
        table = layout.features(height, width, self.lossless)
        merged = {
            key: statistics.merge([_stats_of(row, key) for row in rows]) for key in table
        }
        write_json(self.root / layout.STATS, _plain(merged))
        info = {
            "codebase_version": layout.CODEBASE_VERSION,
            "robot_type": self.robot,
            "total_episodes": len(rows),
            "total_frames": rows[-1]["dataset_to_index"],
            "total_tasks": len(read_tasks(self.root)),
            "chunks_size": layout.CHUNK_SIZE,
            "data_files_size_in_mb": MAX_DATA_BYTES >> 20,
            "video_files_size_in_mb": 500,
            "fps": FPS,
            "splits": {"train": f"0:{len(rows)}"},
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH,
            "features": table,
        }
        write_json(self.root / layout.INFO, info)
        write_text(self.root / "README.md", layout.card(info, rows, self.lossless))
        return len(rows)


class Dataset:
    """Reads a data set written by `DatasetWriter`."""

    def __init__(self, root: Path | str) -> None:
        """:raises UserError: there is no data set of this layout in `root`"""
        self.root = Path(root)
        try:
            self.info = json.loads((self.root / layout.INFO).read_text())
        except (OSError, ValueError):
            maker = "wm convert" if (self.root / layout.CONVERTED).exists() else "wm collect"
            advice = (f"finish it by running `{maker}` on it again, or give the folder of another "
                      "one" if (self.root / PENDING).is_dir() else
                      "give the folder that `wm collect` or `wm convert` wrote")
            raise UserError(f"{root} holds no finished data set: {advice}.") from None
        if self.info.get("codebase_version") != layout.CODEBASE_VERSION:
            raise UserError(
                f"{root} is a data set of version {self.info.get('codebase_version')}: convert it "
                f"to {layout.CODEBASE_VERSION} with LeRobot's converter first."
            )
        self.fps: int = self.info["fps"]
        needed = {*VIDEO_KEYS, *VECTOR_FEATURES, DEPTH_KEY, "progress"}
        if lacking := sorted(needed - set(self.info["features"])):
            raise UserError(f"{root} has no {', '.join(lacking)}, which models are trained on: "
                            "record them too, or convert bags that hold them.")
        if other := [name for name in needed if not _fits(name, self.info["features"][name])]:
            raise UserError(f"{root} has {min(other)} in another form than models are trained on: "
                            "cameras are videos, depth is images in mm, vectors have the lengths "
                            "that `wm collect` writes.")
        if self.fps != FPS:
            raise UserError(f"{root} has {self.fps} rows a second, and a control step here lasts "
                            f"{1 / FPS:g} s: record at {FPS} Hz.")
        shapes = {tuple(self.info["features"][name]["shape"][:2])
                  for name in (*VIDEO_KEYS, DEPTH_KEY)}
        if len(shapes) > 1:
            raise UserError(f"{root} has images of different sizes: bring all cameras and the "
                            "depth to one.")
        height, width = shapes.pop()
        self.rows: list[dict[str, Any]] = [
            {"task_name": row["tasks"][0], "seed": row["episode_index"],
             "image_height": height, "image_width": width} | row
            for row in read_episode_rows(self.root, list(_EPISODE_COLUMNS))]
        self.instructions = read_tasks(self.root)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def frames(self) -> int:
        """Rows of all episodes."""
        return self.rows[-1]["dataset_to_index"] if self.rows else 0

    def stats(self) -> dict[str, dict[str, np.ndarray]]:
        """Feature -> statistic -> array, over the whole data set."""
        raw = json.loads((self.root / layout.STATS).read_text())
        return {k: {n: np.asarray(v) for n, v in entries.items()} for k, entries in raw.items()}

    def data_path(self, index: int) -> Path:
        """Parquet file that holds an episode."""
        row = self.rows[index]
        return self.root / layout.DATA_PATH.format(
            chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
        )

    def video_path(self, index: int, key: str) -> Path:
        """Video file that holds an episode's images of one camera."""
        row = self.rows[index]
        return self.root / layout.VIDEO_PATH.format(
            video_key=key,
            chunk_index=row[f"videos/{key}/chunk_index"],
            file_index=row[f"videos/{key}/file_index"],
        )

    def episode(self, index: int) -> Episode:
        """One episode with its decoded images."""
        row = self.rows[index]
        with whole_file(self.data_path(index)):
            table = pq.read_table(
                self.data_path(index), filters=[("episode_index", "==", row["episode_index"])]
            )
            arrays: dict[str, Any] = {
                attribute: matrix(table.column(key), len(names))
                for key, (attribute, names) in VECTOR_FEATURES.items()
            }
            depth = np.stack([layout.decode_depth(d["bytes"]) for d in
                              table.column(DEPTH_KEY).to_pylist()])
        images = {}
        for camera, key in zip(CAMERAS, VIDEO_KEYS, strict=True):
            with whole_file(self.video_path(index, key)):
                images[camera] = np.stack(list(video.frames_from(
                    self.video_path(index, key),
                    round(row[f"videos/{key}/from_timestamp"] * self.fps),
                    row["length"],
                )))
        return Episode(
            task=row["task_name"],
            instruction=row["tasks"][0],
            seed=row["seed"],
            success=row["success"],
            perturbed=row["perturbed"],
            deliberate_failure=row["deliberate_failure"],
            practised=row["practised"],
            room=row["room"],
            images=images,
            depth=depth,
            progress=table.column("progress").to_numpy(),
            **arrays,
        )


_EPISODE_COLUMNS = (
    "episode_index", "tasks", "length", "data/chunk_index", "data/file_index",
    "dataset_from_index", "dataset_to_index", "task_name", "room", "seed", "success", "perturbed",
    "deliberate_failure", "practised", "image_height", "image_width",
    *(f"videos/{key}/{name}" for key in VIDEO_KEYS
      for name in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")),
)


# what LeRobot's own recorder, or wm_ros before it knew of it, does not tell of an episode
_UNTOLD: dict[str, Any] = {"room": "", "success": True, "perturbed": False,
                           "deliberate_failure": False, "practised": False}


def _fits(name: str, feature: dict[str, Any]) -> bool:
    """Whether a feature of a data set is stored as it is read here."""
    kind, info = feature.get("dtype"), feature.get("info") or {}
    if name in VIDEO_KEYS:
        return kind == "video"
    if name == DEPTH_KEY:
        return kind == "image" and info.get("depth_unit", "mm") == "mm"
    if name in VECTOR_FEATURES:
        return list(feature["shape"]) == [len(VECTOR_FEATURES[name][1])]
    return True


def episode_files(root: Path) -> Iterator[Path]:
    """The episode tables of a data set, in order."""
    yield from sorted((root / "meta/episodes").glob("chunk-*/file-*.parquet"))


def read_episode_rows(root: Path, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """Every row of the episode tables, in order of the episodes, with those of ``columns`` that
    there are; what a recorder does not tell is filled in."""
    rows: list[dict[str, Any]] = []
    for path in episode_files(root):
        with whole_file(path):
            file = pq.ParquetFile(path)
            names = file.schema_arrow.names
            there = None if columns is None else [c for c in columns if c in names]
            rows += [_UNTOLD | row for row in file.read(there).to_pylist()]
    return rows


def read_tasks(root: Path) -> list[str]:
    """The instructions of a data set by their number; [] before the first merge."""
    path = root / layout.TASKS
    if not path.exists():
        return []
    with whole_file(path):
        table = pq.read_table(path).sort_by("task_index")
    # LeRobot 0.4 kept the instructions as an index without a name
    name = next(c for c in ("task", *table.column_names) if c in table.column_names
                and c != "task_index")
    return table.column(name).to_pylist()


def matrix(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """A column of fixed-size lists as float32 (rows, width)."""
    flat = column.combine_chunks()
    if isinstance(flat, pa.ChunkedArray):
        flat = flat.chunk(0)
    return np.array(flat.flatten().to_numpy(), np.float32).reshape(-1, width)


def _folder_name(task: str) -> str:
    """A task as a name for a folder; what does not fit gets a checksum, so no two share a name."""
    words = re.sub(r"\W+", "_", task, flags=re.ASCII)[:60]
    if task and words == task:
        return task
    return f"{words}.{hashlib.sha256(task.encode()).hexdigest()[:16]}"


def _groups(
    pending: list[tuple[Path, dict[str, Any]]],
) -> Iterator[list[tuple[Path, dict[str, Any]]]]:
    """Cut the pending episodes into those of one file each."""
    group: list[tuple[Path, dict[str, Any]]] = []
    frames = size = 0
    for path, about in pending:
        more = (path / "data.parquet").stat().st_size
        if group and (
            frames + about["length"] > MAX_FRAMES_PER_FILE or size + more > MAX_DATA_BYTES
        ):
            yield group
            group, frames, size = [], 0, 0
        group.append((path, about))
        frames += about["length"]
        size += more
    if group:
        yield group


def _episode_stats(episode: Episode) -> dict[str, statistics.Stats]:
    stats = {
        key: statistics.image_stats(episode.images[camera])
        for camera, key in zip(CAMERAS, VIDEO_KEYS, strict=True)
    }
    stats[DEPTH_KEY] = statistics.image_stats(episode.depth, scale=1.0)
    for key, (attribute, _) in VECTOR_FEATURES.items():
        stats[key] = statistics.vector_stats(getattr(episode, attribute))
    return stats


def _stats_of(row: dict[str, Any], key: str) -> statistics.Stats:
    names = ("min", "max", "mean", "std", "count", *statistics.QUANTILES)
    return {name: np.asarray(row[f"stats/{key}/{name}"]) for name in names}


def _plain_one(stats: statistics.Stats) -> dict[str, Any]:
    return {name: value.tolist() for name, value in stats.items()}


def _plain(stats: dict[str, statistics.Stats]) -> dict[str, Any]:
    return {key: _plain_one(value) for key, value in stats.items()}
