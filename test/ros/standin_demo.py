# SPDX-License-Identifier: Apache-2.0
"""`wm demo` with the scripted model of the tests. For tests only."""
from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from wm_ros.cli import main
from wm_ros.nodes import node_list

STAND_IN = (sys.executable, str(Path(__file__).with_name("standin_imagination.py")))
node_list.IMAGINATION = dataclasses.replace(node_list.IMAGINATION, command=STAND_IN)

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
