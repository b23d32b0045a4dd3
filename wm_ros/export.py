# SPDX-License-Identifier: Apache-2.0
"""``wm export``: a checkpoint's network as graphs that ONNX Runtime runs."""
from __future__ import annotations

import argparse

from wm_ros.errors import UserError

HELP = ("Make a checkpoint's network ready for ONNX Runtime, twice as fast on a CPU; takes a "
        "minute, once.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", nargs="?", default="video",
                        help="checkpoint name or folder (default video)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from wm_ros.world_model.loading import load_model, takes

    if not takes(args.model, "backend"):
        raise UserError(f"{args.model} has no network that ONNX Runtime could run: export a "
                        "checkpoint of the family video.")
    print(f"Exporting {args.model}, unless that was done before.", flush=True)
    load_model(args.model, precision="fp32", backend="onnx")
    print(f"{args.model} is ready: nodes take it from now on (backend: auto), "
          "`wm eval --backend onnx` too.")
    return 0
