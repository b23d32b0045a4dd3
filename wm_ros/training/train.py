# SPDX-License-Identifier: Apache-2.0
"""``wm train``: from a data set to a checkpoint folder, resumable at any step."""
from __future__ import annotations

import argparse
import json
import math
import time
import zlib
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wm_ros.data.cache import EpisodeCache, build_cache, check_size, fingerprint, load_cache
from wm_ros.data.lerobot import Dataset
from wm_ros.errors import UserError
from wm_ros.files import alone, copy
from wm_ros.progress import Progress
from wm_ros.training import beginning, foresight, jepa, locating, parallel, reading
from wm_ros.training import renderer as rendering
from wm_ros.training import tokeniser as tokenising
from wm_ros.training.batches import POSITION, QUATERNION, Batch, Sampler
from wm_ros.training.beginning import CARD, INITIAL, WEIGHTS, begun
from wm_ros.training.config import UNASKED, TrainingConfig, load
from wm_ros.training.log import telling
from wm_ros.training.loop import optimise
from wm_ros.training.losses import losses
from wm_ros.training.shown import among_episodes, pointers, practised
from wm_ros.training.sides import (
    RULE,
    check_arm,
    check_depth,
    check_rows,
    choose,
    known,
    named,
    of_tasks,
    split,
    taught,
    with_images_alone,
)
from wm_ros.training.state import (
    HELD_BACK,
    RENDERING,
    STATE,
    VIDEOS,
    check_folder,
    check_run,
    note_run,
    state_of,
    stopped,
)
from wm_ros.training.validation import validate
from wm_ros.training.variety import sided, vary_chunks
from wm_ros.world_model.checkpoint import (
    load_weights,
    read_config,
    read_tensors,
    save_config,
    save_tensors,
)
from wm_ros.world_model.loading import device_of
from wm_ros.world_model.text import TextEncoder, normalise
from wm_ros.world_model.video.config import VideoConfig
from wm_ros.world_model.video.inputs import ActionCodec
from wm_ros.world_model.video.network import VideoNetwork
from wm_ros.world_model.video.renderer import Renderer
from wm_ros.world_model.video.tokeniser import Tokeniser

HELP = "Train a world model on collected episodes; stop with Ctrl-C, go on with the same command."
TEXT = "text.safetensors"
TOKENISER = "tokeniser.safetensors"
RENDERER = "renderer.safetensors"
READING = {"encoder", "words"}  # the parts of the network that read words
LOOKS = 384  # at held-back moments, where there are as many


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data set folders")
    parser.add_argument("--video", type=Path, nargs="+", default=[], metavar="DATA",
                        help="more data sets, of demonstrations of the same tasks, of which the "
                        "images alone are used: what the hand did is read off them")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--config", default=UNASKED,
                        help=f"name under config/models/ or a YAML file (default {UNASKED})")
    parser.add_argument("--family", choices=("video", "twin", "jepa"),
                        help="twin: the action-only yardstick, the same network without video "
                        "(default: what the config names)")
    parser.add_argument("--init", default="", metavar="CHECKPOINT",
                        help="start from the weights of this checkpoint (name or folder) and fit "
                        "them to the data: your own robot's, or corrections of its mistakes")
    parser.add_argument("--tasks", default="all",
                        help="train on these tasks of the data alone, names with commas")
    parser.add_argument("--cache", type=Path, help="where decoded data goes (default OUT/cache)")
    parser.add_argument("--processes", type=int, default=0,
                        help="processes that train together on a CPU (default: one a core, while "
                        f"each has {parallel.FEW} samples a step); for several GPUs start it by "
                        "torchrun --nproc-per-node")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"),
                        help="auto: the GPU where there is one")
    parser.add_argument("--steps", type=int, help="overrides training.steps of the config")
    parser.add_argument("--seed", type=int, help="overrides training.seed")
    parser.add_argument("--minutes", type=float, default=math.inf,
                        help="save and stop so long after the start; the same command goes on "
                        "(the short stage of the tokeniser is not stopped for it, and begins anew "
                        "after a Ctrl-C)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if not args.minutes >= 0 or args.processes < 0:
        raise UserError("--minutes and --processes must be at least 0.")
    until = time.monotonic() + 60 * args.minutes
    if (name := jepa.config_name(args)) is not None:
        if args.video:
            raise UserError("jepa learns what actions lead to: it takes no --video.")
        return jepa.run(args, name, until)
    family, network, settings = load(args.config, steps=args.steps, seed=args.seed)
    family = args.family or family
    device = device_of(args.device)
    if settings.steps == 0 and not args.init:
        raise UserError("A network of no steps knows nothing: begin from one that was trained, "
                        "with --init.")
    if settings.kept and not args.init:
        raise UserError("kept is a share of the weights of --init: name them, or set it to 0.")
    sources, videos = [*args.data, *args.video], sum(len(Dataset(v).rows) for v in args.video)
    processes = args.processes or (1 if device == "cuda" else parallel.enough(settings.batch))
    cache_folder = args.cache or args.out / "cache"
    parallel.join(device)
    with ExitStack() as held:
        if parallel.rank() == 0:
            check_folder(args.out)
            check_size(sources, network.image_size)
            source = beginning.source(args.init, args.out, ("video", "twin"), network,
                                      (WEIGHTS, TEXT, TOKENISER, RENDERER))
            this = {"family": family, "network": network.to_dict(), "init": args.init,
                    "data": fingerprint(sources, depth=True), VIDEOS: videos,
                    "choice of tasks": named(args.tasks), HELD_BACK: RULE,
                    **{name: getattr(settings, name)
                       for name in ("seed", "demonstrations", "further", "unlabelled",
                                    "reader_steps", "validation_share", "kept")}}
            held.enter_context(alone(args.out))
            check_run(args.out, this)
            with Progress("decode", unit="frames") as bar:
                cache = with_images_alone(build_cache(
                    sources, cache_folder, depth=True, progress=bar.update), videos)
            check_rows(cache, args.tasks, settings.validation_share,
                       settings.steps + settings.locator_steps > 0, settings.unlabelled)
            check_arm(cache)
            check_depth(cache, args.tasks, family)
            note_run(args.out, this)
            if source:
                begin_from(source, args.out)
        parallel.barrier()
        parallel.launch(work, processes, args.out, cache_folder, videos, family, network,
                        settings, args.tasks, device, until)
    return 0


def work(out: Path, cache_folder: Path, videos: int, family: str, network: VideoConfig,
         settings: TrainingConfig, tasks: str, device_name: str, until: float) -> None:
    """One training process.

    :param videos: how many of the last episodes are to be known by their images alone
    :param until: s of the monotonic clock when to save and stop
    """
    torch.manual_seed(parallel.seed_of(settings.seed, "begin", 0))
    device, cache = torch.device(device_name), with_images_alone(load_cache(cache_folder), videos)
    chosen = choose(cache, tasks)
    every_row = split(cache, settings.validation_share)
    rows, labelled = taught(cache, every_row[0], settings)
    # the same whatever tasks are chosen
    codec = initial_codec(out) or fit_codec(cache, cache.among(rows, labelled), network)
    training_rows = of_tasks(cache, chosen, rows)
    validation_rows = of_tasks(cache, chosen, cache.among(
        every_row[1], ~practised(cache) & known(cache)))
    text, judged = embed(cache, out), labelled
    hidden = ~labelled & among_episodes(cache, training_rows)
    if settings.reader_steps and hidden.any():
        told = Sampler(reading.blanked(cache, hidden), cache.among(training_rows, labelled),
                       network, codec, text, None, settings.seed, labelled, device=device)
        read = reading.read_off(told, hidden, validation_rows, settings, out, device, until)
        if read is None:
            stopped()
            return
        cache, labelled = read, labelled | hidden
    model = VideoNetwork(network).to(device)
    locator = model.encoder.locator
    for name in settings.frozen:
        hold_still(model, name)
    tokeniser, latents = prepare_tokeniser(out, cache_folder, cache, network, settings,
                                           training_rows, device)

    def sampling(rows: np.ndarray, latents: np.ndarray | None, turning: float,
                 unknown: int | None = None) -> Sampler:
        return Sampler(cache, rows, network, codec, text, latents,
                       settings.seed * 1000 + parallel.rank(), labelled,
                       settings.task_weights, turning, device, unknown, judged)

    checker = Sampler(cache, validation_rows, network, codec, text, latents, 1, device=device)
    if begun(out):
        load_weights(model, out / INITIAL / WEIGHTS)
    parallel.alike(model)
    pointing = pointers(cache, training_rows, labelled, judged)
    if any(p.requires_grad for p in locator.parameters()) and not locating.train(
            locator, sampling(pointing, None, settings.turning), settings,
            out / "locator.safetensors", device, until):
        stopped()
        return
    locator.requires_grad_(False)  # what it finds is an input once it has learnt
    some, video = foreseeing(settings), family != "twin"
    # the actions of the rows that are not to be foreseen must be known: they have nothing else
    sampler = sampling(training_rows, latents, settings.turning, some if video else 0)
    fixed = torch.from_numpy(sided(cache))

    def varied(batch: Batch, rows: np.ndarray) -> Batch:
        return vary_chunks(batch, sampler.random, fixed[cache.task[rows]], some, settings.varied)

    step = optimise(model, sampler, settings, out / STATE, device, until, "train",
                    lambda batch: losses(model, batch, settings.draws, some, video),
                    varied if settings.varied else None)
    if step < settings.steps:
        stopped()
        return
    sampler, foresaw = sampling(training_rows, latents, 0.0), 0
    if family != "twin" and settings.foresight_steps:
        foresaw = foresight.train(model, sampler, settings, out, step, device, until)
        if foresaw < settings.foresight_steps:
            stopped()
            return
    model.eval().requires_grad_(False)
    if settings.kept:
        beginning.blend(model, out, settings.kept)
    if family == "twin":  # it draws nothing, but a checkpoint is whole
        settings = replace(settings, renderer_steps=0)
    renderer = prepare_renderer(out, f"{step}-{foresaw}", sampler, settings, training_rows,
                                tokeniser, device, foresight.imagining(model, device), until)
    if renderer is None:
        stopped()
        return
    if parallel.rank() == 0:
        scores = validate(model, checker, tokeniser, renderer, device,
                          min(LOOKS, len(validation_rows)))
        export(out, family, network, settings, cache, training_rows, chosen, codec, model, scores,
               {"step": step, "foresight_step": foresaw,
                "samples": beginning.seen_before(out)
                + (step + foresaw) * parallel.share(settings.batch) * parallel.size()})
        print(json.dumps(scores, indent=1))


def foreseeing(settings: TrainingConfig) -> int:
    """Rows of a process's share of a batch that learn what chunks lead to: one at least, where
    there are to be any."""
    few = round(parallel.share(settings.batch) * settings.video_share)
    return max(1, few) if settings.video_share else 0


def hold_still(model: nn.Module, name: str) -> None:
    """Train no parameter of that name or of the module of that name.

    :raises UserError: if the network has neither
    """
    mine = [p for n, p in model.named_parameters() if n == name or n.startswith(f"{name}.")]
    if not mine:
        raise UserError(f"frozen names {name!r}, but the network has no such part: name modules "
                        "such as encoder.scene.")
    for parameter in mine:
        parameter.requires_grad_(False)


def begin_from(source: Path, out: Path) -> None:
    """Copy what a run starts from. The tokeniser stays as it is; the action's scales do too, so
    that the weights keep their meaning."""
    if not (out / TOKENISER).exists():
        copy(source / TOKENISER, out)
    beginning.keep(source, out, (WEIGHTS, TEXT, RENDERER))


def initial_codec(out: Path) -> ActionCodec | None:
    """The scales of the checkpoint that the run began from, if it did."""
    if not begun(out):
        return None
    scales = read_config(out / INITIAL)["scales"]
    return ActionCodec(torch.tensor(scales["position"]), torch.tensor(scales["rotation"]))


def embed(cache: EpisodeCache, out: Path) -> Tensor:
    """(instructions, 384) sentence embeddings."""
    path = out / "instructions.safetensors"
    if parallel.rank() == 0:
        vectors = TextEncoder().encode(cache.instructions)
        save_tensors({"embeddings": vectors}, path)
    parallel.barrier()
    return read_tensors(path)["embeddings"]


def fit_codec(cache: EpisodeCache, rows: np.ndarray, network: VideoConfig) -> ActionCodec:
    """Scales of the action chunks, from a sample of the data."""
    rows = np.random.default_rng(0).choice(rows, min(len(rows), 4096), replace=False)
    state, chunk = cache.state[rows], cache.chunks(rows, network.horizon)
    return ActionCodec.fit(*(torch.from_numpy(np.ascontiguousarray(x)) for x in (
        chunk[..., :3], chunk[..., 3:7], state[:, POSITION], state[:, QUATERNION])))


def prepare_tokeniser(out: Path, cache_folder: Path, cache: EpisodeCache, network: VideoConfig,
                      settings: TrainingConfig, rows: np.ndarray,
                      device: torch.device) -> tuple[Tokeniser, np.ndarray]:
    """Load or train the tokeniser; map or compute the latents of all frames."""
    path = out / TOKENISER
    tokeniser = Tokeniser(network).to(device)
    if not path.exists():
        with Progress("tokeniser", settings.tokeniser_steps, quiet=parallel.rank() > 0) as bar:
            tokenising.train(tokeniser, cache, rows, settings.tokeniser_steps,
                             settings.tokeniser_batch, settings.seed, device,
                             telling(bar, out, settings.tokeniser_batch))
        if parallel.rank() == 0:
            tokenising.save(tokeniser, out)
    parallel.barrier()
    load_weights(tokeniser, path)
    latents = cache_folder / f"latents-{_mark(path)}.npy"
    if parallel.rank() == 0 and not latents.exists():
        with Progress("latents", len(cache)) as bar:
            tokenising.encode_all(tokeniser, cache, latents, device, bar.update)
        print(f"tokeniser: {tokenising.psnr(tokeniser, cache, rows[:64], device):.1f} dB")
    parallel.barrier()
    return tokeniser.eval(), np.load(latents, mmap_mode="r", allow_pickle=False)


def prepare_renderer(out: Path, of: str, sampler: Sampler, settings: TrainingConfig,
                     rows: np.ndarray, tokeniser: Tokeniser, device: torch.device,
                     imagine: rendering.Imagine, until: float) -> Renderer | None:
    """Train what draws the imagined frames, as far as it is not done; it begins as the one of the
    checkpoint that the run began from. None where the time is over before.

    :param of: steps of the network that it belongs to: the work for another one goes
    """
    renderer = Renderer(sampler.config).to(device)
    if (start := out / INITIAL / RENDERER).exists():
        load_weights(renderer, start)
    if not rendering.train(renderer, tokeniser, sampler, rows, settings, device, imagine,
                           state_of(out, RENDERING, of), until):
        return None
    if parallel.rank() == 0:
        save_tensors(dict(renderer.state_dict()), out / RENDERER, torch.float16)
    parallel.barrier()
    load_weights(renderer, out / RENDERER)
    return renderer.eval()


def export(out: Path, family: str, network: VideoConfig, settings: TrainingConfig,
           cache: EpisodeCache, rows: np.ndarray, chosen: list[int], codec: ActionCodec,
           model: VideoNetwork, scores: dict[str, Any], steps: dict[str, int]) -> None:
    """Write the files that ship: averaged weights in bfloat16, the words, config.yaml.

    ``rows`` are those that were trained on.

    Where what acts learnt nothing, its words, tasks and calibration stay as they were; its words
    and tasks do, too, where what reads them was held still. Where it learnt nothing since the
    last time, what `wm calibrate` has fitted since stays.
    """
    save_tensors(dict(model.state_dict()), out / WEIGHTS, torch.bfloat16)
    # where nothing held back tells of them they stay as they were
    foreseen = {name: scores[score] for name, score in
                (("surprise", "surprise_95"), ("doubt", "doubt_99")) if score in scores}
    if settings.steps == 0:
        card = read_config(out / INITIAL)
        card.pop("format")
        copy(out / INITIAL / TEXT, out)
        card["scales"] |= foreseen | fitted(out, card["training"]["step"])
        card["training"] |= {name: steps[name] for name in ("foresight_step", "samples")}
        save_config(card | {"validation": scores}, out)
        return
    episodes = np.unique(cache.episode_index[rows])
    if begun(out) and set(settings.frozen) >= READING:
        copy(out / INITIAL / TEXT, out)
        card = read_config(out / INITIAL)
        told = {name: card[name] for name in ("tasks", "phrases")}
    else:
        words = np.unique(cache.arrays["episode_instruction"][episodes])
        text = TextEncoder().encode([cache.instructions[i] for i in words])
        save_tensors({"embeddings": text}, out / TEXT)
        told = {"tasks": [cache.tasks[i] for i in chosen],
                "phrases": [normalise(cache.instructions[i]) for i in words]}
    save_config({
        "family": family, "network": network.to_dict(), **told,
        "scales": {"position": codec.position_scale.tolist(),
                   "rotation": codec.rotation_scale.tolist(),
                   **foreseen, **fitted(out, steps["step"])},
        "training": asdict(settings) | steps | {"episodes": len(episodes), "frames": len(rows),
                                                "data": cache.fingerprint},
        "validation": scores}, out)


def fitted(out: Path, step: int) -> dict[str, Any]:
    """The scale of success that `wm calibrate` wrote into ``out``, if it did at this step."""
    if not (out / CARD).exists():
        return {}
    card = read_config(out)
    there = card["training"]["step"] == step and "success" in card["scales"]
    return {"success": card["scales"]["success"]} if there else {}


def _mark(path: Path) -> str:
    return f"{zlib.crc32(path.read_bytes()):08x}"
