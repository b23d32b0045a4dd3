# SPDX-License-Identifier: Apache-2.0
"""Is one replay worse than another of the same bag?"""
from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from wm_ros.errors import UserError


@dataclass(frozen=True)
class Threshold:
    """How much worse a number may be.

    :param prefix: of the names in the summary that it is for
    :param larger_is_better: else smaller is
    :param relative: ``allowed`` is a share of the baseline's number
    """

    option: str
    prefix: str
    allowed: float
    larger_is_better: bool
    unit: str
    what: str
    relative: bool = False


THRESHOLDS = (
    Threshold("max-psnr-drop", "imagined_", 0.5, True, "dB",
              "imagined images may be this much further from the recorded ones"),
    Threshold("max-surprise-rise", "surprise_", 0.1, False, "share",
              "surprise may be higher by this share", relative=True),
    Threshold("max-position-rise", "command_position_m", 0.005, False, "m",
              "plans may be this much further from the recorded commands"),
    Threshold("max-end-position-rise", "command_end_position_m", 0.01, False, "m",
              "their ends may be"),
    Threshold("max-rotation-rise", "command_rotation_rad", 0.05, False, "rad",
              "their rotation may be"),
    Threshold("max-gripper-rise", "command_gripper_m", 0.005, False, "m",
              "their gripper opening may be"),
    Threshold("max-plan-drop", "plan_", 0.05, True, "share",
              "this much less of the plans may be drivable"),
)
LEAST = 0.1  # of a limit: what a relative threshold is a share of at least
LATENCY = "max-latency-rise"


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """One option a threshold."""
    for t in THRESHOLDS:
        parser.add_argument(f"--{t.option}", type=float, default=t.allowed,
                            metavar=t.unit.upper(), help=f"{t.what} (default {t.allowed:g})")
    parser.add_argument(f"--{LATENCY}", type=float, metavar="SHARE", help="medians of the stages "
                        "may be longer by this share (default: not compared, since it depends on "
                        "the machine)")


def compare(now: dict[str, Any], before: dict[str, Any], args: argparse.Namespace
            ) -> list[dict[str, Any]]:
    """Every number that both have: {name, before, now, allowed, worse}.

    :param now: content of metrics.json;  ``before`` that of the baseline
    """
    rows = []
    new, old = now["metrics"]["summary"], before["metrics"]["summary"]
    for name, was in old.items():
        found = next((t for t in THRESHOLDS if name.startswith(t.prefix)), None)
        if found is None or was is None:
            continue
        allowed = getattr(args, found.option.replace("-", "_"))
        limit = allowed * max(abs(was), LEAST) if found.relative else allowed
        value = new.get(name)
        worse = value is None or (was - value if found.larger_is_better else value - was) > limit
        rows.append({"name": name, "before": was, "now": value, "allowed": limit, "worse": worse})
    share = getattr(args, LATENCY.replace("-", "_"))
    if share is not None:
        stages = now["latency"]["stages"]
        for name, entry in before["latency"]["stages"].items():
            was = entry["p50_ms"]
            value = stages.get(name, {}).get("p50_ms")
            rows.append({"name": f"{name}_ms", "before": was, "now": value,
                         "allowed": share * was,
                         "worse": value is None or value - was > share * was})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The comparison as text."""
    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.4g}"

    lines = [f"{'':3}{'metric':32}{'before':>10}{'now':>10}{'allowed':>10}"]
    lines += [f"{'!' if r['worse'] else '':3}{r['name']:32}{number(r['before']):>10}"
              f"{number(r['now']):>10}{number(r['allowed']):>10}" for r in rows]
    return "\n".join(lines)


def check_same(now: dict[str, Any], before: dict[str, Any]) -> None:
    """Whether two replays can be compared; both are the part "metrics", or its beginning.

    :raises UserError: they are of different recordings or settings
    """
    if now["bag"]["fingerprint"] != before["bag"]["fingerprint"]:
        raise UserError(f"The baseline is of another recording ({before['bag']['name']}): compare "
                        "replays of the same bag.")
    other = [f"{k} {v}" for k, v in before["settings"].items() if now["settings"].get(k) != v]
    if other:
        raise UserError(f"The baseline was replayed with {', '.join(other)}: use the same options "
                        "for both.")
