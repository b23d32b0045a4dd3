# SPDX-License-Identifier: Apache-2.0
"""The folder of one run: what really happened and what the model imagined.

    result.json   {"success": bool, "instruction": str, ...whatever `set_result` was given,
                   "stages":    [{"name", "count", "p50_ms", "p95_ms", "max_ms"}],
                   "surprise":  [{"t", "value", "threshold"}],
                   "chunks":    [{"id", "t", "predicted_success", "uncertainty", "frames"}],
                   "events":    [{"t", "text"}],
                   "t0": seconds}                    "t": seconds after t0; unknown: null
    real.npz      stamps (N,) s, frames (N, H, W, 3) uint8
    imagined.npz  stamps (F,) s, frames (F, H, W, 3) uint8, chunk (F,) index into "chunks",
                  start (C,) s: when each chunk was imagined
    trace.npz     stage_<name> (n,) s; tcp_stamps (M,) s, tcp (M, 3) m in the base frame

No file holds pickled objects. `wm report` turns such a folder into HTML and an animation.
"""

from __future__ import annotations

import math
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np

from wm_ros.errors import UserError
from wm_ros.files import whole, write_json


class RunLog:
    """Collects one run; every method may be called from any thread.

    :param max_real_frames: real frames kept; when there are more, every second one is dropped
    :param max_imagined_frames: the same of imagined ones: those of every second chunk are dropped
    """

    def __init__(self, folder: Path | str, max_real_frames: int = 1200,
                 max_imagined_frames: int = 1200) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._max_real = max_real_frames
        self._stride = 1
        self._seen = 0
        self._max_imagined = max_imagined_frames
        self._every = 1  # of how many chunks one keeps its frames
        self._real: list[tuple[float, np.ndarray]] = []
        self._imagined: list[tuple[float, np.ndarray, int]] = []
        self._chunks: list[dict[str, Any]] = []
        self._surprise: list[tuple[float, float, float]] = []
        self._stages: dict[str, list[float]] = {}
        self._events: list[tuple[float, str]] = []
        self._tcp: list[tuple[float, np.ndarray]] = []
        self._result: dict[str, Any] = {}

    def add_real_frame(self, stamp: float, rgb: np.ndarray) -> None:
        """A frame of the scene camera: uint8 (H, W, 3), stamp in s."""
        with self._lock:
            if self._seen % self._stride == 0:
                self._real.append((float(stamp), np.array(rgb, np.uint8)))
                if len(self._real) > self._max_real:
                    self._real = self._real[::2]
                    self._stride *= 2
            self._seen += 1

    def add_imagined(
        self,
        chunk_id: str,
        stamp: float,
        times: np.ndarray,
        frames: np.ndarray,
        success: float,
        uncertainty: float,
    ) -> None:
        """The imagined future of a chunk that was chosen.

        :param stamp: when the chunk starts, s
        :param times: (F,) s after the stamp
        :param frames: uint8 (F, H, W, 3); may be empty
        :param success: predicted probability, 0 to 1
        """
        with self._lock:
            index = len(self._chunks)
            self._chunks.append(
                {
                    "id": str(chunk_id),
                    "stamp": float(stamp),
                    "predicted_success": float(success),
                    "uncertainty": float(uncertainty),
                    "frames": len(frames),
                }
            )
            if index % self._every == 0:
                for time, frame in zip(times, frames, strict=True):
                    self._imagined.append((float(stamp + time), np.array(frame, np.uint8), index))
            while len(self._imagined) > self._max_imagined and self._every <= index:
                self._every *= 2
                self._imagined = [row for row in self._imagined if row[2] % self._every == 0]

    def add_surprise(self, stamp: float, value: float, threshold: float) -> None:
        """How wrong the last prediction was, and from where on it is too wrong."""
        with self._lock:
            self._surprise.append((float(stamp), float(value), float(threshold)))

    def add_stage(self, name: str, seconds: float) -> None:
        """One duration of a stage of the loop, such as "act" or "plan"."""
        with self._lock:
            self._stages.setdefault(str(name), []).append(float(seconds))

    def add_tcp(self, stamp: float, position: np.ndarray) -> None:
        """Where the tool centre point was: (3,) m in the base frame."""
        with self._lock:
            self._tcp.append((float(stamp), np.array(position, np.float64)))

    def add_event(self, stamp: float, text: str) -> None:
        """Something worth telling, in a few words."""
        with self._lock:
            self._events.append((float(stamp), str(text)))

    def set_result(self, **result: Any) -> None:
        """Merge into result.json; give at least success and instruction."""
        with self._lock:
            self._result.update(result)

    def save(self) -> Path:
        """Write the folder; may be called more than once. Returns it.

        :raises UserError: the folder cannot be written
        """
        with self._lock:
            t0 = self._start()
            result = {"success": False, "instruction": "", **self._result}
            result["t0"] = t0
            result["stages"] = [_stage(name, v) for name, v in self._stages.items()]
            result["surprise"] = [
                {"t": round(t - t0, 3), "value": v, "threshold": h} for t, v, h in self._surprise
            ]
            result["chunks"] = [
                {**{k: v for k, v in c.items() if k != "stamp"}, "t": round(c["stamp"] - t0, 3)}
                for c in self._chunks
            ]
            result["events"] = [{"t": round(t - t0, 3), "text": x} for t, x in self._events]
            real, imagined, tcp = list(self._real), list(self._imagined), list(self._tcp)
            stages = {f"stage_{_slug(n)}": np.array(v) for n, v in self._stages.items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _save(self.folder / "real.npz", stamps=_stamps(real), frames=_frames(real))
            _save(
                self.folder / "imagined.npz",
                stamps=_stamps(imagined),
                frames=_frames(imagined),
                chunk=np.array([i for *_, i in imagined], np.int64),
            )
            positions = np.stack([p for _, p in tcp]) if tcp else np.zeros((0, 3))
            _save(self.folder / "trace.npz", tcp_stamps=_stamps(tcp), tcp=positions, **stages)
            write_json(self.folder / "result.json", _finite(result))
        except OSError as error:
            raise UserError(
                f"The run could not be written to {self.folder} ({error.strerror}): free some "
                "space or choose another folder."
            ) from error
        return self.folder

    def _start(self) -> float:
        stamps = [s for s, *_ in self._real[:1]] + [s for s, *_ in self._tcp[:1]]
        stamps += [c["stamp"] for c in self._chunks[:1]] + [s for s, *_ in self._surprise[:1]]
        return min(stamps, default=0.0)


def _stage(name: str, seconds: list[float]) -> dict[str, Any]:
    ms = np.array(seconds) * 1000
    return {
        "name": name,
        "count": len(ms),
        "p50_ms": round(float(np.percentile(ms, 50)), 2),
        "p95_ms": round(float(np.percentile(ms, 95)), 2),
        "max_ms": round(float(ms.max()), 2),
    }


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name)


def _stamps(rows: list[Any]) -> np.ndarray:
    return np.array([row[0] for row in rows], np.float64)


def _frames(rows: list[Any]) -> np.ndarray:
    return np.stack([row[1] for row in rows]) if rows else np.zeros((0, 1, 1, 3), np.uint8)


def _save(path: Path, **arrays: Any) -> None:
    with whole(path) as part, open(part, "wb") as handle:
        np.savez_compressed(handle, **arrays)


def _finite(value: Any) -> Any:
    """Plain JSON: numpy becomes Python, NaN and infinity null, anything unknown its text."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
