# SPDX-License-Identifier: Apache-2.0
"""Saving and resuming a training run without pickle: one safetensors file, written whole."""
from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from wm_ros.errors import UserError
from wm_ros.files import write_text
from wm_ros.training import parallel
from wm_ros.world_model.checkpoint import read_tensors, save_tensors

RUN = "run.json"  # what a run is of, beside its state
HELD_BACK = "choice of held-back layouts"  # of a run
VIDEOS = "number of episodes known by their images alone"  # likewise
STATE = "state.safetensors"  # what resuming needs, beside the checkpoint
FORESIGHT = "foresight-*.safetensors"  # likewise, of that stage: with the network's own steps
RENDERING = "renderer-*-state.safetensors"  # likewise, of the renderer


def check_folder(out: Path) -> None:
    """:raises UserError: if a checkpoint lies in ``out`` that no run here can go on with"""
    if (out / "model.safetensors").exists() and not (out / STATE).exists():
        raise UserError(f"{out} holds a checkpoint and nothing of the run that made it: choose "
                        "another --out, and begin from its weights with --init.")


def check_run(out: Path, now: dict[str, Any]) -> None:
    """Hold what a run is of against what its beginning noted in ``out``, if it did.

    :raises UserError: the folder is of a run of something else
    """
    if not (out / RUN).exists():
        return
    before, now = json.loads((out / RUN).read_text()), json.loads(json.dumps(now))
    before = {"init": "", "demonstrations": 0, "further": "dropped", "kept": 0.0, VIDEOS: 0,
              HELD_BACK: "by task and seed"} | before
    # what older versions did not note counts as equal
    if other := [name for name in now if before.get(name, now[name]) != now[name]]:
        raise UserError(f"{out} is of a run with another {other[0]} (its {RUN} tells which): "
                        "choose another --out; --init begins from the weights of a finished one.")


def note_run(out: Path, now: dict[str, Any]) -> None:
    """Note in ``out`` what a run is of, once nothing is left to refuse."""
    if not (out / RUN).exists():
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / RUN, json.dumps(now, indent=1) + "\n")


class Draws(Protocol):
    """What draws batches."""

    random: np.random.Generator
    torch_random: torch.Generator


def draw_anew(sampler: Draws, seed: int, stage: str, step: int) -> None:
    """Begin a stage, or go on with it, with random numbers of its own: a resumed run must not see
    the batches and the noise of its start again."""
    number = parallel.seed_of(seed, stage, step)
    sampler.random = np.random.default_rng(number)
    sampler.torch_random.manual_seed(number)
    torch.manual_seed(number)


def state_of(out: Path, stage: str, of: str) -> Path:
    """The file in ``out`` with what a stage needs to resume; that of another network goes.

    :param stage: ``FORESIGHT`` or ``RENDERING``;  ``of`` the steps that its network has learnt
    """
    state = out / stage.replace("*", of)
    if parallel.rank() == 0:
        for other in set(out.glob(stage)) - {state}:
            other.unlink()
    return state


def stopped() -> None:
    """Tell that the time is over before the last step."""
    if parallel.rank() == 0:
        print("The time is over before the last step; the same command goes on from here.")


class Ema:
    """Exponential moving average of the weights; this is what ships."""

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Follow the module; faster in the first steps."""
        rate = 1 - min(self.decay, (1 + step) / (10 + step))
        mine, theirs = [], []
        for name, value in module.state_dict().items():
            mine.append(self.weights[name])
            theirs.append(value.detach())
        torch._foreach_lerp_(mine, theirs, rate)


class Pace:
    """When a run saves and when it stops, the same for all of its processes.

    :param steps: its last step;  ``until`` s of the monotonic clock;  ``every`` s between saves
    """

    def __init__(self, steps: int, until: float, every: float = 120.0):
        self._steps, self._until, self._every = steps, until, every
        self._saved = time.monotonic()

    def stops(self, step: int, save: Callable[[int], None]) -> bool:
        """After a step: save if it is time to; whether the run's time is over."""
        over = step % 10 == 0 and parallel.agree(time.monotonic() > self._until)
        if parallel.rank() == 0 and (over or step == self._steps
                                     or time.monotonic() - self._saved > self._every):
            save(step)
            self._saved = time.monotonic()
        return over


def save_state(path: Path, step: int, module: nn.Module, ema: Ema | None,
               optimizer: torch.optim.Optimizer) -> None:
    """Write everything that resuming needs."""
    tensors: dict[str, Tensor] = {"step": torch.tensor(step)}
    tensors |= {f"module/{k}": v for k, v in module.state_dict().items()}
    if ema is not None:
        tensors |= {f"ema/{k}": v for k, v in ema.weights.items()}
    for name, parameter in module.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = torch.as_tensor(value)
    save_tensors(tensors, path)


def load_state(path: Path, module: nn.Module, ema: Ema | None,
               optimizer: torch.optim.Optimizer) -> int:
    """Read what :func:`save_state` wrote, in place; returns the step to go on from."""
    tensors = read_tensors(path)
    module.load_state_dict({k[7:]: v for k, v in tensors.items() if k.startswith("module/")})
    if ema is not None:
        ema.weights = {k: tensors[f"ema/{k}"].to(v.device) for k, v in ema.weights.items()}
    names = dict(module.named_parameters())
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            _, slot, name = key.split("/", 2)
            optimizer.state[names[name]][slot] = value.to(names[name].device)
    return int(tensors["step"])
