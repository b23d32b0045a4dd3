# SPDX-License-Identifier: Apache-2.0
"""``wm view``: the page in the browser, beside nodes that run already."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from wm_ros.errors import UserError

HELP = "Show robot, room, cameras and imagination of the running nodes in a browser."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--port", type=int,
                        help="port of the page (default: the parameters', 8080)")
    parser.add_argument("--host", help="address to serve it on; 0.0.0.0 lets others look and "
                        "command too (default: the parameters', 127.0.0.1)")
    parser.add_argument("--robot", default="",
                        help="robot by name or path of its YAML file (default: the parameters')")
    parser.add_argument("--config", type=Path, metavar="YAML",
                        help="your parameter file, as the launch files take it")


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from wm_ros.launching.system import user_file
    from wm_ros.nodes import view_node
    from wm_ros.nodes.node_list import VIEW
    from wm_ros.robot import load_robot
    if args.port is not None and not 0 < args.port < 65536:
        raise UserError(f"--port {args.port} is not possible; choose one from 1 to 65535.")
    given: dict[str, Any] = {name: value for name, value in
                             (("port", args.port), ("host", args.host)) if value is not None}
    if args.robot:
        load_robot(args.robot)
        given["robot"] = args.robot
    own = user_file(str(args.config or ""), "--config ")
    words = VIEW.with_parameters(**given).command_line(own)
    return view_node.main(["view", *words[words.index("--ros-args"):]])
