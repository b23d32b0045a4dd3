# SPDX-License-Identifier: Apache-2.0
"""``wm calibrate``: lets a checkpoint's predicted success mean what it says."""
from __future__ import annotations

import argparse
import json
from typing import Any, NamedTuple

import numpy as np

from wm_ros.errors import UserError
from wm_ros.evaluation import keeping
from wm_ros.evaluation.arguments import AtLeast, Device
from wm_ros.evaluation.calibration import calibration
from wm_ros.evaluation.closed_loop import foretold, run_episode
from wm_ros.evaluation.folders import make_ready
from wm_ros.evaluation.jobs import Workers
from wm_ros.progress import Progress
from wm_ros.sim.tasks import task_names
from wm_ros.world_model.interface import ActionChunks, Observation, State, WorldModel

HELP = "Fit a checkpoint's predicted success to what then happens, and write it into config.yaml."
DESCRIPTION = """\
Lets the model do its tasks on layouts of the training split, compares what it predicted at each
look with what happened, and fits two numbers (Platt 1999) that it applies from then on.
`wm eval` tells on held-out layouts how far the prediction is to be trusted."""


class Look(NamedTuple):
    """What was predicted at one look, and whether the task was done when the chunk ended."""

    success: float
    happened: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = DESCRIPTION
    parser.add_argument("--model", default="video", help="checkpoint name or folder")
    parser.add_argument("--tasks", default="all", help="all, home, office, or names with commas")
    parser.add_argument("--seeds", action=AtLeast, least=1, default=8,
                        help="layouts a task (default 8)")
    parser.add_argument("--first-seed", action=AtLeast, least=0, default=98000,
                        help="first seed of the training split (default 98000): layouts on which "
                        "the model was not trained, or it is too sure of itself")
    parser.add_argument("--workers", action=AtLeast, least=1, default=2,
                        help="processes at work")
    parser.add_argument("--device", action=Device)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from wm_ros.world_model.checkpoint import read_config, save_config
    from wm_ros.world_model.loading import find

    tasks = task_names(args.tasks)
    folder = find(args.model)
    config = read_config(folder)
    if config["family"] not in ("video", "twin"):
        raise UserError(f"{folder} is of family {config['family']!r}, which predicts no success "
                        "that could be fitted.")
    make_ready(folder)
    weights = keeping.fingerprint([folder], "", (".safetensors",))
    calls = [(_looks, str(folder), args.device, task, args.first_seed + i) for task in tasks
             for i in range(args.seeds)]
    looks: list[Look] = []
    with Workers(args.workers) as workers, \
            Progress("calibrate", len(calls), "episodes") as bar:
        for done, some in enumerate(workers.answers(calls), 1):
            looks += some
            bar.update(done)
    numbers = fit(looks)
    before, after = (calibration(p, np.array([look.happened for look in looks]))
                     for p in (predicted(looks, None), predicted(looks, numbers)))
    print(json.dumps({"success": numbers, "before": _short(before), "after": _short(after)},
                     indent=1), flush=True)
    if keeping.fingerprint([folder], "", (".safetensors",)) != weights:
        raise UserError(f"The weights in {folder} were changed meanwhile, so nothing is written: "
                        "calibrate again.")
    config = read_config(folder)  # others may have written there since
    config["scales"]["success"] = numbers
    save_config({k: v for k, v in config.items() if k != "format"}, folder)
    return 0


def fit(looks: list[Look]) -> list[float]:
    """Slope and offset of the log-odds of success, by maximum likelihood (Platt 1999).

    Which of two chunks is the better one stays as it is.

    :raises UserError: if the task was never, or always, done
    """
    from scipy.optimize import minimize

    happened = np.array([look.happened for look in looks], float)
    if len(set(happened)) < 2:
        raise UserError("Nothing can be fitted: in all the looks the same happened; take more "
                        "--seeds or other --tasks.")
    x = _log_odds(looks)

    def loss(w: np.ndarray) -> float:
        z = w[0] * x + w[1]
        return float(np.mean(np.logaddexp(0, z) - happened * z))

    found = minimize(loss, np.array([1.0, 0.0]), bounds=[(0.05, None), (None, None)])
    return [round(float(v), 4) for v in found.x]


def predicted(looks: list[Look], numbers: list[float] | None) -> np.ndarray:
    """(N,) probabilities, as the model gives them with these numbers or with none."""
    if numbers is None:
        return np.array([look.success for look in looks])
    from scipy.special import expit

    return np.asarray(expit(numbers[0] * _log_odds(looks) + numbers[1]))


def _log_odds(looks: list[Look]) -> np.ndarray:
    from scipy.special import logit

    return np.asarray(logit(np.clip([look.success for look in looks], 1e-4, 1 - 1e-4)))


def _short(scores: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in scores.items() if k != "bins"}


class _Listener:
    """A model whose raw predictions are kept."""

    def __init__(self, model: WorldModel):
        self.model, self.spec = model, model.spec
        self.heard: list[float] = []

    def observe(self, observation: Observation, state: State | None = None) -> State:
        return self.model.observe(observation, state)

    def act(self, state: State, instruction: str, n: int = 1) -> ActionChunks:
        chunks = self.model.act(state, instruction, n)
        resting = bool(self.model.rests(state, chunks)[0])  # type: ignore[attr-defined]
        self.heard.append(np.nan if resting else float(chunks.success[0]))
        return chunks


def _looks(folder: str, device: str, task: str, seed: int) -> list[Look]:
    """The looks of one episode, in a worker; those at rest are told by another head."""
    from wm_ros.evaluation.evaluate import load_once

    model = load_once(folder, device=device)
    model.calibration = None
    listener = _Listener(model)
    outcome = run_episode(listener, task, seed, "train")  # type: ignore[arg-type]
    done = foretold(outcome, model.spec.horizon)[1]
    return [Look(success, happened) for success, happened in zip(listener.heard, done, strict=True)
            if np.isfinite(success)]
