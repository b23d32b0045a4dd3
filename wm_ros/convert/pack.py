# SPDX-License-Identifier: Apache-2.0
"""Bags to a data set, one bag after the other; a bag is done when convert.json says so."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from wm_ros.convert import report, to_bag
from wm_ros.convert.command import read_state
from wm_ros.convert.episodes import Labels, Maker, slug
from wm_ros.convert.index import build
from wm_ros.convert.rows import choose
from wm_ros.data import layout
from wm_ros.data.any_bag import AnyBag
from wm_ros.data.bag import is_recording
from wm_ros.data.episode import FPS, STATE_NAMES
from wm_ros.data.lerobot import DatasetWriter, disk_errors
from wm_ros.data.topic_map import TopicMap, load_map
from wm_ros.errors import UserError
from wm_ros.files import write_json
from wm_ros.progress import Progress

STATE = layout.CONVERTED
RECORDINGS = "recordings"
ARM_JOINTS = STATE_NAMES.index("gripper")  # of a data set's rows
LABELS = ("instruction", "task", "room", "success")
# the same for a whole data set
FIXED = ("image_size", "tolerance", "rectified", "min_seconds", "recordings", "images_only")


@dataclass(frozen=True)
class Options:
    """See the options of the command."""

    topics: Path | None = None
    instruction: str = ""
    task: str = ""
    room: str = ""
    success: bool = True
    image_size: int = 96
    tolerance: float = 0.03
    rectified: bool = False
    min_seconds: float = 1.0
    recordings: bool = True
    images_only: bool = False


def pack(bags: list[Path], root: Path, options: Options) -> int:
    """Convert; returns an exit status (130: stopped, the same command goes on).

    :raises UserError: a bag cannot be read, or the folder holds something else
    """
    topics = load_map(options.topics)
    if topics.robot.dof != ARM_JOINTS:
        raise UserError(f"The arm {topics.robot.name} has {topics.robot.dof} joints, and a row of "
                        f"a data set has room for {ARM_JOINTS}.")
    writer = DatasetWriter(root, topics.robot.name, lossless=True)
    console = Console(stderr=True)
    with writer.lock():
        state = _state(root, options, topics.robot.name)
        stopped = False
        try:
            for number, path in enumerate(bags, 1):
                title = f"{number}/{len(bags)} {path.name}"
                _one(path, root, writer, topics, options, state, title)
        except KeyboardInterrupt:
            stopped = True
        except UserError:  # of one bag: what the others gave shall be whole
            writer.merge()
            raise
        console.print("putting the episodes into files")
        total = writer.merge()
    report.show(console, state["sources"])
    console.print(f"{root}: {total} episodes; {root / STATE} says what was dropped and why."
                  + (" Stopped: the same command goes on from here." if stopped else ""),
                  soft_wrap=True)
    return 130 if stopped else 0


def _state(root: Path, options: Options, robot: str) -> dict[str, Any]:
    state = read_state(root / STATE)
    now = {**{name: asdict(options)[name] for name in FIXED}, "robot": robot}
    if not (state.get("sources") or state.get("begun")):  # nothing has been converted yet
        if not state and ((root / layout.INFO).exists() or (root / layout.COLLECTED).exists()):
            raise UserError(f"{root} is a data set that was not made by `wm convert`: choose "
                            "another --out.")
        state = {"settings": now, "sources": {}}
        _write(root, state)
    state["settings"].setdefault("images_only", False)  # older ones do not say so
    other = [f"{k.replace('_', ' ')} {v}" for k, v in state["settings"].items() if now[k] != v]
    if other:
        raise UserError(f"{root} was converted with {', '.join(other)}: use the same to go on, or "
                        "choose another --out.")
    return state


def _one(path: Path, root: Path, writer: DatasetWriter, topics: TopicMap, options: Options,
         state: dict[str, Any], title: str) -> None:
    """One bag; what an interrupted run had committed of it is found again by its seeds."""
    if is_recording(path):
        raise UserError(f"{path} is still being recorded: end its recorder first.")
    identity, labels = _identity(path), {name: getattr(options, name) for name in LABELS}
    for source in state["sources"].values():
        if source["identity"] == identity:
            _same_labels(path, source, labels)
            return
    bag, used = AnyBag(path), topics.of_images() if options.images_only else topics
    with Progress(f"{title}: reading", unit="messages") as bar:
        index = build(bag, used, bar.update)
    damage = list(bag.damage)
    if index.fingerprint in state["sources"]:  # the same recording under another name
        _same_labels(path, state["sources"][index.fingerprint], labels)
        return
    begun = state.setdefault("begun", {})  # fingerprint -> path, labels, keys of what was stopped
    _not_changed(path, identity["path"], state, index.fingerprint)
    mine = begun.setdefault(index.fingerprint,
                            {"path": identity["path"], "labels": labels, "keys": []})
    _same_labels(path, mine, labels)
    try:
        choice = choose(index, options.tolerance, options.instruction)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    kept, made = writer.keys(), []
    with Progress(title, len(choice.rows), "rows") as bar:
        maker = Maker(used, index, choice, Labels(slug(options.task), options.room,
                                                    options.success),
                      options.image_size, options.tolerance,
                      max(2, round(options.min_seconds * FPS)), bar.advance,
                      _taken(state, index.fingerprint), options.rectified)
        for episode in maker.episodes(bag):
            if episode.key not in kept:
                mine["keys"].append(episode.key)
                _write(root, state)
                writer.commit(episode)
            made.append({"task": episode.task, "seed": episode.seed, "rows": len(episode)})
    recording = ""
    if options.recordings:
        recording = f"{RECORDINGS}/{bag.name}-{index.fingerprint[:8]}"
        if not (root / recording).exists():
            with disk_errors(root):
                to_bag.copy(bag, root / recording, topics.roles)
    state["sources"][index.fingerprint] = {
        "name": bag.name, "identity": identity, "labels": labels,
        "recording": recording,
        **report.of_bag(index, choice, maker.made, damage, made)}
    del begun[index.fingerprint]
    _write(root, state)


def _taken(state: dict[str, Any], fingerprint: str) -> set[tuple[str, int]]:
    """(task, seed) of the episodes of other bags, of those too that are not done yet."""
    done = {(episode["task"], episode["seed"]) for source in state["sources"].values()
            for episode in source["episodes"]}
    return done.union(*({(task, seed) for task, seed in bag["keys"]}
                        for mark, bag in state["begun"].items() if mark != fingerprint))


def _write(root: Path, state: dict[str, Any]) -> None:
    with disk_errors(root):
        write_json(root / STATE, state)


def _same_labels(path: Path, source: dict[str, Any], labels: dict[str, Any]) -> None:
    """:raises UserError: a bag was converted before, but called something else"""
    if source.get("labels", labels) != labels:
        raise UserError(f"{path} was converted with another instruction, task, room or outcome: "
                        "choose another --out.")


def _not_changed(path: Path, place: str, state: dict[str, Any], fingerprint: str) -> None:
    """:raises UserError: there are episodes of what the bag held before"""
    done = {source["identity"]["path"] for source in state["sources"].values()
            if source["episodes"]}
    stopped = {bag.get("path") for mark, bag in state["begun"].items()
               if mark != fingerprint and bag["keys"]}
    if place in done | stopped:
        raise UserError(f"{path} is not what was converted of it before (it was not complete, was "
                        "replaced, or other topics are named), and no moment shall be there "
                        "twice: choose another --out, or give a new recording a name of its own.")


def _identity(path: Path) -> dict[str, Any]:
    """What tells without reading it that a bag was converted before."""
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file())
    return {"path": str(path.resolve()), "bytes": sum(f.stat().st_size for f in files),
            "changed_ns": max(f.stat().st_mtime_ns for f in files)}
