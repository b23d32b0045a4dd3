# SPDX-License-Identifier: Apache-2.0
"""The program that runs the node of :mod:`wm_ros.nodes.imagination`."""
from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from wm_ros.nodes.forked import run_forked

NODE = "wm_ros.nodes.imagination"  # imported by the child alone


def main(args: Sequence[str] | None = None) -> int:
    """Run the node, in a child process that is soon there again when it is killed."""
    return run_forked(lambda: int(import_module(NODE).main(args)), "torch",
                      "wm_ros.world_model.video.model")


if __name__ == "__main__":
    raise SystemExit(main())
