# SPDX-License-Identifier: Apache-2.0
"""The network as ONNX graphs, run by ONNX Runtime: the same numbers, fused, without Python.

Three graphs: encode an observation, one step of the actions' flow, and one with frames beside.
They are exported once for a checkpoint's weights and kept in the user's cache.
"""
from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wm_ros.errors import UserError
from wm_ros.world_model.text import DIM as TEXT_DIM
from wm_ros.world_model.video import encoder, locator, network, parts, transformer, way
from wm_ros.world_model.video.config import VideoConfig
from wm_ros.world_model.video.locator import KeyPoses
from wm_ros.world_model.video.network import ACTION_DIM, Context, Prediction, VideoNetwork
from wm_ros.world_model.video.parts import PROPRIO_DIM
from wm_ros.world_model.video.way import WAY_DIM

GRAPHS = ("encode", "act", "imagine")


class ExportedNetwork:
    """Answers as :class:`VideoNetwork` does, on the CPU in float32.

    :param folder: with the three graphs, see :func:`prepare`
    """

    def __init__(self, folder: Path, config: VideoConfig):
        import onnxruntime

        self.config = config

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # threads that wait must not take cores from the simulator and the planner
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._sessions = {name: onnxruntime.InferenceSession(
            str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
            for name in GRAPHS}

    def observe(self, *inputs: Tensor) -> Context:
        """See :meth:`VideoNetwork.observe`."""
        *rest, now = self._run("encode", inputs)
        count = len(KeyPoses._fields)
        return Context(_pairs(rest[:-count]), KeyPoses(*rest[-count:]), now)

    def __call__(self, context: Context, text: Tensor, action: Tensor, action_level: Tensor,
                 video: Tensor | None = None, video_level: Tensor | None = None,
                 present: Tensor | None = None, way: Tensor | None = None) -> Prediction:
        """See :meth:`VideoNetwork.forward`."""
        memory = [t for pair in context.memory for t in pair]
        given = [text, action, action_level]
        if video is None:
            velocity, value = self._run("act", [*given, *memory])
            return Prediction(velocity, None, value)
        assert video_level is not None and present is not None
        if way is None:
            way = video.new_zeros(*video.shape[:2], WAY_DIM)
        velocity, frames, value = self._run(
            "imagine", [*given, video, video_level, present, way, *memory])
        return Prediction(velocity, frames, value)

    def _run(self, name: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        session = self._sessions[name]
        fed = {slot.name: np.ascontiguousarray(x.numpy())
               for slot, x in zip(session.get_inputs(), inputs, strict=True)}
        return [torch.from_numpy(x) for x in session.run(None, fed)]


def ready(weights: Path) -> bool:
    """Whether ONNX Runtime and the graphs of these weights, made by this code, are there."""
    return importlib.util.find_spec("onnxruntime") is not None and _complete(_folder(weights))


def prepare(model: VideoNetwork, weights: Path) -> Path:
    """The folder of a network's graphs; exports them where that was not done yet.

    :param weights: file that ``model`` was filled from; with the code it names the graphs
    :raises UserError: if ONNX Runtime is missing, or what exporting needs
    """
    _need("onnxruntime")
    folder = _folder(weights)
    if _complete(folder):
        return folder
    _need("onnx", "onnxscript")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
    try:
        _export(model, partial)
        os.replace(partial, folder)
    except OSError:  # another process was faster
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _folder(weights: Path) -> Path:
    mark = zlib.crc32(weights.read_bytes())
    for module in (encoder, locator, network, parts, transformer, way):
        mark = zlib.crc32(Path(str(module.__file__)).read_bytes(), mark)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "wm_ros" / "onnx" / f"{mark:08x}"


def _complete(folder: Path) -> bool:
    return all((folder / f"{name}.onnx").is_file() for name in GRAPHS)


def _need(*modules: str) -> None:
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        raise UserError(f"The backend onnx needs {' and '.join(missing)}: "
                        f"pip install {' '.join(missing)}, or choose the backend torch.")


class _Encode(nn.Module):
    def __init__(self, model: VideoNetwork):
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        context = self.model.observe(*inputs)
        return (*(t.clone() for pair in context.memory for t in pair),
                *(t.clone() for t in context.key_poses), context.now)


class _Act(nn.Module):
    def __init__(self, model: VideoNetwork):
        super().__init__()
        self.model = model

    def forward(self, text: Tensor, action: Tensor, level: Tensor,
                *memory: Tensor) -> tuple[Tensor, ...]:
        out = self.model(_context(memory), text, action, level)
        return out.action, out.value


class _Imagine(nn.Module):
    def __init__(self, model: VideoNetwork):
        super().__init__()
        self.model = model

    def forward(self, text: Tensor, action: Tensor, level: Tensor, video: Tensor,
                video_level: Tensor, present: Tensor, way: Tensor,
                *memory: Tensor) -> tuple[Tensor, ...]:
        out = self.model(_context(memory), text, action, level, video, video_level, present, way)
        return out.action, out.video, out.value


def _export(model: VideoNetwork, folder: Path) -> None:
    """Write the three graphs; the number of candidates is free, an observation comes alone."""
    c, size = model.config, model.config.image_size
    seen = (torch.zeros(1, 3, size, size), torch.ones(1, size, size, 3),
            torch.zeros(1, 3, size, size), torch.zeros(1, PROPRIO_DIM), torch.zeros(1, TEXT_DIM))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses what nobody needs here
    with torch.inference_mode():
        memory = [t.clone() for pair in model.observe(*seen).memory for t in pair]
    n = 2
    many = [t.repeat_interleave(n, 0) for t in memory]
    frames, cells = len(c.frame_steps), c.latent_tokens
    act = (torch.zeros(n, TEXT_DIM), torch.zeros(n, c.horizon, ACTION_DIM), torch.ones(n))
    video = (torch.zeros(n, frames, cells, c.latent_channels), torch.ones(n),
             torch.zeros(n, cells, c.latent_channels), torch.zeros(n, frames, WAY_DIM))
    free = {0: torch.export.Dim("n", min=1, max=1024)}
    jobs: list[tuple[str, nn.Module, tuple[Tensor, ...], int]] = [
        ("encode", _Encode(model), seen, 0), ("act", _Act(model), (*act, *many), 3),
        ("imagine", _Imagine(model), (*act, *video, *many), 7)]
    for name, module, inputs, named in jobs:
        shapes: Any = None
        if named:
            shapes = (*[free] * named, tuple([free] * len(many)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(module.eval(), inputs, str(folder / f"{name}.onnx"), dynamo=True,
                              dynamic_shapes=shapes, external_data=False, verbose=False)


def _pairs(flat: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _context(memory: Sequence[Tensor]) -> Context:
    """A context of which only the memory is read."""
    nothing = memory[0]
    return Context(_pairs(memory), KeyPoses(*[nothing] * len(KeyPoses._fields)), nothing)
