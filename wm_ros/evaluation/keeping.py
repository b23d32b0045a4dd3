# SPDX-License-Identifier: Apache-2.0
"""Results kept one file each, so that a command goes on where it was stopped."""
from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wm_ros.evaluation.bench import UNKNOWN, commit
from wm_ros.files import write_json

WEIGH = (".yaml", ".safetensors", ".npz", ".json")  # files that make a checkpoint what it is,
BESIDE = ("*state.safetensors", "foresight-*.safetensors", "scores.json",
          "result.json")  # and those that only lie there


def fingerprint(folders: list[Path], asked: str, weigh: tuple[str, ...] = WEIGH) -> str:
    """Short checksum of a checkpoint's files, of these kinds, and of what is ``asked`` of it."""
    mark = zlib.crc32(asked.encode())
    for path in [path for folder in folders for path in sorted(folder.glob("*"))]:
        if path.suffix in weigh and not any(map(path.match, BESIDE)):
            mark = zlib.crc32(path.read_bytes(), mark)
    return f"{mark:08x}"


def code_version() -> str:
    """The last commit of what results depend on, with ``+`` where files differ from it."""
    return commit("wm_ros", "config")


def write(path: Path, result: dict[str, Any], version: str, model: Any) -> None:
    """Keep a result with the version of the code and the precision that the model runs in."""
    write_json(path, {"commit": version, "precision": precision_of(model), **result})


def precision_of(model: Any) -> str:
    """The number format that a model's network runs in."""
    return str(getattr(model, "precision", "float32"))


def is_current(path: Path, version: str) -> bool:
    """Whether a result is there, and of this version of the code; any will do where that is not
    known."""
    if not path.is_file():
        return False
    return version == UNKNOWN or json.loads(path.read_text()).get("commit") == version


def told(paths: list[Path], version: str) -> str:
    """What becomes of results that are there already, in one line; empty where none are."""
    there = [path for path in paths if path.is_file()]
    if there and version == UNKNOWN:
        return (f"{len(there)} results are taken as they are: which version of the code made "
                "them is not known here (no git).")
    other = sum(not is_current(path, version) for path in there)
    return f"{other} results of other versions of the code are made anew." if other else ""


@contextmanager
def going_on() -> Iterator[None]:
    """Tells on Ctrl-C that what is done is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Stopped; the same command goes on from here.") from None
