# SPDX-License-Identifier: Apache-2.0
"""The table and the plot of ``wm compare``: what each model can do, and what it costs."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import binomtest

from wm_ros.evaluation import foresight
from wm_ros.evaluation.statistics import wilson
from wm_ros.report.plots import BLUE, GREEN, GREY, ORANGE, svg_of

NONE = "-"


def summarise(results: dict[str, dict[str, Any]], tasks: list[str]) -> dict[str, Any]:
    """One row a model; success is compared seed by seed with the first model that acts."""
    rows: dict[str, dict[str, Any]] = {}
    first: dict[tuple[str, int], bool] | None = None
    for label, kept in results.items():
        episodes = kept["episode"]
        acts = [e for e in episodes if not e["refused"]]
        won = {(e["task"], e["seed"]): bool(e["success"]) for e in episodes}
        row = {key: kept[key] for key in ("family", "mark", "precision", "training")} | {
            "cost": kept.get("cost", {}), "foresight": foresight.summarise(kept["foresight"])}
        if acts:
            wins = sum(won.values())
            row |= {"successes": wins, "trials": len(won), "interval": wilson(wins, len(won)),
                    "tasks": {t: [sum(w for (name, _), w in won.items() if name == t),
                                  sum(name == t for name, _ in won)] for t in tasks},
                    "contacts": sum(e["furniture_contacts"] for e in episodes)}
            row["beside_first"] = None if first is None else paired(won, first)
            first = first or won
        else:
            row["refused"] = episodes[0]["refused"] if episodes else ""
        rows[label] = row
    return {"models": rows, "tasks": tasks}


def paired(mine: dict[tuple[str, int], bool],
           other: dict[tuple[str, int], bool]) -> dict[str, Any]:
    """Seeds that only one of two models does, with the sign test's p (McNemar, exact)."""
    more = sum(mine[k] and not other[k] for k in mine)
    less = sum(other[k] and not mine[k] for k in mine)
    p = binomtest(more, more + less).pvalue if more + less else 1.0
    return {"only_this": more, "only_first": less, "p": round(float(p), 4)}


def markdown(summary: dict[str, Any]) -> str:
    """Two tables: the models, then success by task."""
    lines = ["| model | family | success (95 %) | only it / only the first | act | imagine | "
             "memory | training | frames over copying | surprise AUROC |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    notes: list[str] = []
    for label, row in summary["models"].items():
        lines.append("| " + " | ".join([
            label, row["family"], _success(row), _pairs(row), _time(row, "act"),
            _time(row, "imagine"), _memory(row), _training(row["training"]),
            _gain(row["foresight"]), _auroc(row["foresight"])]) + " |")
        if row.get("refused"):
            notes.append(f"{label} does not act by itself: {row['refused']}")
        if row["foresight"]["refused"]:
            notes.append(f"{label} was not asked to imagine: {row['foresight']['refused']}")
    acting = {k: r for k, r in summary["models"].items() if "tasks" in r}
    if acting:
        lines += ["", "| task | " + " | ".join(acting) + " |", "|---|" + "---|" * len(acting)]
        for task in summary["tasks"]:
            counts = (row["tasks"][task] for row in acting.values())
            lines.append(f"| {task} | " + " | ".join(f"{w}/{n}" for w, n in counts) + " |")
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def write_plot(summary: dict[str, Any], folder: Path) -> None:
    """``compare.svg`` and ``compare.png``: success with intervals beside time."""
    models = summary["models"]
    size = (6.4, 1.0 + 0.5 * len(models))
    svg = svg_of("compare", lambda axes: bars(axes, models), folder, size)
    if svg is not None:
        (folder / "compare.svg").write_text(svg)


def bars(axes: Axes, models: dict[str, Any]) -> bool:
    """Success by model, with the time of one proposal written beside it."""
    acting = {label: row for label, row in models.items() if "trials" in row}
    if not acting:
        return False
    y = np.arange(len(acting))[::-1]
    rates = np.array([r["successes"] / r["trials"] for r in acting.values()])
    ends = np.array([r["interval"] for r in acting.values()])
    colors = [(BLUE, GREEN, ORANGE, GREY)[i % 4] for i in range(len(acting))]
    axes.barh(y, rates, color=colors, alpha=0.8, height=0.6)
    axes.errorbar(rates, y, xerr=np.abs(ends.T - rates), fmt="none", ecolor=GREY, capsize=3)
    for at, row, end in zip(y, acting.values(), ends[:, 1], strict=True):
        axes.annotate(f"act {_time(row, 'act')}", (end, at), xytext=(6, 0), va="center",
                      textcoords="offset points", fontsize=9)
    axes.set_yticks(y, list(acting))
    axes.set(xlim=(0, 1.25), xlabel="success, 95 % interval", xticks=np.linspace(0, 1, 6))
    axes.grid(axis="y", visible=False)
    return True


def _success(row: dict[str, Any]) -> str:
    if "trials" not in row:
        return "does not act"
    low, high = row["interval"]
    return (f"{row['successes']}/{row['trials']} = {100 * row['successes'] / row['trials']:.0f} % "
            f"({100 * low:.0f}-{100 * high:.0f})")


def _pairs(row: dict[str, Any]) -> str:
    pair = row.get("beside_first")
    return f"{pair['only_this']} / {pair['only_first']}, p = {pair['p']:.2g}" if pair else NONE


def _time(row: dict[str, Any], call: str) -> str:
    times = row["cost"].get("latency", {}).get(call)
    return f"{times['p50_ms']:.0f} ms" if times else NONE


def _memory(row: dict[str, Any]) -> str:
    memory = row["cost"].get("memory")
    return f"{memory['peak_mib']:.0f} MiB" if memory else NONE


def _training(cost: dict[str, Any]) -> str:
    parts = [f"{cost['samples']:,} samples"] if "samples" in cost else []
    parts += [f"{cost['episodes']} episodes"] if "episodes" in cost else []
    parts += [f"{cost['hours']:.1f} h"] if "hours" in cost else []
    return ", ".join(parts) or "none"


def _gain(scores: dict[str, Any]) -> str:
    gains = [f"{mean:+.1f} dB at {time} s" for time, (mean, _) in scores["gain_db"].items()]
    return ", ".join(gains) or NONE


def _auroc(scores: dict[str, Any]) -> str:
    value, ahead = scores["surprise_auroc"], scores["surprise_ahead"]
    if value is None:
        return NONE
    return f"{value:.2f}" + (f" at {ahead:.1f} s" if ahead is not None else "")
