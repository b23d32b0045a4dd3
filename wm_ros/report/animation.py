# SPDX-License-Identifier: Apache-2.0
"""The animation: what the camera saw, beside what had been imagined for that moment."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wm_ros.report.run import Run

PANEL = 288  # pixels, side of a panel
GAP, TOP, BOTTOM = 12, 34, 74
MAX_FRAMES = 160
INK, PAPER, FAINT, ACCENT, ALARM = "#e8eaed", "#15181d", "#7d8590", "#4aa8ff", "#ff7a59"


def frames(run: Run) -> list[Image.Image]:
    """The pictures of the animation, evenly spread over the run."""
    pairs = run.pairs()
    step = max(1, -(-len(pairs) // MAX_FRAMES))
    canvas = _Canvas(run)
    # a chunk foretells two moments, not every one: the newest picture stays until the next
    held = accumulate(pairs[::step], lambda last, now: (*now[:2], now[2] or last[2]))
    return [canvas.draw(*pair) for pair in held]


def write(run: Run, gif: Path, webp: Path | None = None) -> None:
    """Write the animation as GIF, and as WebP (smaller, all colours) where asked for."""
    pictures = frames(run)
    if not pictures:
        pictures = [Image.new("RGB", (2 * PANEL + 3 * GAP, PANEL + TOP + BOTTOM), PAPER)]
    ms = round(1000 * run.duration / max(len(pictures) - 1, 1))
    ms = int(np.clip(ms, 50, 500))
    delays = [ms] * (len(pictures) - 1) + [2000]
    palette = pictures[len(pictures) // 2].quantize(255, method=Image.Quantize.MEDIANCUT)
    indexed = [p.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for p in pictures]
    indexed[0].save(gif, save_all=True, append_images=indexed[1:], duration=delays, loop=0,
                    optimize=False)
    if webp is not None:
        pictures[0].save(webp, save_all=True, append_images=pictures[1:], duration=delays, loop=0,
                         quality=72, method=2)


class _Canvas:
    """Draws one moment: two panels, the time, and the surprise so far."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.size = (2 * PANEL + 3 * GAP, PANEL + TOP + BOTTOM)
        self.font = ImageFont.load_default(14)
        self.small = ImageFont.load_default(12)
        surprise = run.result["surprise"]
        self.t = np.array([s["t"] for s in surprise])
        self.value = np.array([s["value"] for s in surprise], float)
        self.threshold = float(surprise[-1]["threshold"]) if surprise else 0.0
        finite = self.value[np.isfinite(self.value)]
        self.top = max(1.25 * self.threshold, float(finite.max(initial=0.0)), 1e-9)

    def draw(self, time: float, real: int, imagined: tuple[int, int] | None) -> Image.Image:
        picture = Image.new("RGB", self.size, PAPER)
        pen = ImageDraw.Draw(picture)
        left, right = GAP, 2 * GAP + PANEL
        pen.text((left, 9), "camera", INK, font=self.font)
        pen.text((right, 9), "imagined before", INK, font=self.font)
        picture.paste(_panel(self.run.real[real]), (left, TOP))
        if imagined is None:
            box = (right, TOP, right + PANEL - 1, TOP + PANEL - 1)
            pen.rectangle(box, outline="#2b3038")
            pen.text((right + PANEL // 2, TOP + PANEL // 2), "nothing imagined yet", FAINT,
                     font=self.small, anchor="mm")
        else:
            frame, chunk = imagined
            picture.paste(_panel(self.run.imagined[frame]), (right, TOP))
            pen.text((right + 6, TOP + PANEL - 6), f"for {self.run.imagined_t[frame]:.1f} s", INK,
                     font=self.small, anchor="ls", stroke_width=2, stroke_fill=PAPER)
            about = self.run.result["chunks"][chunk]
            success = about["predicted_success"]
            if np.isfinite(success):
                pen.text((right + PANEL, 9), f"success {success:.0%}", FAINT, font=self.font,
                         anchor="ra")
        pen.text((left + PANEL, 9), f"{time:5.1f} s", FAINT, font=self.font, anchor="ra")
        self._surprise(pen, time)
        return picture

    def _surprise(self, pen: ImageDraw.ImageDraw, time: float) -> None:
        x0, x1 = GAP, self.size[0] - GAP
        y0, y1 = TOP + PANEL + 30, self.size[1] - 10
        pen.text((x0, TOP + PANEL + 9), "surprise", INK, font=self.small)
        pen.line((x0, y1, x1, y1), fill="#2b3038")
        if not len(self.t):
            return
        end = max(self.run.real_t[-1], self.t[-1], 1e-6)

        def at(t: float, v: float) -> tuple[float, float]:
            return x0 + (x1 - x0) * t / end, y1 - (y1 - y0) * min(v / self.top, 1.0)

        level = at(0, self.threshold)[1]
        for x in range(x0, x1, 8):
            pen.line((x, level, x + 3, level), fill=FAINT)
        so_far = (self.t <= time + 1e-6) & np.isfinite(self.value)
        points = [at(t, v) for t, v in zip(self.t[so_far], self.value[so_far], strict=True)]
        if len(points) > 1:
            pen.line(points, fill=ACCENT, width=2)
        if points:
            value = float(self.value[so_far][-1])
            color = ALARM if value > self.threshold else ACCENT
            px, py = points[-1]
            pen.ellipse((px - 3, py - 3, px + 3, py + 3), fill=color)
            pen.text((x1, TOP + PANEL + 9), f"{value:.2f}", color, font=self.small, anchor="ra")


def _panel(frame: np.ndarray) -> Image.Image:
    return Image.fromarray(frame).resize((PANEL, PANEL), Image.Resampling.BICUBIC)
