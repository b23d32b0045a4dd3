# SPDX-License-Identifier: Apache-2.0
"""Reads back the folder that `RunLog` wrote."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from wm_ros.errors import UserError

MATCH = 0.16  # s: an imagined frame belongs to a real one when it is not further away in time


@dataclass(frozen=True)
class Run:
    """One run; times in seconds since its start.

    real_t (N,), real (N, H, W, 3) uint8; imagined_t (F,), imagined (F, H, W, 3), imagined_chunk
    (F,) index into result["chunks"]; tcp_t (M,), tcp (M, 3) m; stages name -> (n,) s.
    """

    folder: Path
    result: dict[str, Any]
    real_t: np.ndarray
    real: np.ndarray
    imagined_t: np.ndarray
    imagined: np.ndarray
    imagined_chunk: np.ndarray
    tcp_t: np.ndarray
    tcp: np.ndarray
    stages: dict[str, np.ndarray]

    def imagined_at(self, time: float) -> tuple[int, int] | None:
        """(frame, chunk) that the newest chunk begun by `time` foretold for it, or None."""
        starts = np.array([chunk["t"] for chunk in self.result["chunks"]])
        begun = np.flatnonzero(starts <= time + 1e-6)
        for chunk in begun[::-1][:4]:
            frames = np.flatnonzero(self.imagined_chunk == chunk)
            if not len(frames):
                continue
            gaps = np.abs(self.imagined_t[frames] - time)
            best = int(np.argmin(gaps))
            if gaps[best] <= MATCH:
                return int(frames[best]), int(chunk)
        return None

    def pairs(self) -> list[tuple[float, int, tuple[int, int] | None]]:
        """(time, real frame, imagined frame and chunk) for every real frame."""
        return [(float(t), i, self.imagined_at(float(t))) for i, t in enumerate(self.real_t)]

    @property
    def duration(self) -> float:
        """Seconds from the first real frame to the last."""
        return float(self.real_t[-1] - self.real_t[0]) if len(self.real_t) else 0.0


def load_run(folder: Path | str) -> Run:
    """Read a run folder.

    :raises UserError: there is none, or it is damaged
    """
    folder = Path(folder)
    try:
        result = json.loads((folder / "result.json").read_bytes())
        real = _arrays(folder / "real.npz")
        imagined = _arrays(folder / "imagined.npz")
        trace = _arrays(folder / "trace.npz")
        for row in (*result["chunks"], *result["surprise"]):
            for key in ("predicted_success", "uncertainty", "value", "threshold"):
                if key in row and row[key] is None:
                    row[key] = float("nan")
        t0 = float(result["t0"])
        return Run(
            folder, result, real["stamps"] - t0, real["frames"], imagined["stamps"] - t0,
            imagined["frames"], imagined["chunk"], trace["tcp_stamps"] - t0, trace["tcp"],
            {k.removeprefix("stage_"): v for k, v in trace.items() if k.startswith("stage_")},
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile, zlib.error):
        raise UserError(
            f"{folder} holds no complete run: give the folder that a demo wrote, such as "
            "out/demo."
        ) from None


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
