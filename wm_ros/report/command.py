# SPDX-License-Identifier: Apache-2.0
"""``wm report``: make the page, the animation and the plots of a run anew."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Write the HTML report, animation and plots of a recorded run."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder of the run")
    parser.add_argument("--out", type=Path, help="where to write (default: into RUN_DIR)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from wm_ros.report.render import render

    print(render(args.run_dir, args.out))
    return 0
