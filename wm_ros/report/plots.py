# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG that takes the page's own text colour, so that light and dark both look right."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from wm_ros.report.run import Run  # noqa: E402

TEXT = "#0a0b0c"  # replaced by the page's text colour
BLUE, ORANGE, GREEN, GREY = "#3b82f6", "#f97316", "#22a06b", "#8b949e"
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "wm",  # the same run gives the same file
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": TEXT,
    "axes.edgecolor": GREY,
    "axes.labelcolor": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.grid": True,
    "grid.color": GREY,
    "grid.alpha": 0.22,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def surprise(axes: Axes, run: Run) -> bool:
    """Surprise over time, and the level from which on it is too much."""
    rows = run.result["surprise"]
    if not rows:
        return False
    t = [row["t"] for row in rows]
    value = np.array([row["value"] for row in rows], float)
    level = np.array([row["threshold"] for row in rows], float)
    axes.plot(t, value, color=BLUE, lw=1.8, label="surprise")
    axes.plot(t, level, color=ORANGE, lw=1.2, ls="--", label="threshold")
    axes.fill_between(t, value, level, where=list(value > level), color=ORANGE, alpha=0.25)
    axes.set(xlabel="time (s)", ylabel="surprise",
             ylim=(0, 1.3 * np.nanmax([*value, *level, 1e-9])))
    axes.legend(loc="upper right", ncols=2)
    return True


def stages(axes: Axes, run: Run) -> bool:
    """How long each stage of the loop takes: median and 95th percentile."""
    rows = run.result["stages"]
    if not rows:
        return False
    y = np.arange(len(rows))[::-1]
    p50, p95 = ([row[k] for row in rows] for k in ("p50_ms", "p95_ms"))
    axes.barh(y, p95, color=BLUE, alpha=0.25, height=0.6, label="p95")
    axes.barh(y, p50, color=BLUE, height=0.6, label="median")
    for at, row in zip(y, rows, strict=True):
        axes.annotate(f"{row['p50_ms']:.0f} / {row['p95_ms']:.0f}", (row["p95_ms"], at),
                      xytext=(6, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(y, [row["name"] for row in rows])
    axes.set(xlabel="milliseconds, median / p95", xlim=(0, 1.25 * max(*p95, 1e-3)))
    axes.grid(axis="y", visible=False)
    return True


def trajectory(axes: Axes, run: Run) -> bool:
    """Where the tool centre point went."""
    if not len(run.tcp):
        return False
    for i, (name, color) in enumerate((("x", BLUE), ("y", ORANGE), ("z", GREEN))):
        axes.plot(run.tcp_t, run.tcp[:, i], color=color, lw=1.6, label=name)
    axes.set(xlabel="time (s)", ylabel="tool centre point (m)")
    axes.legend(loc="upper right", ncols=3)
    return True


def foresight(axes: Axes, run: Run) -> bool:
    """The success that was foretold with each chunk."""
    rows = [r for r in run.result["chunks"] if np.isfinite(r["predicted_success"])]
    if not rows:
        return False
    axes.plot([r["t"] for r in rows], [r["predicted_success"] for r in rows], "o-", color=GREEN,
              lw=1.4, ms=4)
    axes.set(xlabel="time (s)", ylabel="predicted success", ylim=(-0.03, 1.03))
    return True


def futures(axes: Axes, run: Run) -> bool:
    """Replays: how near the imagined images came to the recorded ones, and copying the present."""
    looks = [look for look in run.result.get("looks", [])
             if look.get("futures") and "imagined_db" in look["futures"][0]]
    if not looks:
        return False
    t = [look["t"] for look in looks]
    for name, label, color in (("imagined_db", "imagined", BLUE),
                               ("copied_db", "the present image", GREY)):
        axes.plot(t, [look["futures"][0][name] for look in looks], "o-", color=color, lw=1.4,
                  ms=4, label=label)
    axes.set(xlabel="time (s)", ylabel=f"PSNR after {looks[0]['futures'][0]['after']:.1f} s (dB)")
    axes.legend(loc="best", ncols=2)
    return True


def commands(axes: Axes, run: Run) -> bool:
    """Replays: how far the plans were from what the arm was told."""
    looks = [look for look in run.result.get("looks", []) if "commands" in look]
    if not looks:
        return False
    t = [look["t"] for look in looks]
    for name, label, color in (("position_m", "mean of the path", BLUE),
                               ("end_position_m", "its end", ORANGE)):
        axes.plot(t, [look["commands"][name] for look in looks], "o-", color=color, lw=1.4, ms=4,
                  label=label)
    axes.set(xlabel="time (s)", ylabel="plan from command (m)", ylim=(0, None))
    axes.legend(loc="best", ncols=2)
    return True


PLOTS: dict[str, tuple[str, Callable[[Axes, Run], bool]]] = {
    "surprise": ("How surprised the model was", surprise),
    "stages": ("Where the time goes", stages),
    "trajectory": ("Where the hand went", trajectory),
    "futures": ("Imagined against recorded", futures),
    "commands": ("Plans against recorded commands", commands),
    "foresight": ("How well it thought it would go", foresight),
}


def draw(run: Run, png_folder: Path | None = None) -> dict[str, str]:
    """Plot name -> inline SVG; plots without data are left out. PNG copies where asked for."""
    drawn = {}
    for name, (_, plot) in PLOTS.items():
        def shown(axes: Axes, plot: Callable[[Axes, Run], bool] = plot) -> bool:
            return plot(axes, run)

        svg = svg_of(name, shown, png_folder)
        if svg is not None:
            drawn[name] = svg
    return drawn


def svg_of(name: str, plot: Callable[[Axes], bool], png_folder: Path | None = None,
           size: tuple[float, float] = (5.6, 2.9)) -> str | None:
    """Inline SVG of one plot, or None where ``plot`` says that it has nothing to show."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        svg = None
        if plot(axes):
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
            svg = _inline(buffer.getvalue(), name)
            if png_folder is not None:
                png_folder.mkdir(parents=True, exist_ok=True)
                figure.savefig(png_folder / f"{name}.png", dpi=130, facecolor="white")
        plt.close(figure)
    return svg


def _inline(svg: str, name: str) -> str:
    """Ready to stand in a page: no XML head, ids of its own, the page's colours and fonts."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>',
                 r'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="\1" role="img">',
                 svg, count=1)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px inherit; font-family: inherit", svg)
    return svg.replace(TEXT, "currentColor")
