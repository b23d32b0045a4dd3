# SPDX-License-Identifier: Apache-2.0
"""``wm replay``: what the model would have seen, imagined and done in a recording."""
from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wm_ros.errors import UserError
from wm_ros.evaluation.arguments import AtLeast, Device
from wm_ros.evaluation.folders import PART, STAMP, contents, new_folder, unfinished_part
from wm_ros.files import write_json
from wm_ros.replay import baseline
from wm_ros.world_model.loading import find, takes

HELP = "Run a recorded bag through perception and imagination, and compare with what happened."
DESCRIPTION = """\
Runs the sensors of a bag through perception, imagination and planning in one process, in the time
of the recording, without starting a node or moving anything. Every 0.4 s the model looks, proposes
and plans; its plan is compared with the recorded commands, and the future that it imagines under
those commands with the images that were recorded.

OUT holds metrics.json (the part "metrics" is the same to the bit each time; "latency" is not) and
index.html. Bags of rosbag2 are read as they are: mcap or sqlite3, compressed too.

  wm replay out/demo/bag
  wm replay my_bag --topics my_map.yaml --instruction "open the drawer"
  wm replay BAG --out out/new --baseline out/old/metrics.json     # exit status 1 when it is worse
  wm replay BAG --model checkpoints/new --baseline-model video    # two checkpoints
  wm replay BAG --model scene3d --proposer video
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = DESCRIPTION
    parser.add_argument("bag", type=Path, help="folder of the bag, or an .mcap or .db3 file")
    parser.add_argument("--out", type=Path, help="new folder for metrics and report (default: "
                        "out/replay/ and the time)")
    parser.add_argument("--model", default="video", help="checkpoint name or folder "
                        "(default: the one that is shipped)")
    parser.add_argument("--proposer", default="", metavar="MODEL", help="who proposes, for a "
                        "model that only foresees")
    parser.add_argument("--topics", type=Path, metavar="MAP.yaml", help="which topic carries "
                        "what; see config/bag_topics.yaml (default: config/topics.yaml)")
    parser.add_argument("--instruction", default="", help="what the arm was asked to do "
                        "(default: what /wm/instruction says in the bag)")
    parser.add_argument("--every", type=float, default=0.4, metavar="S",
                        help="seconds of the recording between two looks (default 0.4)")
    parser.add_argument("--candidates", action=AtLeast, least=1, default=1, metavar="N",
                        help="chunks to choose from at each look (default 1)")
    parser.add_argument("--tolerance", type=float, default=0.03, metavar="S", help="stamps of one "
                        "observation differ by this at most (default 0.03 s)")
    parser.add_argument("--rectified", action="store_true", help="the images are rectified: P of "
                        "camera_info counts instead of K and D")
    parser.add_argument("--seed", action=AtLeast, least=0, default=0,
                        help="of the model's noise (default 0)")
    parser.add_argument("--device", action=Device)
    parser.add_argument("--threads", action=AtLeast, least=1, default=1,
                        help="threads of the model; another number may change the last digits "
                        "(default 1)")
    parser.add_argument("--no-plans", action="store_true", help="leave motion planning out")
    parser.add_argument("--no-page", action="store_true", help="write metrics.json alone")
    parser.add_argument("--realtime", action="store_true", help="as fast as it was recorded "
                        "instead of as fast as the machine can; the metrics are the same")
    group = parser.add_argument_group("comparison", "exit status 1 when this replay is worse than "
                                      "the baseline by more than is allowed")
    group.add_argument("--baseline", type=Path, metavar="METRICS.json",
                       help="of an earlier replay of the same bag")
    group.add_argument("--baseline-model", metavar="MODEL",
                       help="replay with this checkpoint first, into OUT/baseline")
    baseline.add_arguments(group)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.baseline is not None and args.baseline_model:
        raise UserError("Give either --baseline or --baseline-model, not both.")
    for name, value in vars(args).items():
        if isinstance(value, float) and math.isnan(value):
            raise UserError(f"--{name.replace('_', '-')} must be a number.")
    if not all(0.0 < seconds < math.inf for seconds in (args.every, args.tolerance)):
        raise UserError("--every and --tolerance must be above 0.")
    if args.seed >= 2**32:
        raise UserError("--seed must be below 2**32.")
    from wm_ros.replay import metrics

    before = None if args.baseline is None else metrics.read(args.baseline)
    _check_proposer(args)
    if args.out is not None:
        _check_free(args.out)
    if args.baseline_model:
        _model(args.model, args)  # what is wrong with it is told before the other's replay
    out = args.out or new_folder(Path("out/replay") / time.strftime(STAMP))
    with unfinished_part(out) as part:
        _check_free(out)  # still, now that it is held
        if args.baseline_model:
            before = replay(args, args.baseline_model, part / "baseline")
        now = replay(args, args.model, part, before)
        rows = [] if before is None else baseline.compare(now, before, args)
        if before is not None:
            write_json(part / "comparison.json", rows)
        for path in contents(part):
            path.rename(out / path.name)
    _tell(now, out)
    if before is None:
        return 0
    print(baseline.table(rows))
    worse = [row["name"] for row in rows if row["worse"]]
    print(f"Worse than the baseline: {', '.join(worse)}." if worse
          else "Not worse than the baseline.")
    return 1 if worse else 0


def _check_free(out: Path) -> None:
    """:raises UserError: OUT holds anything but what a replay that was stopped left there"""
    if out.exists() and (not out.is_dir() or any(path.name != PART for path in contents(out))):
        raise UserError(f"{out} exists already and is not overwritten: name another with --out.")


def replay(args: argparse.Namespace, model_name: str, out: Path,
           before: dict[str, Any] | None = None) -> dict[str, Any]:
    """One replay with one checkpoint; writes the folder and returns metrics.json's content.

    :param before: that of the replay that this one will be compared with
    :raises UserError: it is of another recording or of other settings
    """
    from wm_ros.data.any_bag import AnyBag, survey
    from wm_ros.data.topic_map import load_map
    from wm_ros.replay import metrics
    from wm_ros.replay.player import Player, Settings
    from wm_ros.report.render import render
    from wm_ros.report.run_log import RunLog

    bag, topics = AnyBag(args.bag), load_map(args.topics)
    found, fingerprint = survey(bag, topics.roles)
    topics.check(found, bag.name)
    about = {"name": bag.name, "fingerprint": fingerprint,
             "messages": sum(count for topic, (_, count) in found.items()
                             if topic in topics.roles)}
    damage = list(bag.damage)
    settings = Settings(every=args.every, candidates=args.candidates, seed=args.seed,
                        tolerance=args.tolerance, instruction=args.instruction,
                        plan=not args.no_plans, rectified=args.rectified)
    if before is not None:
        baseline.check_same({"bag": about, "settings": asdict(settings)}, before["metrics"])
    model = _model(model_name, args)
    log = None if args.no_page else RunLog(out)
    started = time.perf_counter()
    pace = _pace() if args.realtime else None
    outcome = Player(model, topics, settings, log, pace).play(bag, found)
    wall = time.perf_counter() - started
    content: dict[str, Any] = {
        "format": metrics.FORMAT,
        "metrics": metrics.collect(outcome, about, _about(model, model_name, args), settings),
        "latency": metrics.latency(outcome, wall)}
    # before the page: it takes most of the memory, and the numbers are what took long
    metrics.write(out / "metrics.json", content["metrics"], content["latency"])
    if log is not None:
        log.set_result(
            success=True, verdict="replayed", instruction=outcome.looks[0]["instruction"],
            model=model_name, bag=bag.name, robot=topics.robot.name, damage=damage,
            summary=content["metrics"]["summary"], looks=content["metrics"]["looks"])
        log.save()
        render(out)
    for sentence in damage:
        print(f"Note: {sentence}", file=sys.stderr)
    return content


def _model(name: str, args: argparse.Namespace) -> Any:
    """The model, with everything that chance decides fixed."""
    import numpy as np
    import torch

    from wm_ros.data.topic_map import load_map
    from wm_ros.world_model import load_model

    random.seed(args.seed)
    np.random.seed(args.seed)  # noqa: NPY002  # for libraries that use the global generator
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    options: dict[str, Any] = {"seed": args.seed, "robot": load_map(args.topics).robot}
    if args.proposer:
        options["proposer"] = args.proposer
    return load_model(name, device=args.device,
                      **{key: value for key, value in options.items() if takes(name, key)})


def _check_proposer(args: argparse.Namespace) -> None:
    """:raises UserError: a proposer is given that no model asks, or a model is no checkpoint"""
    models = [name for name in (args.model, args.baseline_model) if name]
    asking = [name for name in models if takes(name, "proposer")]
    if args.proposer and not asking:
        raise UserError("--proposer is for models that only foresee, such as scene3d: leave it "
                        f"out with {' and '.join(models)}.")


def _about(model: Any, name: str, args: argparse.Namespace) -> dict[str, Any]:
    """What the metrics belong to: the family and a checksum of all that answers."""
    from wm_ros.evaluation.keeping import fingerprint
    from wm_ros.world_model.checkpoint import read_config
    from wm_ros.world_model.ensemble import parts

    lent = args.proposer if args.proposer and takes(name, "proposer") else ""
    folders = [part for folder in map(find, filter(None, (name, lent)))
               for part in parts(folder, read_config(folder))]
    about = {"family": str(model.spec.family), "checkpoint": find(name).name,
             "fingerprint": fingerprint(folders, "")}
    return about | ({"proposer": find(lent).name} if lent else {})


def _pace() -> Callable[[float], None]:
    """Waits until as much time has passed as in the recording."""
    begin: list[float] = []

    def wait(moment: float) -> None:
        if not begin:
            begin.append(time.monotonic() - moment)
        ahead = begin[0] + moment - time.monotonic()
        if ahead > 0:
            time.sleep(min(ahead, 60.0))

    return wait


def _why_unjudged(metrics: dict[str, Any]) -> str:
    """Why no look was judged."""
    from wm_ros.replay.player import UNJUDGED

    seen = metrics["perception"]
    if 0.0 <= seen["seconds"] - metrics["looks"][0]["t"] < seen["future_seconds"]:
        return "The recording is too short for a future to be compared."
    return f"No future could be compared. {UNJUDGED}"


def _tell(content: dict[str, Any], out: Path) -> None:
    metrics, times = content["metrics"], content["latency"]
    summary = metrics["summary"]
    print(f"{metrics['bag']['name']}: {metrics['perception']['seconds']:.1f} s, "
          f"{metrics['perception']['observations']} observations, {summary['looks']} looks, "
          f"{times['times_real_time']} times as fast as recorded")
    for name, value in summary.items():
        if name not in ("looks", "judged"):
            print(f"  {name:32}{'–' if value is None else f'{value:.4g}':>10}")
    if not summary["judged"]:
        print(f"  {_why_unjudged(metrics)}")
    shown = out / "index.html"
    print(f"{out / 'metrics.json'} holds the numbers{f'; {shown} shows it' * shown.exists()}.")
