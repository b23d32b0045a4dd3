# SPDX-License-Identifier: Apache-2.0
"""``wm convert``: bags to a data set, and a data set to bags."""

from __future__ import annotations

import argparse
import json
import math
import re
from pathlib import Path
from typing import Any

from wm_ros.errors import UserError

HELP = "Convert bags to a data set in LeRobot's layout, or such a data set to bags."
DESCRIPTION = """\
Bags to a data set: moments 0.1 s apart at which all sensors have a message become rows; pieces
without gaps become episodes. OUT/convert.json and a table say what was dropped and why. The
messages of the mapped topics themselves are kept as well, in OUT/recordings/, so nothing is lost.

A data set to bags: recordings come out as they went in; any other episode becomes a bag at 10 Hz.

A conversion that was stopped goes on with the same command. Nothing is ever overwritten.

  wm convert out/demo/bag --out data/demo
  wm convert bags/ --out data/mine --topics my_map.yaml --instruction "open the drawer"
  wm convert videos/ --out data/videos --images-only --instruction "open the drawer"
  wm convert data/mine --out bags/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = DESCRIPTION
    parser.add_argument("source", type=Path, nargs="+", help="bags (folders, .mcap or .db3 files, "
                        "or a folder of bags), or one data set")
    parser.add_argument("--out", type=Path, required=True,
                        help="folder of the data set, or for the bags")
    parser.add_argument("--topics", type=Path, metavar="MAP.yaml", help="which topic carries "
                        "what; see config/bag_topics.yaml (default: config/topics.yaml)")
    group = parser.add_argument_group("bags to a data set")
    group.add_argument("--instruction", default="", help="what the arm was asked to do (default: "
                       "what /wm/instruction says in the bag)")
    group.add_argument("--task", default="", help="name of the task (default: from the "
                       "instruction)")
    group.add_argument("--room", default="", help="name of the room")
    group.add_argument("--outcome", choices=("success", "failure"), default="success",
                       help="of recordings that do not tell (default success)")
    group.add_argument("--image-size", type=int, default=96, metavar="PX",
                       help="side of the data set's square images (default 96)")
    group.add_argument("--tolerance", type=float, default=0.03, metavar="S", help="stamps of one "
                       "row differ by this at most (default 0.03 s)")
    group.add_argument("--rectified", action="store_true", help="the images are rectified: P of "
                       "camera_info counts instead of K and D")
    group.add_argument("--images-only", action="store_true", help="nothing tells of the arm, or "
                       "it is not to be used: such a set serves `wm train --video`")
    group.add_argument("--min-seconds", type=float, default=1.0, metavar="S",
                       help="shorter pieces give no episode (default 1 s)")
    group.add_argument("--no-recordings", action="store_true", help="do not keep the messages "
                       "themselves: rows have 10 Hz, 32 bits and scaled images")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if not 16 <= args.image_size <= 1024 or args.image_size % 2:
        raise UserError("--image-size must be an even number from 16 to 1024.")
    if not (0 < args.tolerance < math.inf and 0 <= args.min_seconds < math.inf):
        raise UserError("--tolerance must be a number above 0 and --min-seconds one of at least "
                        "0.")
    sets = [path for path in args.source if (path / "meta/info.json").is_file()]
    if sets:
        if len(args.source) > 1:
            raise UserError("Give one data set alone, or bags alone.")
        from wm_ros.convert.unpack import unpack

        return unpack(args.source[0], args.out, args.topics)
    from wm_ros.convert.pack import Options, pack

    options = Options(
        topics=args.topics, instruction=args.instruction, task=args.task, room=args.room,
        success=args.outcome == "success", image_size=args.image_size, tolerance=args.tolerance,
        rectified=args.rectified, min_seconds=args.min_seconds,
        recordings=not args.no_recordings, images_only=args.images_only)
    return pack(find_bags(args.source), args.out, options)


def find_bags(sources: list[Path]) -> list[Path]:
    """The bags that are named, and those in the folders that are named.

    :raises UserError: there is none
    """
    bags: list[Path] = []
    for source in sources:
        if not source.exists():
            raise UserError(f"{source} does not exist: name a bag, a folder of bags or a data "
                            "set.")
        inside = [source] if source.is_file() else _inside(source)
        if not inside:
            raise UserError(f"{source} holds neither a bag nor a finished data set: name one.")
        bags += inside
    return bags


def _inside(folder: Path) -> list[Path]:
    """The bags in a folder: itself, if a recorder wrote it; else loose files and other folders.

    Without metadata.yaml, files are one recording where they only differ in a number at the end
    (a recorder that was killed left them), and several where they have names of their own.
    """
    loose = sorted(p for p in folder.iterdir() if p.suffix in (".mcap", ".db3"))
    stems = {re.sub(r"_\d+$", "", p.stem) for p in loose}
    if (folder / "metadata.yaml").is_file():
        return [folder]
    below = [bag for one in sorted(folder.iterdir())
             if one.is_dir() and not one.name.startswith(".") for bag in _inside(one)]
    return [folder] if len(stems) == 1 and not below else [*loose, *below]


def read_state(path: Path) -> dict[str, Any]:
    """convert.json, or {} where there is none.

    :raises UserError: it is damaged
    """
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: choose another --out.") from error
