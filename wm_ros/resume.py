# SPDX-License-Identifier: Apache-2.0
"""``wm resume``: let a stopped arm of the running nodes move again."""
from __future__ import annotations

import argparse

from wm_ros.stop import press

HELP = "Let a stopped arm of the running nodes move again; it waits for a new instruction."
DESCRIPTION = """\
Asks the monitor node to release the arm after a stop. Look at the arm first. The instruction that
was stopped does not go on: give it anew.

  wm resume                                  # the service /wm/resume
  wm instruct "put the mug on the tray"

Exit status: 0 when the arm may move, 1 when it may not (the sentence names the node that is
missing), 2 when nobody serves /wm/resume.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = DESCRIPTION


def run(_args: argparse.Namespace) -> int:
    """Run the command; 0 when the arm may move."""
    return press("/wm/resume")
