# SPDX-License-Identifier: Apache-2.0
"""Statistics in the form LeRobot data sets keep them: per episode, and merged over episodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
Stats = dict[str, np.ndarray]


def vector_stats(values: np.ndarray) -> Stats:
    """Statistics over the rows of (T, D) or (T,); every entry has shape (D,), the count (1,)."""
    rows = np.asarray(values, np.float64).reshape(len(values), -1)
    return _stats(rows, count=len(rows))


def image_stats(frames: np.ndarray, scale: float = 255.0) -> Stats:
    """Per channel statistics of (T, H, W, C) images; entries have shape (C, 1, 1).

    Every fourth pixel of every tenth frame is looked at: enough for a normalisation.
    """
    if frames.ndim == 3:
        frames = frames[..., None]
    sample = frames[::10, ::4, ::4]
    stats = _stats(sample.reshape(-1, sample.shape[-1]) / scale, count=len(sample))
    return {k: v if k == "count" else v.reshape(-1, 1, 1) for k, v in stats.items()}


def _stats(rows: np.ndarray, count: int) -> Stats:
    levels = np.quantile(rows, list(QUANTILES.values()), axis=0)
    return {
        "min": rows.min(0),
        "max": rows.max(0),
        "mean": rows.mean(0),
        "std": rows.std(0),
        "count": np.array([count]),
        **dict(zip(QUANTILES, levels, strict=True)),
    }


def merge(parts: Sequence[Stats]) -> Stats:
    """Statistics of the union; quantiles are the count-weighted mean, as LeRobot merges them."""
    counts = np.array([float(p["count"][0]) for p in parts])

    def weighted(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.tensordot(counts / counts.sum(), np.stack(values), axes=1)

    mean = weighted([p["mean"] for p in parts])
    variance = weighted([p["std"] ** 2 + (p["mean"] - mean) ** 2 for p in parts])
    return {
        "min": np.min([p["min"] for p in parts], axis=0),
        "max": np.max([p["max"] for p in parts], axis=0),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": np.array([int(counts.sum())]),
        **{name: weighted([p[name] for p in parts]) for name in QUANTILES},
    }
