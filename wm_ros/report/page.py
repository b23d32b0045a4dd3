# SPDX-License-Identifier: Apache-2.0
"""The page: one HTML file that asks nothing of the network."""

from __future__ import annotations

import base64
import html
import io
import json
from typing import Any

import numpy as np
from PIL import Image

from wm_ros.report.plots import PLOTS
from wm_ros.report.run import Run

STYLE = """
:root { color-scheme: light dark; --paper: #f6f7f9; --card: #ffffff; --ink: #1b1f24;
  --soft: #5c6773; --line: #dde2e8; --good: #15803d; --goodbg: #dcfce7; --bad: #b42318;
  --badbg: #fee4e2; --accent: #2563eb; }
@media (prefers-color-scheme: dark) { :root { --paper: #0e1116; --card: #161b22; --ink: #e6e9ed;
  --soft: #93a0ad; --line: #272e37; --good: #6ee7a0; --goodbg: #10301d; --bad: #ff9c8f;
  --badbg: #3a1512; --accent: #6ea8fe; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 40px 20px 64px; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.015em; }
h2 { font-size: 1.05rem; margin: 0 0 12px; }
.lead { color: var(--soft); margin: 0 0 28px; }
.pill { display: inline-block; padding: 3px 12px; border-radius: 999px; font-weight: 600;
  font-size: .9rem; margin-bottom: 14px; }
.pill.good { color: var(--good); background: var(--goodbg); }
.pill.bad { color: var(--bad); background: var(--badbg); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 18px 20px; margin-bottom: 18px; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px;
  margin-bottom: 18px; }
.number { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 14px 16px; }
.number b { display: block; font-size: 1.45rem; font-variant-numeric: tabular-nums;
  letter-spacing: -0.01em; }
.number span { color: var(--soft); font-size: .85rem; }
.film { text-align: center; background: #15181d; padding: 0; overflow: hidden; }
.film img { width: 100%; max-width: 780px; display: block; margin: 0 auto; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 18px; }
.grid .card { margin: 0; min-width: 0; }
.grid svg { width: 100%; height: auto; display: block; color: var(--ink); }
.strip { display: grid; grid-template-columns: auto repeat(6, 1fr); gap: 6px; align-items: center;
  color: var(--soft); font-size: .82rem; }
.strip img { width: 100%; border-radius: 8px; display: block; }
.strip .empty { aspect-ratio: 1; border: 1px dashed var(--line); border-radius: 8px; }
.strip .time { text-align: center; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-size: .88rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
td.n, th.n { text-align: right; }
details { margin-top: 18px; } summary { cursor: pointer; color: var(--soft); }
.scroll { overflow-x: auto; margin-top: 10px; }
pre { font-size: .8rem; overflow-x: auto; margin: 10px 0 0; }
footer { color: var(--soft); font-size: .85rem; margin-top: 26px; }
@media (max-width: 560px) { .grid { grid-template-columns: 1fr; } h1 { font-size: 1.5rem; } }
"""


def page(run: Run, film: bytes, plots: dict[str, str]) -> str:
    """The whole page.

    :param film: the animation as WebP
    :param plots: name -> inline SVG
    """
    result = run.result
    good = bool(result["success"])
    verdict = result.get("verdict", "done" if good else "not done")
    title = result.get("instruction") or "A run"
    where = " · ".join(
        str(result[key]) for key in ("room", "task", "robot", "model") if result.get(key))
    seed = result.get("seed")
    if seed is not None:
        where += f"{' · ' if where else ''}seed {seed}"
    parts = [
        f'<span class="pill {"good" if good else "bad"}">{_text(verdict)}</span>',
        f"<h1>“{_text(title)}”</h1>",
        f'<p class="lead">{_text(where)}</p>',
        _numbers(run),
        f'<div class="card film"><img alt="What the camera saw beside what was imagined before" '
        f'src="{_data(film, "image/webp")}"></div>',
        _strip(run),
        '<div class="grid">',
        *(f'<section class="card"><h2>{PLOTS[name][0]}</h2>{svg}</section>'
          for name, svg in plots.items()),
        "</div>",
        _table("Events", ["time", "what"], [[f"{e['t']:.1f} s", e["text"]]
                                            for e in result["events"]], open_=True),
        _table("Looks", ["time", "imagined (dB)", "copied (dB)", "surprise", "from the commands "
                         "(m)", "drivable", "why no further"],
               [_look(look) for look in result.get("looks", [])]),
        _table("Chunks", ["time", "id", "predicted success", "uncertainty", "frames imagined"],
               [[f"{c['t']:.2f} s", c["id"], _number(c["predicted_success"]),
                 _number(c["uncertainty"]), c["frames"]] for c in result["chunks"]]),
        _table("Stages", ["stage", "times", "median (ms)", "p95 (ms)", "worst (ms)"],
               [[s["name"], s["count"], s["p50_ms"], s["p95_ms"], s["max_ms"]]
                for s in result["stages"]]),
        "<details><summary>result.json</summary><pre>"
        + _text(json.dumps(_short(result), indent=2)) + "</pre></details>",
        "<footer>Left: the scene camera. Right: what the world model had imagined for that moment "
        "before the arm moved. Written by <code>wm report</code>.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main></body></html>\n"
    )


def _numbers(run: Run) -> str:
    result = run.result
    times = result.get("times", {})
    shown: list[tuple[str, str]] = []
    duration = result.get("duration", times.get("execution", run.duration))
    if duration:
        shown.append((f"{float(duration):.1f} s", "of the recording" if "looks" in result
                      else "from instruction to end"))
    chunks = result["chunks"]
    if chunks:
        if "looks" in result:
            shown.append((str(len(chunks)), "futures compared"))
        else:  # not every chunk's future was drawn
            shown.append((str(result.get("chunks_executed", len(chunks))), "chunks executed"))
        last = chunks[-1]["predicted_success"]
        if np.isfinite(last):
            shown.append((f"{last:.0%}", "predicted success, last chunk"))
    values = [s["value"] for s in result["surprise"] if np.isfinite(s["value"])]
    if values:
        over = sum(s["value"] > s["threshold"] for s in result["surprise"])
        shown.append((f"{np.mean(values):.2f}", f"mean surprise, {over} times above threshold"))
    total = next((s for s in result["stages"] if s["name"] in ("total", "camera_to_trajectory")),
                 None)
    if total is not None:
        shown.append((f"{total['p95_ms']:.0f} ms", "camera to trajectory, p95"))
    for key, what in (("furniture_contacts", "touches of the furniture"),
                      ("startup_seconds", "seconds to start")):
        if result.get(key) is not None:
            shown.append((f"{result[key]:g}", what))
    cells = "".join(f'<div class="number"><b>{_text(n)}</b><span>{_text(w)}</span></div>'
                    for n, w in shown)
    return f'<div class="numbers">{cells}</div>' if cells else ""


def _look(look: dict[str, Any]) -> list[Any]:
    """A row about one look of a replay: its first imagined image, its plan."""
    first, plan = look.get("futures", [{}])[0], look.get("plan", {})

    def number(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    return [f"{look['t']:.1f} s", number(first.get("imagined_db"), 1),
            number(first.get("copied_db"), 1), number(first.get("surprise"), 2),
            number(look.get("commands", {}).get("position_m"), 3),
            "–" if "fraction" not in plan else f"{plan['fraction']:.0%}", plan.get("refused", "")]


def _strip(run: Run) -> str:
    """Six moments, real above imagined: of those that something was imagined for, if any."""
    pairs = run.pairs()
    if not pairs:
        return ""
    pairs = [pair for pair in pairs if pair[2] is not None] or pairs
    wanted = np.linspace(run.real_t[0], run.real_t[-1], 6)
    nearest = {int(np.abs(np.array([t for t, *_ in pairs]) - time).argmin()) for time in wanted}
    chosen = [pairs[i] for i in sorted(nearest)]
    cells = ["<span></span>", *(f'<span class="time">{t:.1f} s</span>' for t, *_ in chosen)]
    cells += ["<span>camera</span>", *(_img(run.real[i]) for _, i, _ in chosen)]
    cells += ["<span>imagined</span>"]
    cells += [_img(run.imagined[m[0]]) if m else '<div class="empty"></div>'
              for *_, m in chosen]
    return f'<section class="card"><h2>Six moments</h2><div class="strip">{"".join(cells)}' \
           "</div></section>"


def _table(name: str, head: list[str], rows: list[list[Any]], open_: bool = False) -> str:
    if not rows:
        return ""
    cells = "".join(f"<th>{_text(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{_text(c)}</td>" for c in row) + "</tr>" for row in rows)
    return (f"<details{' open' if open_ else ''}><summary>{name} ({len(rows)})</summary>"
            f'<div class="scroll"><table><tr>{cells}</tr>{body}</table></div></details>')


def _short(result: dict[str, Any]) -> dict[str, Any]:
    """Without the long lists, which stand elsewhere on the page."""
    return {k: v for k, v in result.items() if k not in ("surprise", "chunks", "events", "looks")}


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"


def _text(value: Any) -> str:
    return html.escape(str(value))


def _img(frame: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(frame).resize((192, 192), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return f'<img alt="" src="{_data(buffer.getvalue(), "image/png")}">'


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
