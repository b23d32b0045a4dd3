# SPDX-License-Identifier: Apache-2.0
"""``wm record``: keep what goes over the topics as a rosbag2 bag that survives kill -9."""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

from wm_ros.errors import UserError

HELP = "Record topics into an mcap bag; or complete a bag whose recorder was killed."
DESCRIPTION = """\
Records topics into a bag of rosbag2 (mcap) until Ctrl-C. What came in is handed to the system ten
times a second: a recorder that is killed loses the last moment at most, and every command here
reads what it left. `ros2 bag play` plays the bags, `wm replay` shows them to the model.

  wm record                                    everything, into a new folder in out/bags
  wm record --out bags/monday --exclude image  everything but images
  wm record --recover bags/monday              complete a bag whose recorder was killed
"""
HIDDEN = re.compile(r"(^|/)_")
NEVER = {"/parameter_events"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = DESCRIPTION
    parser.add_argument("--out", type=Path, help="new folder for the bag "
                        "(default: out/bags/ and the time)")
    parser.add_argument("--topics", nargs="+", default=[], metavar="TOPIC",
                        help="only these (default: every topic that is not hidden)")
    parser.add_argument("--exclude", default="", metavar="REGEX", help="leave these topics out")
    parser.add_argument("--seconds", type=float, default=0.0,
                        help="stop by itself after this long; 0: at Ctrl-C")
    parser.add_argument("--recover", type=Path, metavar="BAG",
                        help="make a complete bag of an unfinished one instead of recording")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from wm_ros.data.bag import is_finished, recover

    if args.recover is not None:
        was_finished = is_finished(args.recover)
        count = recover(args.recover)
        state = "was complete already" if was_finished else "is complete now"
        print(f"{args.recover} {state}: {count} messages.")
        return 0
    if not args.seconds >= 0:
        raise UserError("--seconds must be more than 0, or 0 to record until Ctrl-C.")
    try:
        exclude = re.compile(args.exclude) if args.exclude else None
    except re.error as error:
        raise UserError(f"--exclude is no regular expression: {error}.") from error
    out = args.out or Path("out/bags") / time.strftime("%Y%m%d_%H%M%S")
    from wm_ros.nodes.recorder_node import record

    return record(out, {f"/{t.lstrip('/')}" for t in args.topics}, exclude, args.seconds)


def wanted(topic: str, only: set[str], exclude: re.Pattern[str] | None) -> bool:
    """Whether a topic is to be recorded."""
    chosen = topic in only if only else topic not in NEVER and not HIDDEN.search(topic)
    return chosen and (exclude is None or not exclude.search(topic))
