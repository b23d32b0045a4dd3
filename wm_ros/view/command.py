# SPDX-License-Identifier: Apache-2.0
"""``wm view``: the page in the browser, beside nodes that run already."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wm_ros.errors import UserError

HELP = "Show robot, room, cameras and imagination of the running nodes in a browser."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--port", type=int, default=8080, help="port of the page")
    parser.add_argument("--host", default="127.0.0.1",
                        help="address to serve it on; 0.0.0.0 lets others look and command too")
    parser.add_argument("--robot", default="",
                        help="robot by name or path of its YAML file (default: the parameters')")
    parser.add_argument("--config", type=Path, metavar="YAML",
                        help="your parameter file, as the launch files take it")


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from wm_ros.nodes import view_node
    from wm_ros.nodes.node_list import VIEW
    if not 0 < args.port < 65536:
        raise UserError(f"--port {args.port} is not possible; choose one from 1 to 65535.")
    given = {"port": args.port, "host": args.host}
    if args.robot:
        given["robot"] = args.robot
    own = []
    if args.config is not None:
        from wm_ros.launching.system import user_file
        own = user_file(str(args.config))
    words = VIEW.with_parameters(**given).command_line(own)
    print(f"The page is on http://{args.host}:{args.port}; Ctrl-C ends it.", file=sys.stderr)
    return view_node.main(["view", *words[words.index("--ros-args"):]])
