# SPDX-License-Identifier: Apache-2.0
"""Whether a predicted probability means what it says."""
from __future__ import annotations

from typing import Any

import numpy as np


def calibration(predicted: np.ndarray, happened: np.ndarray, bins: int = 10) -> dict[str, Any]:
    """Scores of probabilities (N,) against what happened (N,) 0 or 1.

    :returns: ``brier`` score; ``ece``, the expected calibration error over equal bins (Guo et
        al. 2017); ``auroc``; ``base_rate``; ``bins`` as (mean predicted, share that happened,
        count)
    """
    p, y = np.asarray(predicted, float), np.asarray(happened, float)
    known = np.isfinite(p)
    p, y = p[known], y[known]
    if not len(p):
        return {}
    place = np.minimum((p * bins).astype(int), bins - 1)
    rows = [(float(p[place == b].mean()), float(y[place == b].mean()), int((place == b).sum()))
            for b in range(bins) if (place == b).any()]
    return {"brier": round(float(np.square(p - y).mean()), 4),
            "ece": round(sum(abs(q - s) * n for q, s, n in rows) / len(p), 4),
            "auroc": auroc(p, y), "base_rate": round(float(y.mean()), 4), "looks": len(p),
            "bins": [[round(q, 3), round(s, 3), n] for q, s, n in rows]}


def auroc(score: np.ndarray, label: np.ndarray) -> float | None:
    """Area under the ROC curve (Mann and Whitney); None with one kind of label only."""
    from scipy.stats import mannwhitneyu

    score, label = np.asarray(score), np.asarray(label) > 0.5
    if label.all() or not label.any():
        return None
    u = mannwhitneyu(score[label], score[~label], method="asymptotic").statistic
    return round(float(u) / (label.sum() * (~label).sum()), 4)
