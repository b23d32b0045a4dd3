# SPDX-License-Identifier: Apache-2.0
"""Checkpoints by folder: finds the family that a checkpoint names."""
from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from wm_ros.errors import UserError
from wm_ros.paths import checkpoints
from wm_ros.world_model.interface import WorldModel

#: family -> where its class lives; each is ``Class(folder, device=..., **options)``
FAMILIES = {"scene3d": "wm_ros.world_model.scene3d.model:Scene3DWorldModel",
            "video": "wm_ros.world_model.video.model:VideoWorldModel",
            "twin": "wm_ros.world_model.video.twin:ActionOnlyTwin",
            "jepa": "wm_ros.world_model.jepa.model:JepaWorldModel"}


def find(folder: str | Path) -> Path:
    """A folder as given, or a name under the package's ``checkpoints/``."""
    path = Path(folder).expanduser()
    return path if path.exists() or path.is_absolute() else checkpoints() / path


def load_model(folder: str | Path, device: str = "cpu", **options: Any) -> WorldModel:
    """Load a checkpoint of any family.

    :raises UserError: if the folder is no checkpoint, is damaged, or names an unknown family
    """
    from wm_ros.world_model.video.checkpoint import read_config

    path = find(folder)
    family = read_config(path)["family"]
    if family not in FAMILIES:
        raise UserError(f"{path} is of family {family!r}; this version knows "
                        f"{', '.join(sorted(FAMILIES))}.")
    module, name = FAMILIES[family].split(":")
    return getattr(importlib.import_module(module), name)(path, device=device, **options)


def load_tokeniser(folder: str | Path, device: str = "cpu") -> Any:
    """The image tokeniser of a checkpoint: ``encode((B, 3, H, W) in [-1, 1]) -> (B, T, C)``."""
    from wm_ros.world_model.video.model import load_tokeniser as load

    return load(find(folder), device)
