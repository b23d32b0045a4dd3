# SPDX-License-Identifier: Apache-2.0
"""From the planning node's traces: how long each stage took, and how long the arm rested."""
from __future__ import annotations

from typing import Any

import numpy as np

from wm_ros.report.run_log import RunLog

EARLY = 0.005  # s by which the controller's clock may be behind the planner's


def timing(traces: list[dict[str, Any]], accepted: list[float], log: RunLog) -> dict[str, Any]:
    """Summary of one run; every single duration goes into the log.

    :param traces: messages of /wm/trace, in order; their stamps are seconds
    :param accepted: when the arm's controller accepted trajectories (s)
    :returns: latency_ms from the stamp of the image to the accepted trajectory, rest_ms between
        two motions without a gripper's in between (p50, p95, max each), and segments
    """
    times = np.array(sorted(accepted))
    latency, rest = [], []
    before: dict[str, float] | None = None
    for trace in traces:
        stamps = trace["stamps"]
        if "sent" not in stamps:
            before = None
            continue
        at = np.searchsorted(times, stamps["sent"] - EARLY)
        first = float(times[at]) if at < len(times) else stamps.get("started", stamps["sent"])
        stages = {"perceive": stamps["asked"] - stamps["observed"],
                  "propose": stamps["proposed"] - max(stamps["asked"], stamps["observed"]),
                  "plan": stamps["planned"] - stamps["proposed"],
                  "wait for the arm": stamps["sent"] - stamps["planned"],
                  "accept": first - stamps["sent"],
                  "image to trajectory": first - stamps["observed"]}
        for name, seconds in stages.items():
            log.add_stage(name, max(seconds, 0.0))
        latency.append(stages["image to trajectory"])
        if before is not None and "gripped" not in before and "ended" in before:
            rest.append(first - before["ended"])
            log.add_stage("rest between chunks", max(rest[-1], 0.0))
        before = stamps
    return {"latency_ms": _spread(latency), "rest_ms": _spread(rest), "segments": len(latency)}


def _spread(seconds: list[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    p50, p95, most = np.percentile(np.array(seconds) * 1000.0, [50, 95, 100])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1), "max": round(float(most), 1)}
