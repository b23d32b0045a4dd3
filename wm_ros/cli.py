# SPDX-License-Identifier: Apache-2.0
"""The ``wm`` command: one sub-command per ability, imported only when it is called."""
from __future__ import annotations

import argparse
import ast
import importlib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from wm_ros import __version__, environment
from wm_ros.errors import explain

# A command is a module with HELP: str, add_arguments(parser) and run(args) -> int.
COMMANDS = {
    "demo": "wm_ros.demo",
    "instruct": "wm_ros.instruct",
    "stop": "wm_ros.stop",
    "resume": "wm_ros.resume",
    "reset": "wm_ros.reset",
    "view": "wm_ros.view.command",
    "sim": "wm_ros.sim.command",
    "world": "wm_ros.sim.world_command",
    "collect": "wm_ros.data.collect",
    "train": "wm_ros.training.train",
    "eval": "wm_ros.evaluation.evaluate",
    "calibrate": "wm_ros.evaluation.calibrate",
    "export": "wm_ros.export",
    "compare": "wm_ros.evaluation.compare",
    "probe": "wm_ros.evaluation.probe_command",
    "imagine": "wm_ros.evaluation.imagine",
    "scan": "wm_ros.evaluation.scan",
    "bench": "wm_ros.evaluation.bench",
    "doctor": "wm_ros.doctor",
    "record": "wm_ros.data.record",
    "replay": "wm_ros.replay.command",
    "convert": "wm_ros.convert.command",
    "report": "wm_ros.report.command",
}


def help_line(module: str) -> str:
    """The HELP text of a command, read from its source so that nothing heavy is imported."""
    source = Path(__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return "(not available in this installation)"
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="HELP")], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id="HELP"), value=ast.expr() as value):
                pass
            case _:
                continue
        try:
            return str(ast.literal_eval(value))
        except ValueError:
            break
    return ""


class _Help(argparse.HelpFormatter):
    """Tells the default of every option that has one; text of several lines keeps them."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" not in text:
            return super()._fill_text(text, width, indent)
        return "".join(indent + line for line in text.splitlines(keepends=True))

    def _get_help_string(self, action: argparse.Action) -> str | None:
        told, default = action.help or "", action.default
        silent = default is None or default is False or default in (  # 0 is told
            argparse.SUPPRESS, "", math.inf)
        if silent or not action.option_strings or "default" in told:
            return told
        if isinstance(action.default, list):
            return f"{told} (default: {' '.join(map(str, action.default))})"
        return f"{told} (default: %(default)s)"


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """The parser of ``wm``; only the named command's module is imported for its arguments."""
    parser = argparse.ArgumentParser(
        prog="wm", description="A general world model for robot arms over ROS 2 and MoveIt.")
    parser.add_argument("--version", action="version", version=f"wm_ros {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, module_name in COMMANDS.items():
        if name != command:
            # looked at only by `wm --help` and by "invalid choice"
            commands.add_parser(name, help=help_line(module_name) if command is None else "")
            continue
        module = importlib.import_module(module_name)
        sub = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(sub)
        sub.formatter_class = _Help
        sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``wm``; returns the process's exit status."""
    try:
        try:
            return _answer(list(sys.argv[1:] if argv is None else argv))
        finally:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
    except BrokenPipeError:  # the reader of our output went away, as in `wm doctor | head`
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return 141  # as a shell tells of what such a pipe ended


def _answer(words: list[str]) -> int:
    """Run a command; what is known to go wrong is told in one sentence."""
    command = words[0] if words and words[0] in COMMANDS else None
    try:
        if command:
            environment.prepare()
        parser = build_parser(command)
        args = parser.parse_args(words)
        if args.command is None:
            parser.print_help()
            return 0
        return int(args.run(args) or 0)
    except BaseException as error:
        known = explain(error)
        if known is None:
            raise
        print(f"wm: {known[0]}", file=sys.stderr)
        return known[1]


if __name__ == "__main__":
    raise SystemExit(main())
