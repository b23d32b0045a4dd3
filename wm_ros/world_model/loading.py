# SPDX-License-Identifier: Apache-2.0
"""Checkpoints by folder: finds the family that a checkpoint names."""
from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from wm_ros.errors import UserError
from wm_ros.paths import checkpoints
from wm_ros.world_model.interface import WorldModel

#: family -> where its class lives; each is ``Class(folder, device=..., **options)``
FAMILIES = {"scene3d": "wm_ros.world_model.scene3d.model:Scene3DWorldModel",
            "video": "wm_ros.world_model.video.model:VideoWorldModel",
            "twin": "wm_ros.world_model.video.twin:ActionOnlyTwin",
            "jepa": "wm_ros.world_model.jepa.model:JepaWorldModel",
            "ensemble": "wm_ros.world_model.ensemble:Ensemble"}


def find(folder: str | Path) -> Path:
    """A folder as given, or a name under the package's ``checkpoints/``."""
    path = Path(folder).expanduser()
    return path if path.exists() or path.is_absolute() else checkpoints() / path


def load_model(folder: str | Path, device: str = "cpu", precision: str = "auto",
               **options: Any) -> WorldModel:
    """Load a checkpoint of any family.

    :param precision: ``auto`` (bf16 on a GPU that is made for it, else fp32), ``fp32``,
        ``bf16`` or ``int8``; families without a network know ``auto`` alone
    :param options: of the family, for example ``action_steps`` of ``video``
    :raises UserError: if the folder is no checkpoint, is damaged, or names an unknown family, the
        family has no such option, or this machine no such device
    """
    path = find(folder)
    family, make = _class_of(path)
    known = inspect.signature(make).parameters
    if "precision" in known:
        options["precision"] = precision
    elif precision != "auto":
        raise UserError(f"{path} is of family {family}, which has no network to run in "
                        f"{precision}: leave its precision at auto.")
    any_name = any(p.kind is p.VAR_KEYWORD for p in known.values())  # the family checks itself
    if not any_name and (unknown := sorted(set(options) - set(known))):
        raise UserError(f"Models of family {family} have no option {unknown[0]!r}: leave it out.")
    _check_device(device)
    return make(path, device=device, **options)


def takes(folder: str | Path, option: str) -> bool:
    """Whether a checkpoint's family has this option by name, for example ``precision``."""
    return option in inspect.signature(_class_of(find(folder))[1]).parameters


def _class_of(path: Path) -> tuple[str, Any]:
    """Family and class of a checkpoint folder. :raises UserError: see :func:`load_model`"""
    from wm_ros.world_model.checkpoint import read_config

    family = read_config(path)["family"]
    if family not in FAMILIES:
        raise UserError(f"{path} is of family {family!r}; this version knows "
                        f"{', '.join(sorted(FAMILIES))}.")
    module, name = FAMILIES[family].split(":")
    return family, getattr(importlib.import_module(module), name)


def load_tokeniser(folder: str | Path, device: str = "cpu") -> Any:
    """The image tokeniser of a checkpoint: ``encode((B, 3, H, W) in [-1, 1]) -> (B, T, C)``."""
    from wm_ros.world_model.video.model import load_tokeniser as load

    _check_device(device)
    return load(find(folder), device)


def device_of(wish: str) -> str:
    """The device to use: what was asked for, or for ``auto`` a GPU where there is one.

    :raises UserError: if this machine has no such device
    """
    import torch

    if wish == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    _check_device(wish)
    return wish


def _check_device(device: str) -> None:
    """:raises UserError: if this machine has no such device"""
    if device == "cpu":
        return
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"There is no device {device!r} here that torch can use: choose cpu, or "
                        "install the driver and the torch build for it.") from error
