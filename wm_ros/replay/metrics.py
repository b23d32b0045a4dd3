# SPDX-License-Identifier: Apache-2.0
"""metrics.json of a replay: what depends on bag, model and settings alone, and apart from it time.

    {"format": 1,
     "metrics": {"bag": {...}, "model": {...}, "settings": {...}, "perception": {...},
                 "summary": {name: number or null}, "looks": [...]},
     "latency": {stage: {"count", "p50_ms", "p95_ms", "max_ms"}, ...}}

The same bag, model, settings and code give the same bytes under "metrics" each time.
"""
from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from wm_ros.errors import UserError
from wm_ros.files import write_json
from wm_ros.replay.player import SURPRISE, Outcome, Settings

FORMAT = 1


def collect(outcome: Outcome, bag: dict[str, Any], model: dict[str, Any],
            settings: Settings) -> dict[str, Any]:
    """The part "metrics"."""
    seconds = outcome.seconds
    return plain({
        "bag": bag, "model": model, "settings": asdict(settings),
        "perception": {
            "images": outcome.images, "observations": outcome.observations,
            "seconds": round(seconds, 6), "future_seconds": round(outcome.reach, 6),
            "rate_hz": (outcome.observations - 1) / seconds if seconds > 0 else None,
            "troubles": dict(sorted(outcome.troubles.items()))},
        "commands": outcome.source,
        "summary": summarise(outcome.looks),
        "looks": outcome.looks})


def summarise(looks: list[dict[str, Any]]) -> dict[str, float | int | None]:
    """Mean values over the looks whose future was recorded; null where there is none."""
    judged = [look for look in looks if "futures" in look]
    result: dict[str, float | int | None] = {"looks": len(looks), "judged": len(judged)}
    steps = max((len(look["futures"]) for look in judged), default=0)
    for k in range(steps):
        entries = [look["futures"][k] for look in judged]
        after = f"{entries[0]['after']:.1f}s"
        for name in ("imagined_db", "copied_db", "imagined_changed_db", "copied_changed_db"):
            result[f"{name}_{after}"] = _mean([e.get(name) for e in entries])
    surprise = _known([look["futures"][0].get("surprise") for look in judged])
    result["surprise_mean"] = _mean(surprise)
    result["surprise_p95"] = float(np.percentile(surprise, 95)) if surprise else None
    result["surprised_share"] = _mean([float(v > SURPRISE) for v in surprise])
    for name in ("position_m", "end_position_m", "rotation_rad", "gripper_m"):
        result[f"command_{name}"] = _mean([look["commands"][name] for look in judged])
    plans = [look["plan"] for look in looks if "plan" in look]
    result["plan_fraction"] = _mean([p["fraction"] for p in plans])
    result["plan_complete_share"] = _mean([float(p["fraction"] >= 0.999) for p in plans])
    result["predicted_success_last"] = looks[-1]["predicted_success"] if looks else None
    return result


def latency(outcome: Outcome, wall: float) -> dict[str, Any]:
    """How long the stages took here and now."""
    stages = {}
    for name, values in outcome.latency.items():
        p50, p95 = np.percentile(values, [50, 95])
        stages[name] = {"count": len(values), "p50_ms": round(float(p50), 3),
                        "p95_ms": round(float(p95), 3), "max_ms": round(max(values), 3)}
    seconds = outcome.seconds
    return {"stages": stages, "wall_seconds": round(wall, 3),
            "times_real_time": round(seconds / wall, 3) if wall > 0 else None}


def write(path: Path, metrics: dict[str, Any], times: dict[str, Any]) -> None:
    """Write metrics.json atomically."""
    write_json(path, {"format": FORMAT, "metrics": metrics, "latency": times})


def read(path: Path) -> dict[str, Any]:
    """Read metrics.json, or the one in a folder.

    :raises UserError: there is none, or it is of another kind
    """
    file = path / "metrics.json" if path.is_dir() else path
    try:
        content = json.loads(file.read_text())
        if content["format"] != FORMAT or not isinstance(content["metrics"]["summary"], dict):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no metrics of a replay that this version reads: give the "
                        "metrics.json that `wm replay` wrote.") from error
    return dict(content)


def plain(value: Any) -> Any:
    """JSON without NaN: what is not finite becomes null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _known(values: list[Any]) -> list[float]:
    return [float(v) for v in values if v is not None and math.isfinite(v)]


def _mean(values: list[Any]) -> float | None:
    known = _known(values)
    return float(np.mean(known)) if known else None
