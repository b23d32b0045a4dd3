# SPDX-License-Identifier: Apache-2.0
"""``wm bench``: how fast each part is here, as JSON with machine and commit."""
from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wm_ros.errors import UserError
from wm_ros.evaluation.folders import make_ready
from wm_ros.files import write_json
from wm_ros.paths import share
from wm_ros.world_model.checkpoint import read_config
from wm_ros.world_model.interface import Observation, WorldModel
from wm_ros.world_model.loading import find
from wm_ros.world_model.precision import CHOICES, best_dtype

HELP = "Measure model, planner, renderer, images over ROS and training; write JSON."
UNKNOWN = "unknown"  # commit of what is no checkout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"),
                        help="JSON file to write")
    parser.add_argument("--model", default="video", help="checkpoint for the model's figures")
    parser.add_argument("--precision", default="auto", choices=CHOICES,
                        help="of the model's figures; `--only precision` measures all of them")
    parser.add_argument("--only", default="", help=f"some of {', '.join(PARTS)}, with commas")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    names = [n for n in args.only.split(",") if n] or list(PARTS)
    if unknown := [n for n in names if n not in PARTS]:
        raise UserError(f"There is no benchmark {unknown[0]!r}; choose from {', '.join(PARTS)}.")
    if args.out.is_dir():
        raise UserError(f"{args.out} is a folder: name a file with --out.")
    if not _is_free(args.out):
        raise UserError(f"{args.out} exists already, is no earlier report and is not overwritten: "
                        "name another file with --out.")
    read_config(find(args.model))  # before anything takes the place of an earlier report
    make_ready(args.out.parent)
    report: dict[str, Any] = {"machine": machine(), "commit": commit(),
                              "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            report[name] = PARTS[name](args)
        except subprocess.TimeoutExpired as error:
            report[name] = {"error": f"took more than {error.timeout:.0f} s"}
        except UserError as error:
            report[name] = {"error": str(error)}
        write_json(args.out, report)
        print(json.dumps({name: report[name]}, indent=1), flush=True)
    print(f"written to {args.out}")
    return int(any("error" in report[name] for name in names))


def _is_free(path: Path) -> bool:
    """Whether nothing is lost where a report takes the place of a file; devices keep theirs."""
    if not path.is_file() or not path.stat().st_size:
        return True
    try:
        earlier = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(earlier, dict) and {"machine", "commit"} <= set(earlier)


def machine() -> dict[str, Any]:
    """What these figures were measured on, and how busy it was."""
    import torch

    from wm_ros.training.throughput import matmul_rate

    cpu = next((line.split(":", 1)[1].strip() for line in
                Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
               platform.processor()) if Path("/proc/cpuinfo").exists() else platform.processor()
    return {"cpu": cpu, "cores": os.cpu_count(), "load": os.getloadavg()[0],
            "python": platform.python_version(), "torch": torch.__version__,
            "bf16_gflops": round(matmul_rate(torch.bfloat16)),
            "fp32_gflops": round(matmul_rate(torch.float32))}


def commit(*paths: str) -> str:
    """The checkout's last commit, with ``+`` and a checksum where files differ from it; of
    ``paths`` alone, where new files count too (elsewhere recordings may lie about)."""
    def git(*words: str) -> bytes:
        return subprocess.run(["git", "-C", str(share()), *words, "--", *paths],
                              capture_output=True, check=True).stdout
    try:
        last = git("log", "-1", "--format=%h").decode().strip()
        mark = zlib.crc32(git("diff", "--relative", "HEAD"))
        new = git("ls-files", "-o", "-z", "--exclude-standard") if paths else b""
        for name in new.split(b"\0")[:-1]:
            mark = zlib.crc32(name + (share() / name.decode()).read_bytes(), mark)
        return (last + f"+{mark:08x}" if mark else last) or UNKNOWN
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN


def times_of(work: Callable[[], object], seconds: float = 2.0) -> np.ndarray:
    """Durations (n,) s of repeated calls after a warm-up."""
    work()
    durations: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(durations) < 3:
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return np.array(durations)


def quantiles(durations: np.ndarray) -> dict[str, float]:
    """p50 and p95 in ms."""
    return {"p50_ms": round(1e3 * float(np.median(durations)), 2),
            "p95_ms": round(1e3 * float(np.quantile(durations, 0.95)), 2)}


def model(args: argparse.Namespace) -> dict[str, Any]:
    """Latency of observing, acting and imagining with a checkpoint."""
    from wm_ros.evaluation.closed_loop import to_observation
    from wm_ros.sim.env import TaskEnv
    from wm_ros.world_model import load_model

    world = load_model(args.model, precision=args.precision)
    env = TaskEnv("put_mug_on_tray", 100, "held_out")
    observation, words = to_observation(env.observe()), "put the mug on the tray"
    env.close()
    out: dict[str, Any] = {"precision": getattr(world, "precision", "float32")}
    for n in (1, 8):
        out[f"act_{n}"] = quantiles(times_of(partial(_act, world, observation, words, n)))
    state = world.observe(observation)
    chunks = world.act(state, words, 1)
    for render in (False, True):
        out["imagine_1.6s" + ("_rendered" if render else "")] = quantiles(times_of(
            partial(world.imagine, state, chunks, words, render)))
    return out


def _act(world: WorldModel, observation: Observation, words: str, n: int) -> None:
    world.act(world.observe(observation), words, n)


def precision(args: argparse.Namespace) -> dict[str, Any]:
    """Every precision and backend side by side in one run: latency and memory."""
    from wm_ros.evaluation import costs
    from wm_ros.world_model import load_model

    models: dict[str, WorldModel] = {}
    failed: dict[str, Any] = {}
    for name, options in VARIANTS.items():
        try:
            models[name] = load_model(args.model, **options)  # type: ignore[arg-type]
        except UserError as error:
            failed[name] = {"error": str(error)}
    times = costs.latency(models, "put_mug_on_tray", rounds=30, candidates=(1, 8))
    found = {name: {"weights_mib": costs.weights_mib(models[name]), **calls}
             for name, calls in times.items()}
    columns = list(next(iter(times.values()), {}))
    print("| precision, backend | weights | " + " | ".join(columns) + " |\n|---|---|"
          + "---|" * len(columns))
    for name, row in found.items():
        print(f"| {name} | {row['weights_mib']} MiB | " + " | ".join(
            f"{row[c]['p50_ms']:.1f} ms (min {row[c]['min_ms']:.1f})" for c in columns) + " |")
    return found | failed


def planner(_: argparse.Namespace) -> dict[str, Any]:
    """Pose goal to checked, timed trajectory on the table scene."""
    from wm_ros.motion.benchmark import benchmark

    return benchmark()


def renderer(_: argparse.Namespace) -> dict[str, Any]:
    """Pictures a second and physics speed."""
    from wm_ros.sim.benchmark import benchmark

    return benchmark()


def training(_: argparse.Namespace) -> dict[str, Any]:
    """Training steps of the shipped size on random data, and their share of the matmul rate."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from wm_ros.training.batches import Batch
    from wm_ros.training.config import load
    from wm_ros.training.losses import losses
    from wm_ros.training.precision import autocast
    from wm_ros.training.throughput import matmul_rate
    from wm_ros.world_model.video.inputs import Inputs
    from wm_ros.world_model.video.network import VideoNetwork
    from wm_ros.world_model.video.way import WAY_DIM

    config, settings = load("video_small")[1:]
    b, h, t = settings.batch, config.horizon, config.latent_tokens
    network = VideoNetwork(config)
    network.encoder.locator.requires_grad_(False)  # as in training
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)
    images = torch.randn(b, 3, 96, 96)
    batch = Batch(Inputs(images, torch.randn(b, 96, 96, 3), images, torch.randn(b, 19)),
                  torch.randn(b, 384), torch.randn(b, h, 7), torch.ones(b, h),
                  torch.randn(b, h, 7), torch.randn(b, t, config.latent_channels),
                  torch.randn(b, 2, t, config.latent_channels), torch.zeros(b, 2, WAY_DIM),
                  torch.rand(b, 2), torch.rand(b, 2), torch.randn(b, 2, 3),
                  torch.randn(b, 2, 2), torch.ones(b, 2), torch.ones(b), torch.ones(b),
                  torch.ones(b))

    def step() -> None:
        with autocast(torch.device("cpu")):
            parts = losses(network, batch, settings.draws, round(b * settings.video_share))
        torch.stack(list(parts.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    with FlopCounterMode(display=False) as counter:
        step()
    seconds = float(np.median(times_of(step, 6.0)))
    rate, dtype = counter.get_total_flops() / seconds / 1e9, best_dtype("cpu")
    return {"samples_per_s": round(b / seconds, 1), "gflops": round(rate, 1),
            "dtype": str(dtype).removeprefix("torch."),
            "share_of_matmul": round(rate / matmul_rate(dtype), 3)}


def images(_: argparse.Namespace) -> dict[str, Any]:
    """Images a second between two processes over real middleware."""
    out = subprocess.run([sys.executable, "-m", "wm_ros.nodes.image_benchmark"],
                         capture_output=True, text=True, timeout=120, check=False)
    try:
        return json.loads(out.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": (out.stderr or out.stdout).strip().splitlines()[-1:]}


def loop(args: argparse.Namespace) -> dict[str, Any]:
    """Camera frame to first trajectory point with all nodes running: one headless demo."""
    folder = args.out.parent / "bench_demo"
    subprocess.run([sys.executable, "-m", "wm_ros.cli", "demo", "--headless", "--model",
                    args.model, "--out", str(folder), "--no-report"],
                   stdout=subprocess.DEVNULL, timeout=240, check=False)
    result = folder / "result.json"
    if not result.exists():
        return {"error": "the demo wrote no result"}
    values = json.loads(result.read_text())
    return {k: values.get(k) for k in ("success", "duration", "timing")}


VARIANTS: dict[str, dict[str, str]] = {
    "fp32, torch": {"precision": "fp32"}, "bf16, torch": {"precision": "bf16"},
    "int8, torch": {"precision": "int8"}, "fp32, onnx": {"backend": "onnx"}}
PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "model": model, "precision": precision, "planner": planner, "renderer": renderer,
    "training": training, "images": images, "loop": loop}
