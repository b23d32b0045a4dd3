# SPDX-License-Identifier: Apache-2.0
"""What a run begins from (``wm train --init``), kept in its folder: a resumed run keeps what it
began with."""
from __future__ import annotations

from pathlib import Path

from torch import nn

from wm_ros.errors import UserError
from wm_ros.files import copy
from wm_ros.training.samples import samples
from wm_ros.world_model.checkpoint import load_weights, read_config
from wm_ros.world_model.jepa.config import JepaConfig
from wm_ros.world_model.loading import find
from wm_ros.world_model.video.config import VideoConfig

INITIAL = "initial"  # folder in OUT
WEIGHTS = "model.safetensors"
CARD = "config.yaml"


def begun(out: Path) -> bool:
    """Whether the run in ``out`` began from a checkpoint, which is kept there."""
    return (out / INITIAL / CARD).exists()


def source(init: str, out: Path, families: tuple[str, ...], network: VideoConfig | JepaConfig,
           files: tuple[str, ...]) -> Path | None:
    """The folder of the checkpoint that is yet to be kept; None where there is nothing to do.

    :param init: its name or folder, or nothing;  ``files`` that it must hold
    :raises UserError: if it is missing, incomplete, or of another family or size
    """
    if not init or begun(out):
        return None
    folder = find(init)
    config = read_config(folder)
    if config["family"] not in families:
        raise UserError(f"{folder} is of family {config['family']!r}: --init takes "
                        f"{' or '.join(families)} for this configuration.")
    if type(network).from_dict(config["network"]) != network:
        raise UserError(f"{folder} has another size than the configuration: name the one that it "
                        "was trained with.")
    if missing := [name for name in files if not (folder / name).is_file()]:
        raise UserError(f"{folder} has no {missing[0]}: copy the checkpoint again.")
    return folder


def keep(folder: Path, out: Path, files: tuple[str, ...]) -> None:
    """Copy ``files`` and the card of a checkpoint to where :func:`begun` looks."""
    kept = out / INITIAL
    kept.mkdir(parents=True, exist_ok=True)
    for name in (*files, CARD):  # the card last: it says that the rest is whole
        copy(folder / name, kept)


def blend(module: nn.Module, out: Path, share: float) -> None:
    """Take ``share`` of each weight from what the run in ``out`` began with: what was fitted to
    few samples generalises better so (Wortsman et al. 2022, arXiv 2109.01903)."""
    own = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    load_weights(module, out / INITIAL / WEIGHTS)
    for name, tensor in module.state_dict().items():
        tensor.lerp_(own[name], 1 - share)


def seen_before(out: Path) -> int:
    """Samples that the weights had seen before the run in ``out`` began."""
    return (samples(read_config(out / INITIAL)) or 0) if begun(out) else 0
