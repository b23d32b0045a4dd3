# SPDX-License-Identifier: Apache-2.0
"""From a run folder to a page, an animation and plots."""

from __future__ import annotations

import shutil
from pathlib import Path

from wm_ros.errors import UserError
from wm_ros.files import write_text
from wm_ros.report import animation, plots
from wm_ros.report.page import page
from wm_ros.report.run import load_run


def render(folder: Path | str, out: Path | str | None = None) -> Path:
    """Write index.html, imagined.gif, imagined.webp and plots/*.png; returns the page's path.

    :param folder: what `RunLog.save` wrote
    :param out: where to write, the run folder itself by default; result.json is copied there
    :raises UserError: there is no run, or no room to write
    """
    run = load_run(folder)
    out = Path(folder if out is None else out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        gif, webp = out / "imagined.gif", out / "imagined.webp"
        animation.write(run, gif, webp)
        drawn = plots.draw(run, out / "plots")
        write_text(out / "index.html", page(run, webp.read_bytes(), drawn))
        if out.resolve() != run.folder.resolve():
            shutil.copyfile(run.folder / "result.json", out / "result.json")
    except OSError as error:
        raise UserError(f"The report could not be written to {out}: {error.strerror}.") from error
    return out / "index.html"
