# SPDX-License-Identifier: Apache-2.0
"""The program that runs the node of :mod:`wm_ros.nodes.imagination`."""
from __future__ import annotations

from collections.abc import Sequence

from wm_ros.nodes.forked import run_forked


def main(args: Sequence[str] | None = None) -> int:
    """Run the node, in a child process that is soon there again when it is killed."""
    def run() -> int:
        from wm_ros.nodes.imagination import main as serve
        return serve(args)
    return run_forked(run, "torch", "wm_ros.world_model.video.model")


if __name__ == "__main__":
    raise SystemExit(main())
