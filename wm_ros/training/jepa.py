# SPDX-License-Identifier: Apache-2.0
"""Training of the jepa family: next-latent error and SIGReg, from pixels, end to end."""
from __future__ import annotations

import argparse
import json
import math
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wm_ros.data.cache import META, EpisodeCache, build_cache, check_size, fingerprint, load_cache
from wm_ros.errors import UserError
from wm_ros.files import alone
from wm_ros.progress import Progress
from wm_ros.training import ahead, beginning, parallel
from wm_ros.training.beginning import INITIAL, WEIGHTS, begun
from wm_ros.training.config import UNASKED, check_seed, find, numbers, read
from wm_ros.training.jepa_batches import Sequences, SequenceSampler
from wm_ros.training.jepa_calibration import calibrate
from wm_ros.training.log import JEPA, log
from wm_ros.training.sides import RULE, check_arm, check_rows, choose, named, of_tasks, split
from wm_ros.training.state import (
    HELD_BACK,
    STATE,
    Pace,
    check_folder,
    check_run,
    draw_anew,
    load_state,
    note_run,
    save_state,
    stopped,
)
from wm_ros.world_model.checkpoint import load_weights, save_config, save_tensors
from wm_ros.world_model.jepa.actions import STEP_DIM
from wm_ros.world_model.jepa.config import JepaConfig
from wm_ros.world_model.jepa.encoder import Encoder
from wm_ros.world_model.jepa.predictor import Predictor
from wm_ros.world_model.jepa.sigreg import sigreg
from wm_ros.world_model.jepa.surprise import Calibration
from wm_ros.world_model.loading import device_of

DEFAULT = "jepa_small"


@dataclass(frozen=True)
class JepaTraining:
    """How to train; comments on each setting stand in ``config/models/jepa_small.yaml``."""

    seed: int = 0
    sequences: int = 16
    length: int = 8
    rollouts: int = 3
    regularise: float = 0.05
    hand: float = 0.0
    projections: int = 256
    recolour: float = 1.0
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.02
    steps: int = 8000
    validation_share: float = 0.05

    def __post_init__(self) -> None:
        if min(self.sequences, self.rollouts, self.projections, self.steps) < 1:
            raise UserError("sequences, rollouts, projections and steps must be at least 1.")
        if not 0 < self.learning_rate < math.inf or not 0 <= self.weight_decay < math.inf:
            raise UserError("learning_rate must be above 0, weight_decay cannot be negative.")
        if self.length < 2:
            raise UserError("length must be at least 2: the second latent is what is predicted.")
        if not 0 < self.validation_share < 1:
            raise UserError("validation_share is a share of 1.")
        check_seed(self.seed)


def config_name(args: argparse.Namespace) -> str | None:
    """The jepa configuration that the arguments of ``wm train`` ask for, if they do."""
    asked = read(find(args.config))["family"] == "jepa"
    if args.family == "jepa" and not asked:
        if args.config != UNASKED:
            raise UserError(f"{args.config} is of another family: give --config the name of a "
                            f"configuration of jepa, such as {DEFAULT}.")
        return DEFAULT
    return args.config if asked and args.family in (None, "jepa") else None


def load(name: str, **overrides: Any) -> tuple[JepaConfig, JepaTraining]:
    """Read a configuration by name or path: network, training.

    :raises UserError: if there is none of that name or it has an unknown setting
    """
    path = find(name)
    values = read(path)
    training = values["training"]
    if unknown := set(training) - {f.name for f in fields(JepaTraining)}:
        raise UserError(f"Unknown training setting {sorted(unknown)[0]!r} in {path}.")
    settings = replace(JepaTraining(**numbers(JepaTraining, training, path)),
                       **{k: v for k, v in overrides.items() if v is not None})
    return JepaConfig.from_dict(numbers(JepaConfig, values["network"], path)), settings


def fits(folder: Path, sources: list[Path]) -> bool:
    """Whether the cache of another family, which holds depth too, can be used as it is."""
    if not (folder / META).exists():
        return False
    try:
        return load_cache(folder).fingerprint == fingerprint(sources, depth=True)
    except UserError:  # of an older version, or damaged: it is built anew
        return False


def run(args: argparse.Namespace, name: str, until: float) -> int:
    """``wm train`` for this family; ``until``: see :func:`work`."""
    network, settings = load(name, steps=args.steps, seed=args.seed)
    device = device_of(args.device)
    processes = args.processes or (1 if device == "cuda" else parallel.enough(settings.sequences))
    cache_folder = args.cache or args.out / "cache"
    parallel.join(device)
    with ExitStack() as held:
        if parallel.rank() == 0:
            check_folder(args.out)
            check_size(args.data, network.image_size)
            source = beginning.source(args.init, args.out, ("jepa",), network, (WEIGHTS,))
            there = fits(cache_folder, args.data)
            this = {"family": "jepa", "network": network.to_dict(), "init": args.init,
                    "data": fingerprint(args.data),
                    "choice of tasks": named(args.tasks), HELD_BACK: RULE,
                    **{name: getattr(settings, name) for name in ("seed", "validation_share")}}
            held.enter_context(alone(args.out))
            check_run(args.out, this)
            if not there:
                with Progress("decode", unit="frames") as bar:
                    build_cache(args.data, cache_folder, progress=bar.update)
            cache = load_cache(cache_folder)
            check_rows(cache, args.tasks, settings.validation_share, imitate=False)
            check_arm(cache)
            note_run(args.out, this)
            if source:
                beginning.keep(source, args.out, (WEIGHTS,))
        parallel.barrier()
        parallel.launch(work, processes, args.out, cache_folder, network, settings, args.tasks,
                        device, until)
    return 0


class Jepa(nn.Module):
    """Encoder and predictor, trained together, and a matrix that reads the hand off a latent."""

    def __init__(self, config: JepaConfig):
        super().__init__()
        self.encoder, self.predictor = Encoder(config), Predictor(config)
        self.hand = nn.Linear(config.latent, STEP_DIM, bias=False)


def losses(model: Jepa, batch: Sequences, settings: JepaTraining) -> dict[str, Tensor]:
    """``predict``: mean squared error of predicted latents; ``sigreg``, which grows with the
    batch, as it would be of the batch of all processes; ``hand``: how the hand
    moved, read off the differences of a sequence's latents (inverse dynamics, as in PLDM, arXiv
    2502.14819). No gradient is stopped.

    Rollout r predicts from the predictions of rollout r - 1; all count alike.
    """
    z = model.encoder(batch.scene, batch.wrist)
    regular = sigreg(z.float(), settings.projections) * parallel.size()
    z = z.unflatten(0, batch.actions.shape[:1] + (-1,))  # (B, T, D)
    moved = model.hand(z - z.mean(1, keepdim=True))
    modulation = model.predictor.modulate(batch.actions)
    errors, now = [], z[:, :-1]
    for r in range(min(settings.rollouts, z.shape[1] - 1)):
        predicted, _ = model.predictor(now, modulation[:, :, r:])
        weight = batch.valid[:, r:]
        error = (predicted - z[:, r + 1:]).square().mean(-1)
        errors.append((error * weight).sum() / weight.sum().clamp_min(1))
        now = predicted[:, :-1]
    return {"predict": torch.stack(errors).mean(), "sigreg": regular,
            "hand": (moved - batch.hand).square().mean(), "first": errors[0]}


def work(out: Path, cache_folder: Path, network: JepaConfig, settings: JepaTraining, tasks: str,
         device_name: str, until: float) -> None:
    """One training process.

    :param until: s of the monotonic clock when to save and stop
    """
    torch.manual_seed(parallel.seed_of(settings.seed, "begin", 0))
    device, cache = torch.device(device_name), load_cache(cache_folder)
    chosen = choose(cache, tasks)
    train_rows, held_rows = (of_tasks(cache, chosen, rows)
                             for rows in split(cache, settings.validation_share))
    model = Jepa(network).to(device)
    if begun(out):
        begin(model, network, out / INITIAL / WEIGHTS)
    parallel.alike(model)
    sampler = SequenceSampler(cache, train_rows, network, settings.length,
                              settings.seed * 1000 + parallel.rank(), settings.recolour)
    step = optimise(model, sampler, settings, out, device, until)
    if step < settings.steps:
        stopped()
        return
    if parallel.rank() == 0:
        model.eval()
        scale, scores = calibrate(model.encoder, model.predictor, network, cache, held_rows,
                                  device)
        export(out, network, settings, cache, train_rows, [cache.tasks[i] for i in chosen], model,
               scale, scores, step)


def begin(model: Jepa, network: JepaConfig, weights: Path) -> None:
    """Fill the model with a checkpoint's weights; its scale of surprise is measured anew."""
    parts = nn.ModuleDict(dict(model.named_children()))
    parts.register_buffer("whiten", torch.zeros(network.latent, network.latent))
    load_weights(parts, weights)


def optimise(model: Jepa, sampler: SequenceSampler, settings: JepaTraining, out: Path,
             device: torch.device, until: float) -> int:
    """The training loop; returns the last step."""
    from wm_ros.training.loop import learning_rate, make_optimizer

    optimizer, state, step = make_optimizer(model, settings), out / STATE, 0
    if state.exists():
        step = load_state(state, model, None, optimizer)
    draw_anew(sampler, settings.seed, "train", step)
    share, pace = parallel.share(settings.sequences), Pace(settings.steps, until, every=60)
    batches = ahead.batches(lambda: sampler.batch(sampler.draw(share)), settings.steps - step,
                            device)
    with Progress("train", settings.steps, quiet=parallel.rank() > 0, start=step) as bar:
        while step < settings.steps:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, settings)
            batch = Sequences(*(x.to(device, non_blocking=True) for x in next(batches)))
            parts = losses(model, batch, settings)
            (parts["predict"] + settings.regularise * parts["sigreg"]
             + settings.hand * parts["hand"]).backward()
            parallel.descend(model, optimizer)
            step += 1
            if step % 10 == 0 or step == settings.steps:
                bar.update(step, note=log(out, "train", step, parts, JEPA),
                           rate=share * settings.length * parallel.size())
            if pace.stops(step, lambda n: save_state(state, n, model, None, optimizer)):
                break
    parallel.barrier()
    return step


def export(out: Path, network: JepaConfig, settings: JepaTraining, cache: EpisodeCache,
           rows: np.ndarray, tasks: list[str], model: Jepa, scale: Calibration,
           scores: dict[str, float], step: int) -> None:
    """Write the files that ship: weights and the surprise's scale, config.yaml."""
    save_tensors({**model.state_dict(), "whiten": scale.whiten}, out / WEIGHTS)
    frames = step * parallel.share(settings.sequences) * settings.length * parallel.size()
    episodes = len(np.unique(cache.episode_index[rows]))
    save_config({"family": "jepa", "network": network.to_dict(), "tasks": tasks,
                 "scales": {"surprise": scale.limit},
                 "training": asdict(settings) | {"step": step,
                                                 "samples": beginning.seen_before(out) + frames,
                                                 "episodes": episodes,
                                                 "frames": len(rows),
                                                 "data": cache.fingerprint},
                 "validation": scores}, out)
    print(json.dumps(scores, indent=1))
