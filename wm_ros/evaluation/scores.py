# SPDX-License-Identifier: Apache-2.0
"""Scores kept beside a checkpoint, and the tables that README and model card take from them.

``wm eval --record`` writes ``scores.json`` into the checkpoint's folder, one entry a split;
``make docs`` fills what stands between ``<!-- table -->`` (``foresight``, ``other``, ``actions``,
``calibration``) and ``<!-- end -->``, so that no page quotes other numbers than the file.
"""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from wm_ros.files import write_json
from wm_ros.paths import share

FILE = "scores.json"
UNMEASURED = "Not measured."
PAGES = {"checkpoints/video": ("README.md", "checkpoints/video/README.md"),
         "checkpoints/video_fifty": ("checkpoints/video_fifty/README.md",)}


def record(summary: dict[str, Any], folder: Path, commit: str, machine: dict[str, Any]) -> Path:
    """Keep a summary of ``wm eval`` as this split's scores; returns the file."""
    path = folder / FILE
    scores = json.loads(path.read_text()) if path.exists() else {}
    calibration = {k: v for k, v in summary["calibration"].items() if k != "bins"}
    scores[summary["split"]] = {
        "first_seed": summary["first_seed"], "tasks": summary["tasks"],
        "mean": summary["mean"], "candidates": summary["candidates"],
        "act_ms_p50": summary["act_ms_p50"], "act_ms_p95": summary["act_ms_p95"],
        "calibration": calibration, "open_loop": summary["open_loop"], "commit": commit,
        "precision": summary["precision"],
        "machine": {k: machine[k] for k in ("cpu", "cores") if k in machine}}
    write_json(path, scores)
    return path


def tables(scores: dict[str, Any]) -> dict[str, str]:
    """Markdown by the name of its place in a page; none before the split of new layouts."""
    if "held_out" not in scores:
        return {}
    held_out = scores["held_out"]
    return {"table": _successes(scores), "foresight": _foresight(held_out["open_loop"]),
            "other": _other(held_out["open_loop"]),
            "actions": _actions(held_out["open_loop"]),
            "calibration": _calibration(held_out["calibration"])}


def _successes(scores: dict[str, Any]) -> str:
    new, novel = scores["held_out"], scores.get("novel", {"tasks": {}})
    lines = ["| task | new layouts | 95 % interval | time to success | touches | new layouts, "
             "looks and words | touches |", "|---|---|---|---|---|---|---|"]
    for task, row in new["tasks"].items():
        other = novel["tasks"].get(task)
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f} s"
        lines.append(f"| {task} | {row['successes']}/{row['trials']} | "
                     f"{100 * row['interval'][0]:.0f}-{100 * row['interval'][1]:.0f} % | "
                     f"{seconds} | {row['furniture_contacts']} | "
                     + (f"{other['successes']}/{other['trials']} | {other['furniture_contacts']} |"
                        if other else "| |"))
    last = f"**{100 * novel['mean']:.0f} %**" if "mean" in novel else ""
    return "\n".join([*lines, f"| **mean** | **{100 * new['mean']:.0f} %** | | | | {last} | |"])


def _foresight(scores: dict[str, Any]) -> str:
    if not scores:
        return UNMEASURED
    lines = ["| seconds ahead | imagined PSNR / SSIM / GMSD | copy of the present | gain | "
             "where it changes |", "|---|---|---|---|---|"]
    for seconds, row in scores["horizons"].items():
        imagined, copied = ("{psnr:.1f} dB / {ssim:.3f} / {gmsd:.3f}".format(**row[k])
                            for k in ("imagined", "copied"))
        gain, spread = row["gain_db"]
        there = row["imagined"]["changed"], row["copied"]["changed"]
        lines.append(f"| {seconds} | {imagined} | {copied} | {gain:+.1f} ± {spread:.1f} dB | "
                     f"{there[0]:.1f} dB, copied {there[1]:.1f} dB |")
    free = [f"{row['task_free']['psnr']:.1f} dB after {seconds} s"
            for seconds, row in scores["horizons"].items() if "task_free" in row]
    if free:
        lines += ["", f"Without words (an empty instruction): {' and '.join(free)}."]
    return "\n".join(lines)


def _other(scores: dict[str, Any]) -> str:
    if not scores:
        return UNMEASURED
    (image, images), (thing, things) = scores["other"]["image"], scores["other"]["things"]
    return ("From the same moments the hand goes straight one way, and the opposite one. Of "
            f"{images} imagined frames {image} ({100 * image / max(1, images):.0f} %) are\nnearer "
            "to what their own way leads to than to what the other does; by the pixels of things "
            f"that the hand\nmoves alone, {thing} of {things}.")


def _actions(scores: dict[str, Any]) -> str:
    if not scores:
        return UNMEASURED
    mm = scores["action_mm"]
    return (f"Mean position error of a chunk against the expert's at {scores['moments']} moments: "
            f"policy {mm['policy']:.1f} mm, inverse\ndynamics (true frames given) "
            f"{mm['inverse']:.1f} mm, staying where one is {mm['stay']:.1f} mm.")


def _calibration(scores: dict[str, Any]) -> str:
    if not scores:
        return UNMEASURED
    return (f"Predicted success that the task is done when the chunk ends, {scores['looks']} "
            f"looks: Brier {scores['brier']:.3f}, expected\ncalibration error "
            f"{scores['ece']:.3f}, AUROC {scores['auroc']:.3f} (share that succeeded "
            f"{100 * scores['base_rate']:.0f} %).")


def fill(page: str, parts: dict[str, str]) -> str:
    """The page with every known place filled."""
    for name, text in parts.items():
        place = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=\n<!-- end -->)", re.S)
        page = place.sub(text.replace("\\", r"\\"), page)
    return page


def main() -> None:
    """Fill the tables of the pages."""
    for folder, pages in PAGES.items():
        parts = tables(json.loads((share() / folder / FILE).read_text()))
        for name in pages:
            path = share() / name
            path.write_text(fill(path.read_text(encoding="utf-8"), parts), encoding="utf-8")
            print(f"wrote the tables of {name}")


if __name__ == "__main__":
    main()
