# SPDX-License-Identifier: Apache-2.0
"""Training settings, from the ``training`` block of ``config/models/*.yaml``."""
from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

import yaml

from wm_ros.errors import UserError
from wm_ros.paths import config as config_path
from wm_ros.world_model.video.config import VideoConfig

FAMILIES = ("video", "twin", "jepa")
UNASKED = "video_small"  # the configuration where none is named
FURTHER = ("dropped", "video")


class Schedule(Protocol):
    """What the training of every family is told."""

    @property
    def seed(self) -> int: ...
    @property
    def validation_share(self) -> float: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def warmup(self) -> int: ...
    @property
    def steps(self) -> int: ...


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; comments on each setting stand in ``config/models/video_small.yaml``."""

    seed: int = 0
    batch: int = 48
    draws: int = 2
    video_share: float = 0.25
    learning_rate: float = 6e-4
    warmup: int = 300
    weight_decay: float = 0.02
    ema: float = 0.999
    steps: int = 14000
    foresight_steps: int = 0
    tokeniser_steps: int = 1200
    tokeniser_batch: int = 48
    renderer_steps: int = 800
    video_weight: float = 0.5
    value_weight: float = 0.1
    locator_steps: int = 6500
    locator_batch: int = 64
    locator_rate: float = 2e-3
    reader_steps: int = 0
    demonstrations: int = 0
    further: str = "dropped"
    unlabelled: float = 0.0
    turning: float = 0.3
    varied: float = 0.0
    kept: float = 0.0
    frozen: list[str] = field(default_factory=list)
    task_weights: dict[str, float] = field(default_factory=dict)
    validation_share: float = 0.03

    def __post_init__(self) -> None:
        counts = ("batch", "draws", "tokeniser_steps", "locator_batch")
        if wrong := [name for name in counts if getattr(self, name) < 1]:
            raise UserError(f"{wrong[0]} must be at least 1.")
        for name in ("steps", "foresight_steps", "renderer_steps", "locator_steps",
                     "reader_steps", "warmup",
                     "demonstrations", "weight_decay", "video_weight", "value_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} cannot be negative.")
        for name in ("learning_rate", "locator_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} must be above 0.")
        if not 0 <= self.ema < 1:
            raise UserError("ema must be at least 0 and below 1.")
        if self.further not in FURTHER:
            raise UserError(f"further must be {' or '.join(FURTHER)}.")
        check_seed(self.seed)
        if not isinstance(self.frozen, list) or not isinstance(self.task_weights, dict):
            raise UserError("frozen must be a list, [] for none, and task_weights numbers by the "
                            "names of tasks, {} for none.")
        if not all(isinstance(w, int | float) and 0 < w < math.inf
                   for w in self.task_weights.values()):
            raise UserError("task_weights must be numbers above 0; leave tasks out with --tasks.")
        if (not 0 <= self.video_share <= 1 or not 0 <= self.unlabelled < 1
                or not 0 <= self.turning < 1 or not 0 <= self.varied <= 1 or not 0 <= self.kept < 1
                or not 0 < self.validation_share < 1):
            raise UserError("video_share, unlabelled, turning, varied, kept and "
                            "validation_share are shares of 1.")


def check_seed(seed: int) -> None:
    """:raises UserError: if numbers cannot be drawn from it"""
    if seed < 0:
        raise UserError("seed must be at least 0.")


def find(name: str) -> Path:
    """The file of a model configuration, by name or path.

    :raises UserError: if there is none of that name
    """
    is_file = name.endswith((".yaml", ".yml"))
    path = Path(name) if is_file else config_path("models", f"{name}.yaml")
    if not path.is_file():
        known = sorted(p.stem for p in config_path("models").glob("*.yaml"))
        raise UserError(f"There is no model configuration {name!r}; known are {', '.join(known)}.")
    return path


def read(path: Path, after: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The ``family``, ``network`` and ``training`` of a configuration file.

    :param after: files that name it in their ``like``: what they do not say is as it is here
    :raises UserError: it is none
    """
    try:
        said = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        said = None
    values: dict[str, Any] = {"training": {}} | (said if isinstance(said, dict) else {})
    if like := str(values.pop("like", "")):
        beside = path.parent / like
        model = (beside if beside.is_file() else find(like)).resolve()
        if model in (*after, path.resolve()):
            raise UserError(f"{path} is to be like itself: take out its `like`.")
        was = read(model, (*after, path.resolve()))
        values = was | {name: was[name] | block if isinstance(block, dict)
                        and isinstance(was.get(name), dict) else block
                        for name, block in values.items()}
    if values.get("family") not in FAMILIES or not all(
            isinstance(values.get(block), dict) for block in ("network", "training")):
        raise UserError(f"{path} is no model configuration: it needs a family "
                        f"({', '.join(FAMILIES)}) and the settings of its network, as "
                        "config/models/video_small.yaml has them, or the name of one that it is "
                        "`like`.")
    return values


def numbers(settings: type, values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The values with numbers as numbers: YAML takes 1e-3, without a point, for a word.

    :raises UserError: a setting is none
    """
    kinds = {f.name: {"int": int, "float": float}.get(str(f.type)) for f in fields(settings)}
    out = dict(values)
    for name, kind in kinds.items():
        if kind is None or name not in values:
            continue
        try:
            out[name] = kind(values[name])
            if not math.isfinite(out[name]):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"{name} in {path} must be a number, not {values[name]!r}.") from None
        if kind is int and out[name] != float(values[name]):
            raise UserError(f"{name} in {path} must be a whole number, not {values[name]!r}.")
    return out


def load(name: str, **overrides: Any) -> tuple[str, VideoConfig, TrainingConfig]:
    """Read a model configuration by name or path: family, network, training.

    :raises UserError: if there is none of that name or it has an unknown setting
    """
    path = find(name)
    values = read(path)
    training = values["training"]
    if unknown := set(training) - {f.name for f in fields(TrainingConfig)}:
        raise UserError(f"Unknown training setting {sorted(unknown)[0]!r} in {path}.")
    settings = TrainingConfig(**numbers(TrainingConfig, training, path))
    settings = replace(settings, **{k: v for k, v in overrides.items() if v is not None})
    network = VideoConfig.from_dict(numbers(VideoConfig, values["network"], path))
    return values["family"], network, settings
