# SPDX-License-Identifier: Apache-2.0
"""A checkpoint is a folder: config.yaml, README.md, and as safetensors model, tokeniser,
renderer and text."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wm_ros.errors import UserError
from wm_ros.files import whole, write_text

FORMAT = 1
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a node reads it while an arm waits


def read_config(folder: Path) -> dict[str, Any]:
    """Read and check ``config.yaml``. :raises UserError: one sentence on what is wrong."""
    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise UserError(f"{folder} is no checkpoint: it has no config.yaml; "
                        "train one with `wm train`, or name a folder under checkpoints/.")
    try:
        config = LOADER(path.read_text()).get_single_data()
    except (yaml.YAMLError, UnicodeDecodeError):
        config = None
    if not isinstance(config, dict) or "family" not in config or "network" not in config:
        raise UserError(f"{path} is damaged: it names no family and network.")
    if config.get("format") != FORMAT:
        raise UserError(f"{path} has format {config.get('format')}, this version reads {FORMAT}.")
    return config


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read one safetensors file. :raises UserError: if it is missing, cut off or damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"The weights {path} cannot be read ({error}): "
                        "copy the checkpoint again.") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill ``module`` from a file, in the module's own precision."""
    tensors = read_tensors(path)
    own = module.state_dict()
    wrong = [k for k in own if k not in tensors or tensors[k].shape != own[k].shape]
    if wrong or set(tensors) - set(own):
        name = (wrong or sorted(set(tensors) - set(own)))[0]
        raise UserError(f"The weights {path} do not fit their config.yaml or this version of the "
                        f"code (at {name!r}): copy the checkpoint again, or train it anew.")
    if any(not torch.isfinite(t).all() for t in tensors.values()):
        raise UserError(f"The weights {path} hold NaN: copy the checkpoint again.")
    module.load_state_dict(tensors)


def save_tensors(tensors: dict[str, Tensor], path: Path, dtype: torch.dtype | None = None) -> None:
    """Write atomically: a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    out = {k: (v.detach().to("cpu", dtype if dtype and v.is_floating_point() else v.dtype)
               .contiguous().clone()) for k, v in tensors.items()}
    with whole(path) as part:
        save_file(out, part)


def save_config(config: dict[str, Any], folder: Path) -> None:
    """Write ``config.yaml`` atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "config.yaml",
               yaml.safe_dump({"format": FORMAT, **config}, sort_keys=False))
