# SPDX-License-Identifier: Apache-2.0
"""``wm imagine``: what the model believes would happen, next to what then does happen."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wm_ros.errors import UserError
from wm_ros.evaluation import counterfactual
from wm_ros.evaluation.arguments import AtLeast, Device
from wm_ros.evaluation.closed_loop import check_acts, to_observation
from wm_ros.evaluation.costs import resting
from wm_ros.evaluation.folders import for_report
from wm_ros.evaluation.psnr import psnr
from wm_ros.files import write_json
from wm_ros.motion.pose import Pose
from wm_ros.sim.env import TaskEnv
from wm_ros.world_model import load_model
from wm_ros.world_model.interface import Observation, WorldModel

HELP = "Imagine the futures of a task's next moves, then do them in the simulator and compare."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("task", nargs="?", default="put_mug_on_tray", help="name of the task")
    parser.add_argument("--model", default="video", help="checkpoint name or folder")
    parser.add_argument("--seed", action=AtLeast, least=0, default=100,
                        help="held-out layout (default 100)")
    parser.add_argument("--looks", action=AtLeast, least=1, default=6,
                        help="times the model looks and imagines")
    parser.add_argument("--ways", action=AtLeast, least=0, default=4,
                        help="what if, instead, the hand went straight in as many directions "
                        "(default 4)")
    parser.add_argument("--device", action=Device)
    parser.add_argument("--out", type=Path, default=Path("out/imagine"),
                        help="folder for the report")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    model = load_model(args.model, args.device)
    env = TaskEnv(args.task, args.seed, "held_out", image_size=model.spec.image_size)
    check_draws(args.model, model, env)
    with for_report(args.out, ("imagined.json", "imagined.png", "ways.png")):
        imagine(args, model, env)
    return 0


def check_draws(name: str, model: WorldModel, env: TaskEnv) -> None:
    """:raises UserError: if the model proposes nothing, or imagines no frames"""
    check_acts(name, model)
    now = to_observation(env.observe())
    still = resting(now, 1, model.spec.horizon, model.spec.dt)
    if model.imagine(model.observe(now), still, env.instruction).frames is None:
        raise UserError(f"{name} imagines no frames: choose a model of the family video.")


def imagine(args: argparse.Namespace, model: WorldModel, env: TaskEnv) -> None:
    """Do the work and write the report."""
    rows: list[np.ndarray] = []
    looks: list[tuple[Observation, np.ndarray, float]] = []
    width = float(env.robot.gripper.open_width)
    errors: list[dict[str, Any]] = []
    state, first = None, model.spec.frame_steps[0]
    for _ in range(args.looks):
        state = model.observe(to_observation(env.observe()), state)
        chunks = model.act(state, env.instruction)
        imagined = model.imagine(state, chunks, env.instruction)
        assert imagined.frames is not None
        present = state.observation.scene_rgb
        looks.append((state.observation, env.sim.state(), width))
        width = float(chunks.gripper[0, first - 1])
        for k in range(first):  # as imagined, without waiting for a grip
            env.step((Pose(chunks.position[0, k], chunks.quaternion[0, k]),
                      float(chunks.gripper[0, k])))
        real = env.observe().scene_rgb
        rows.append(np.concatenate([present, imagined.frames[0, 0], real,
                                    *imagined.frames[0, 1:]], 1))
        errors.append({"imagined_db": psnr(imagined.frames[0, 0], real),
                       "copied_db": psnr(present, real),
                       "success": float(imagined.success[0]),
                       "progress": float(imagined.progress[0])})
        if env.success():
            break
    save(np.concatenate(rows), args.out / "imagined.png")
    if args.ways:
        save(ways(model, env, looks, args.ways), args.out / "ways.png")
    env.close()
    write_json(args.out / "imagined.json", {
        "task": args.task, "instruction": env.instruction, "seed": args.seed, "looks": errors})
    soon, *later = (f"imagined after {k * model.spec.dt:.2g} s" for k in model.spec.frame_steps)
    print(f"\"{env.instruction}\": {args.out / 'imagined.png'} shows, from left: now, "
          + ", ".join([soon, "what then happened", *later]))
    for e in errors:
        print(f"  imagined {e['imagined_db']:.1f} dB, copying the present {e['copied_db']:.1f} dB")
    if args.ways:
        print(f"{args.out / 'ways.png'} shows, for each look, now and the hand going other ways: "
              f"above as {soon}, below as it then happens")


def ways(model: WorldModel, env: TaskEnv, looks: list[tuple[Observation, np.ndarray, float]],
         n: int) -> np.ndarray:
    """Picture of ``n`` level directions from every look, with the simulator's state and the width
    commanded to the fingers then."""
    rows = []
    for now, state, width in looks:
        frames, futures = counterfactual.go(
            model, env, now, state, width,
            [counterfactual.level(2 * np.pi * k / n) for k in range(n)])
        rows += [np.concatenate([now.scene_rgb, *frames], 1),
                 np.concatenate([now.scene_rgb, *(f.image for f in futures)], 1)]
    return np.concatenate(rows)


def save(picture: np.ndarray, path: Path) -> None:
    """Write a picture (H, W, 3) at twice its size."""
    height, width = picture.shape[:2]
    Image.fromarray(picture).resize((2 * width, 2 * height)).save(path)
