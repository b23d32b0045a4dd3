# SPDX-License-Identifier: Apache-2.0
"""``wm imagine``: what the model believes would happen, next to what then does happen."""
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from wm_ros.errors import UserError
from wm_ros.evaluation.arguments import AtLeast
from wm_ros.evaluation.closed_loop import to_observation
from wm_ros.evaluation.folders import make_ready
from wm_ros.evaluation.psnr import psnr
from wm_ros.motion.pose import Pose

HELP = "Imagine the futures of a task's next moves, then do them in the simulator and compare."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("task", nargs="?", default="put_mug_on_tray", help="name of the task")
    parser.add_argument("--model", default="video", help="checkpoint name or folder")
    parser.add_argument("--seed", action=AtLeast, least=0, default=100,
                        help="held-out layout (default 100)")
    parser.add_argument("--looks", action=AtLeast, least=1, default=6,
                        help="times the model looks and imagines")
    parser.add_argument("--out", type=Path, default=Path("out/imagine"),
                        help="folder for the report")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from PIL import Image

    from wm_ros.sim.env import TaskEnv
    from wm_ros.world_model import load_model

    model = load_model(args.model)
    env = TaskEnv(args.task, args.seed, "held_out", image_size=model.spec.image_size)
    make_ready(args.out)
    rows: list[np.ndarray] = []
    errors: list[dict[str, Any]] = []
    state = None
    for _ in range(args.looks):
        state = model.observe(to_observation(env.observe()), state)
        chunks = model.act(state, env.instruction)
        imagined = model.imagine(state, chunks, env.instruction)
        if imagined.frames is None:
            raise UserError(f"{args.model} imagines no frames: choose a model of the family "
                            "video.")
        present = state.observation.scene_rgb
        for k in range(model.spec.frame_steps[0]):  # as imagined, without waiting for a grip
            env.step((Pose(chunks.position[0, k], chunks.quaternion[0, k]),
                      float(chunks.gripper[0, k])))
        real = env.observe().scene_rgb
        rows.append(np.concatenate([present, imagined.frames[0, 0], real,
                                    imagined.frames[0, 1]], 1))
        errors.append({"imagined_db": psnr(imagined.frames[0, 0], real),
                       "copied_db": psnr(present, real),
                       "success": float(imagined.success[0]),
                       "progress": float(imagined.progress[0])})
        if env.success():
            break
    env.close()
    strip = np.concatenate(rows)
    Image.fromarray(strip).resize((strip.shape[1] * 2, strip.shape[0] * 2)).save(
        args.out / "imagined.png")
    (args.out / "imagined.json").write_text(json.dumps(
        {"task": args.task, "instruction": env.instruction, "seed": args.seed,
         "looks": errors}, indent=1))
    print(f"\"{env.instruction}\": {args.out / 'imagined.png'} shows, from left: now, imagined "
          "after 0.8 s, what then happened, imagined after 1.6 s")
    for e in errors:
        print(f"  imagined {e['imagined_db']:.1f} dB, copying the present {e['copied_db']:.1f} dB")
    return 0
