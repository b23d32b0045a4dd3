# SPDX-License-Identifier: Apache-2.0
"""Names, tables and JSON of the LeRobot data set layout, codebase version v3.0.

Source: the `lerobot` package (datasets/utils.py, datasets/lerobot_dataset.py), Apache-2.0; only
the file format is followed, with pyarrow alone.
"""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from wm_ros.data.episode import (
    DEPTH_KEY,
    FPS,
    VECTOR_FEATURES,
    VIDEO_KEYS,
    Episode,
)
from wm_ros.data.video import PIXEL_FORMAT

CODEBASE_VERSION = "v3.0"
CHUNK_SIZE = 1000
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
COLLECTED = "collect.json"  # says how a data set was collected
CONVERTED = "convert.json"  # or from which bags it was made
INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
SCALARS: dict[str, tuple[str, pa.DataType]] = {
    "progress": ("float32", pa.float32()),
    "next.done": ("bool", pa.bool_()),
    "next.success": ("bool", pa.bool_()),
    "timestamp": ("float32", pa.float32()),
    "frame_index": ("int64", pa.int64()),
    "episode_index": ("int64", pa.int64()),
    "index": ("int64", pa.int64()),
    "task_index": ("int64", pa.int64()),
}
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def features(height: int, width: int, lossless: bool = False) -> dict[str, dict[str, Any]]:
    """The `features` entry of info.json."""
    names = ["height", "width", "channels"]
    table: dict[str, dict[str, Any]] = {}
    for key in VIDEO_KEYS:
        table[key] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": names,
            "info": {
                "video.height": height,
                "video.width": width,
                "video.codec": "h264",
                "video.pix_fmt": "gbrp" if lossless else PIXEL_FORMAT,
                "video.is_depth_map": False,
                "video.fps": FPS,
                "video.channels": 3,
                "has_audio": False,
            },
        }
    table[DEPTH_KEY] = {
        "dtype": "image",
        "shape": [height, width, 1],
        "names": names,
        "info": {"is_depth_map": True, "depth_unit": "mm"},
    }
    for key, (_, components) in VECTOR_FEATURES.items():
        table[key] = {"dtype": "float32", "shape": [len(components)], "names": components}
    for key, (dtype, _) in SCALARS.items():
        table[key] = {"dtype": dtype, "shape": [1], "names": None}
    return table


def data_schema() -> pa.Schema:
    """Schema of the data files."""
    fields = [pa.field(DEPTH_KEY, _IMAGE)]
    fields += [
        pa.field(key, pa.list_(pa.float32(), len(names)))
        for key, (_, names) in VECTOR_FEATURES.items()
    ]
    fields += [pa.field(key, kind) for key, (_, kind) in SCALARS.items()]
    return pa.schema(fields)


def episode_table(episode: Episode) -> pa.Table:
    """Rows of one episode; the indices that depend on the data set are zero for now."""
    rows = len(episode)
    columns: dict[str, pa.Array] = {}
    columns[DEPTH_KEY] = pa.array(
        [{"bytes": encode_depth(depth), "path": None} for depth in episode.depth], _IMAGE
    )
    for key, (attribute, names) in VECTOR_FEATURES.items():
        flat = pa.array(np.ascontiguousarray(getattr(episode, attribute), np.float32).ravel())
        columns[key] = pa.FixedSizeListArray.from_arrays(flat, len(names))
    last = np.arange(rows) == rows - 1
    values: dict[str, np.ndarray] = {
        "progress": episode.progress.astype(np.float32),
        "next.done": last,
        "next.success": last & episode.success,
        "timestamp": (np.arange(rows) / FPS).astype(np.float32),
        "frame_index": np.arange(rows),
    }
    for key, (_, kind) in SCALARS.items():
        columns[key] = pa.array(values.get(key, np.zeros(rows, np.int64)), kind)
    return pa.table(columns, schema=data_schema())


def set_indices(table: pa.Table, episode_index: int, start: int, task_index: int) -> pa.Table:
    """Fill in where an episode lies in its data set."""
    rows = len(table)
    for key, values in (
        ("episode_index", np.full(rows, episode_index)),
        ("index", start + np.arange(rows)),
        ("task_index", np.full(rows, task_index)),
    ):
        table = table.set_column(
            table.schema.get_field_index(key), key, pa.array(values, pa.int64())
        )
    return table


def tasks_table(instructions: list[str]) -> pa.Table:
    """meta/tasks.parquet: a pandas frame indexed by instruction, with its number."""
    pandas_hint = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            _pandas_column("task_index", "int64", "int64"),
            _pandas_column("task", "unicode", "object"),
        ],
        "pandas_version": "2.0.0",
    }
    table = pa.table(
        {
            "task_index": pa.array(range(len(instructions)), pa.int64()),
            "task": pa.array(instructions, pa.string()),
        }
    )
    return table.replace_schema_metadata({"pandas": json.dumps(pandas_hint)})


def _pandas_column(name: str, pandas_type: str, numpy_type: str) -> dict[str, Any]:
    return {
        "name": name,
        "field_name": name,
        "pandas_type": pandas_type,
        "numpy_type": numpy_type,
        "metadata": None,
    }


def encode_depth(depth: np.ndarray) -> bytes:
    """uint16 (H, W) to PNG."""
    done, png = cv2.imencode(".png", depth, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError("a depth image could not be encoded")
    return png.tobytes()


def decode_depth(png: bytes) -> np.ndarray:
    """PNG to uint16 (H, W)."""
    depth = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if depth is None:
        raise ValueError("a depth image is damaged")
    return depth


def card(info: dict[str, Any], rows: list[dict[str, Any]], converted: bool = False) -> str:
    """README.md of a data set: what it is and what is in it."""
    table: dict[str, list[int]] = {}
    for row in rows:
        entry = table.setdefault(row["task_name"], [0, 0, 0, 0, 0])
        entry[0] += 1
        entry[1] += row["success"] and not (row["deliberate_failure"] or row["practised"])
        entry[2] += row["perturbed"]
        entry[3] += row["deliberate_failure"]
        entry[4] += row["practised"] and row["success"]
    lines = [f"| {task} | " + " | ".join(map(str, n)) + " |" for task, n in sorted(table.items())]
    return "\n".join([
        "---",
        "task_categories: [robotics]",
        f"tags: [LeRobot{'' if converted else ', simulation'}]",
        "configs: [{config_name: default, data_files: data/*/*.parquet}]",
        "---",
        f"# {info['total_episodes']} episodes of {len(table)} tasks, {info['robot_type']}, "
        f"{info['fps']} Hz",
        "",
        ("Converted from recordings (`wm convert`; convert.json says from which)" if converted
         else "Collected in simulation by scripted experts (`wm collect`)")
        + f", in LeRobot's layout {CODEBASE_VERSION}. `action` is what the expert wanted; "
        "`executed_action` is what the arm was told, which differs while an episode is perturbed. "
        "Deliberate failures, strolls among them, are there to learn how things move, not to be "
        "imitated. What a model practised alone is no demonstration; of it the table counts what "
        "succeeded, be it at what the words asked for first or (`--hindsight`) at what it did.",
        "",
        "| task | episodes | successful demonstrations | perturbed | deliberate failures "
        "| practised |",
        "|---|---|---|---|---|---|",
        *lines,
        "",
        "Vectors: metres, radians, newtons; quaternions x y z w; poses in the robot's base frame. "
        "Depth: uint16 PNG in millimetres, 0 where nothing was hit.",
        "",
    ])


def place(number: int) -> dict[str, int]:
    """Chunk and file index of the data set's n-th file of a kind."""
    return {"chunk_index": number // CHUNK_SIZE, "file_index": number % CHUNK_SIZE}
