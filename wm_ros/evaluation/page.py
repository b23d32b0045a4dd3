# SPDX-License-Identifier: Apache-2.0
"""The page of an evaluation: rates with intervals, foresight, calibration, films."""
from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from wm_ros.files import write_text
from wm_ros.report.page import STYLE
from wm_ros.report.plots import BLUE, GREEN, GREY, ORANGE, svg_of


def write_page(summary: dict[str, Any], folder: Path, films: Iterable[Path]) -> Path:
    """Write ``index.html`` beside ``eval.json`` and the films; returns its path."""
    tasks = summary["tasks"]
    plots = {"success": ("Success with 95 % intervals", lambda axes: success(axes, tasks)),
             "foresight": ("Imagined frames beside copying the present one",
                           lambda axes: foresight(axes, summary["open_loop"])),
             "calibration": ("Predicted success against what happened",
                             lambda axes: reliability(axes, summary["calibration"]))}
    cards = []
    for name, (title, plot) in plots.items():
        size = (5.6, 0.6 + 0.32 * len(tasks)) if name == "success" else (5.6, 2.9)
        svg = svg_of(name, plot, folder / "plots", size)
        if svg:
            cards.append(f'<section class="card"><h2>{title}</h2>{svg}</section>')
    shown = "".join(
        f'<section class="card"><h2>{html.escape(path.stem)}</h2><img style="width:100%" alt="" '
        f'src="data:image/gif;base64,{base64.b64encode(path.read_bytes()).decode()}"></section>'
        for path in sorted(films))
    rows = "".join(
        f"<tr><td>{html.escape(task)}</td><td class=n>{row['successes']}/{row['trials']}</td>"
        f"<td class=n>{100 * row['interval'][0]:.0f}-{100 * row['interval'][1]:.0f} %</td>"
        f"<td class=n>{'' if row['seconds'] is None else row['seconds']}</td>"
        f"<td class=n>{row['furniture_contacts']}</td>"
        f"<td>{', '.join(map(str, row['failed_seeds']))}</td></tr>"
        for task, row in tasks.items())
    told = "".join(f"<tr><td>{html.escape(name)}</td><td class=n>{html.escape(value)}</td></tr>"
                   for name, value in open_loop(summary["open_loop"]))
    if told:
        cards.append('<section class="card"><h2>Open loop, on moments of expert episodes</h2>'
                     f'<table>{told}</table></section>')
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{100 * summary['mean']:.0f} % of {len(summary['episodes'])} episodes</h1>"
        f'<p class="lead">{html.escape(summary["model"])} · {summary["split"]} layouts · '
        f"{summary['candidates']} candidate(s) · act p50 {summary['act_ms_p50']:.0f} ms</p>"
        f'<div class="grid">{"".join(cards)}</div>'
        '<section class="card" style="margin-top:18px"><div class="scroll"><table><tr><th>task'
        "</th><th class=n>success</th><th class=n>95 %</th><th class=n>seconds</th><th class=n>"
        "steps in touch with furniture</th><th>failed "
        f'seeds</th></tr>{rows}</table></div></section><div class="grid">{shown}</div>'
        "<footer>Every number stands in eval.json. Written by <code>wm eval</code>.</footer>"
        "</main></body></html>\n")
    write_text(folder / "index.html", text)
    return folder / "index.html"


def success(axes: Axes, tasks: dict[str, Any]) -> bool:
    """Rates by task."""
    y = np.arange(len(tasks))[::-1]
    rates = np.array([row["successes"] / row["trials"] for row in tasks.values()])
    ends = np.array([row["interval"] for row in tasks.values()])
    axes.barh(y, rates, color=BLUE, alpha=0.8, height=0.62)
    axes.errorbar(rates, y, xerr=np.abs(ends.T - rates), fmt="none", ecolor=GREY, capsize=3)
    axes.set_yticks(y, list(tasks))
    axes.set(xlim=(0, 1), xlabel="success")
    axes.grid(axis="y", visible=False)
    return True


def foresight(axes: Axes, scores: dict[str, Any]) -> bool:
    """PSNR by horizon."""
    if not scores:
        return False
    horizons = list(scores["horizons"])
    for which, color in (("imagined", GREEN), ("copied", GREY)):
        axes.plot([float(h) for h in horizons],
                  [scores["horizons"][h][which]["psnr"] for h in horizons], "o-", color=color,
                  label=which)
    axes.set(xlabel="seconds ahead", ylabel="PSNR (dB)")
    axes.legend()
    return True


def open_loop(scores: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is measured there, in words; nothing where nothing was."""
    if not scores:
        return
    for seconds, row in scores["horizons"].items():
        for which, name in (("imagined", "imagined"), ("task_free", "imagined without words"),
                            ("copied", "copied")):
            yield (f"{name}, {seconds} s ahead: PSNR (where it changes), SSIM, GMSD",
                   "{psnr:.1f} dB ({changed:.1f} dB), {ssim:.3f}, {gmsd:.3f}".format(**row[which]))
    for kind, (right, asked) in scores["other"].items():
        yield f"other ways, other futures: {kind} right", f"{right}/{asked}"
    for who, mm in scores["action_mm"].items():
        yield f"chunk's distance from the expert's: {who}", f"{mm:.1f} mm"


def reliability(axes: Axes, scores: dict[str, Any]) -> bool:
    """The reliability diagram."""
    if not scores:
        return False
    predicted, happened, count = np.array(scores["bins"]).T
    axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1)
    axes.scatter(predicted, happened, s=12 + 120 * count / count.max(), color=ORANGE)
    axes.set(xlim=(0, 1), ylim=(-0.03, 1.03), xlabel="predicted", ylabel="share that succeeded")
    return True
