# SPDX-License-Identifier: Apache-2.0
"""``wm scan``: the arm looks around, and the room comes out in 3D."""
from __future__ import annotations

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wm_ros.errors import UserError
from wm_ros.evaluation.arguments import AtLeast
from wm_ros.evaluation.folders import PART, contents, make_ready, unfinished_part
from wm_ros.files import write_json, write_text

HELP = "Scan a room with the arm's camera into a 3D model, and export it."
#: a task whose layouts stand for the room
TASKS = {"home": "put_mug_on_tray", "office": "pick_from_clutter"}
PICTURE = (640, 480)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = ("The folder that is written is a checkpoint of the family scene3d: name it "
                     "where a model is wanted.")
    parser.add_argument("--scene", "--room", choices=sorted(TASKS),
                        help="the room (default: that of --task, else home)")
    parser.add_argument("--task", help="take this task's layouts (default: one of the room's)")
    parser.add_argument("--seed", action=AtLeast, least=0, nargs="+", default=[100],
                        help="held-out layout; several are scanned one after the other and "
                        "summed up")
    parser.add_argument("--size", type=int, default=128, help="pixels of the square pictures")
    parser.add_argument("--seconds", type=float, default=60.0,
                        help="most robot time for one scan (default 60)")
    parser.add_argument("--noise", action="store_true",
                        help="add the noise of a consumer depth camera")
    parser.add_argument("--splats", action="store_true", help="write splats.ply too")
    parser.add_argument("--pushes", action=AtLeast, least=0, default=0, metavar="N",
                        help="push N times after each scan, compare with the twin's forecast, and "
                        "keep friction and mass from them where they foretell pushes better")
    parser.add_argument("--out", type=Path, default=Path("out/scan"),
                        help="folder for the report")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if not 32 <= args.size <= 640:
        raise UserError("--size must lie between 32 and 640 pixels.")
    if not args.seconds >= 5:
        raise UserError("--seconds must be at least 5: a scan needs some moves.")
    from wm_ros.evaluation.scan_truth import summary

    args.scene, task = choose(args.scene, args.task)
    folders = {seed: args.out if len(args.seed) == 1 else args.out / f"{args.scene}_{seed}"
               for seed in args.seed}
    for folder in folders.values():
        check_folder(folder)
        make_ready(folder)
    results, errors = [], []
    for seed, folder in folders.items():
        with unfinished_part(folder) as part:
            result, error = scan_one(args, task, seed, part)
            put(part, folder)
        results.append(result)
        errors.append(error)
        print(line(seed, result), flush=True)
    if len(args.seed) > 1:
        total = {"scene": args.scene, "task": task, "seeds": args.seed, "noise": args.noise,
                 **summary(errors), "scans_each": results}
        pushes = [p for r in results for p in r.get("pushes", [])]
        if pushes:
            total["pushes_all"] = push_summary(pushes)
            print(push_line(total["pushes_all"]))
        write_json(args.out / "summary.json", total)
        print(f"{args.out / 'summary.json'} has all of it")
    return 0


def choose(scene: str | None, task: str | None) -> tuple[str, str]:
    """The room and the task whose layouts are taken. :raises UserError: if they do not match"""
    from wm_ros.sim.tasks import task_class

    if task is None:
        return scene or "home", TASKS[scene or "home"]
    room = task_class(task).room
    if scene not in (None, room):
        raise UserError(f"{task} is a task of the {room}, not of the {scene}: leave --scene out.")
    return room, task


def check_folder(folder: Path) -> None:
    """:raises UserError: if a folder holds something that is no scan, which would be overwritten
    """
    from wm_ros.world_model.checkpoint import read_config

    if not contents(folder) or (folder / PART).is_dir():  # left by a scan that was stopped
        return
    try:
        family = read_config(folder)["family"]
    except UserError:
        family = None
    if family != "scene3d":
        raise UserError(f"{folder} holds something that is no scan: name a new or an empty folder "
                        "with --out.")


def put(part: Path, folder: Path) -> None:
    """Move a whole scan to where an earlier one may lie, of which nothing stays.

    There is a config.yaml only while all the files belong together.
    """
    for name in ("config.yaml", "splats.ply"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "meshes", ignore_errors=True)
    for path in sorted(contents(part), key=lambda path: path.name == "config.yaml"):
        path.rename(folder / path.name)


def line(seed: int, r: dict[str, Any]) -> str:
    """One scan in a line of text."""
    e, found = r["errors"], len(r["errors"]["position"])
    gap = np.median(list(e["position"].values())) * 1e3 if found else float("nan")
    return (f"seed {seed}: {r['robot_seconds']:.0f} s, {r['pictures']} pictures at "
            f"{r['fuse_rate']:.1f}/s ({r['fuse_cpu_rate']:.1f} a CPU second); static surface "
            f"{e['rmse'] * 1e3:.1f} mm RMSE, {100 * e['covered']:.0f} % covered; {found} of "
            f"{found + len(e['missed'])} things found, {gap:.1f} mm median")


def scan_one(args: argparse.Namespace, task: str, seed: int, folder: Path
             ) -> tuple[dict[str, Any], Any]:
    """Scan one layout; returns what ``result.json`` holds and the errors."""
    from wm_ros.evaluation.push_trial import trials
    from wm_ros.evaluation.scan_drive import Scanner
    from wm_ros.evaluation.scan_pictures import draw
    from wm_ros.evaluation.scan_truth import judge
    from wm_ros.sim.env import TaskEnv
    from wm_ros.world_model.scene3d import export, perceived
    from wm_ros.world_model.scene3d.mapper import Mapper
    from wm_ros.world_model.scene3d.perceive import Region

    env = TaskEnv(task, seed, "held_out", image_size=args.size)
    wrist = env.scene.camera("wrist")
    mapper = Mapper(env.robot, wrist=wrist)
    rng = np.random.default_rng(seed) if args.noise else None
    try:
        log = Scanner(env.sim, mapper, args.size, args.seconds, rng).run()
        scene = mapper.perceive()
        errors = judge(env.sim, mapper.volume, scene, Region())
        pushes: list[dict[str, Any]] = []
        if args.pushes:
            pushes, scene = trials(env.sim, scene, args.pushes, seed)
        mapper.volume.save(folder / "map.npz")
        perceived.save(scene, folder / "scene.json")
        config = {"format": 1, "family": "scene3d", "network": {}, "robot": env.robot.name,
                  "image_size": 96, "map": "map.npz", "scene": "scene.json",
                  "wrist": {"position": list(wrist.position),
                            "quaternion": list(wrist.quaternion), "fovy": wrist.fovy}}
        write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        export.write_meshes(mapper.volume, folder)
        export.write_world(scene, mapper.volume, folder)
        export.write_furniture(scene, folder)
        if args.splats:
            export.write_splats(mapper.volume, folder)
        draw(env.sim, mapper.volume, scene, folder / "scan.png", PICTURE)
        result: dict[str, Any] = {
            "scene": args.scene, "task": task, "seed": seed, "noise": args.noise,
            "robot_seconds": log.seconds, "pictures": log.pictures, "size": args.size,
            "views": log.reached, "views_left_out": log.skipped,
            "furniture_touched": log.touches,
            "fuse_rate": 1.0 / float(np.mean(log.fuse_seconds)),
            "fuse_cpu_rate": 1.0 / float(np.mean(log.fuse_cpu_seconds)),
            "errors": asdict(errors)}
        if args.pushes:
            result["pushes"] = pushes
            result["identified"] = {t.name: {"friction": t.friction, "mass": t.mass}
                                    for t in scene.things if t.pushed}
            print(push_line(push_summary(pushes)) if pushes else "Nothing here could be pushed.",
                  flush=True)
        write_json(folder / "result.json", result)
    finally:
        mapper.close()
        env.close()
    return result, errors


def push_summary(pushes: list[dict[str, Any]]) -> dict[str, Any]:
    """Spread of the forecasts' errors, m; ``still`` is what forecasting no motion would give.

    ``identified`` is about the pushes of things that were pushed more than once: the errors (of
    the pushing force in N) ``before``, and with friction and mass from the thing's other pushes.
    """
    error = np.array([p["error"] for p in pushes])
    moved = np.array([p["moved"] for p in pushes])
    out: dict[str, Any] = {"pushes": len(pushes), "median": float(np.median(error)),
           "p25": float(np.percentile(error, 25)), "p75": float(np.percentile(error, 75)),
           "p90": float(np.percentile(error, 90)), "still_median": float(np.median(moved))}
    known = [p for p in pushes if p["error_identified"] is not None]
    if known:
        before, after, force_before, force = (
            np.array([p[name] for p in known]) for name in
            ("error", "error_identified", "force_error", "force_error_identified"))
        out["identified"] = {
            "pushes": len(known),
            "median_before": float(np.median(before)), "median": float(np.median(after)),
            "p90_before": float(np.percentile(before, 90)), "p90": float(np.percentile(after, 90)),
            "force_before": float(np.median(force_before)), "force": float(np.median(force))}
    return out


def push_line(s: dict[str, Any]) -> str:
    """The summary in a line or two of text."""
    text = (f"{s['pushes']:.0f} pushes: forecast off by {1e3 * s['median']:.1f} mm median "
            f"(quartiles {1e3 * s['p25']:.1f} to {1e3 * s['p75']:.1f}, p90 "
            f"{1e3 * s['p90']:.1f}); things moved {1e3 * s['still_median']:.0f} mm median")
    if "identified" in s:
        i = s["identified"]
        text += (f"\n{i['pushes']} of them with friction and mass from the thing's other pushes: "
                 f"pushing force off by {i['force']:.2f} N median instead of "
                 f"{i['force_before']:.2f}, forecast by {1e3 * i['median']:.1f} mm median (p90 "
                 f"{1e3 * i['p90']:.1f}) instead of {1e3 * i['median_before']:.1f} (p90 "
                 f"{1e3 * i['p90_before']:.1f})")
    return text
