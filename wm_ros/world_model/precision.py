# SPDX-License-Identifier: Apache-2.0
"""Number formats chosen at load: what a device computes fast, and how a network gets there."""
from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from wm_ros.errors import UserError

#: what may be asked for -> what :class:`ModelStatus` then says
NAMES = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}
CHOICES = ("auto", *NAMES)


def best_dtype(device: str | torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it natively (AVX512-BF16, AMX, or a GPU that says
    so), else float32: emulated bf16 is slower than float32, not faster."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float32
    if device.type != "cpu":
        return torch.float32
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    native = any(getattr(torch.cpu, name, bool)() for name in tests)
    return torch.bfloat16 if native else torch.float32


def resolve(precision: str, device: str | torch.device) -> str:
    """``fp32``, ``bf16`` or ``int8`` for what was asked.

    ``auto`` is bf16 on a GPU that multiplies it, else fp32: a decision of one candidate is some
    2,000 small operators, which take longer in bf16 even where the CPU has AMX.

    :raises UserError: if there is no such precision, or not on this device
    """
    if precision not in CHOICES:
        raise UserError(f"There is no precision {precision!r}; choose from {', '.join(CHOICES)}.")
    if precision == "auto":
        fast = torch.device(device).type == "cuda" and best_dtype(device) is torch.bfloat16
        return "bf16" if fast else "fp32"
    if precision == "int8" and torch.device(device).type != "cpu":
        raise UserError("int8 runs on the CPU alone; choose bf16 or fp32 on a GPU.")
    return precision


def lower(module: nn.Module, precision: str, calls: Iterable[str] = ("forward",),
          linear: Iterable[str] = ()) -> None:
    """Bring ``module`` to a resolved precision, in place.

    :param calls: methods that are its entrances; in bf16 they run under autocast, so that what
        needs float32 inside (points in metres, the sampler's state) keeps it
    :param linear: children whose linear layers carry the work; in int8 their weights are stored
        per tensor and their inputs quantised as they come (dynamic quantisation)
    """
    if precision == "bf16":
        module.to(torch.bfloat16)
        device = next(module.parameters()).device.type
        for name in calls:
            setattr(module, name, _autocast(getattr(module, name), device))
    elif precision == "int8":
        with warnings.catch_warnings():  # torch says that this will move to another package
            warnings.simplefilter("ignore")
            for name in linear:
                torch.ao.quantization.quantize_dynamic(
                    module.get_submodule(name), {nn.Linear}, torch.qint8, inplace=True)


def _autocast(call: Callable[..., Any], device: str) -> Callable[..., Any]:
    @functools.wraps(call)
    def run(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, torch.bfloat16):
            return call(*args, **kwargs)
    return run


def weight_bytes(*modules: nn.Module) -> int:
    """Bytes of all weights and buffers, packed int8 weights too."""
    total = 0
    for module in modules:
        for value in module.state_dict().values():
            for tensor in value if isinstance(value, tuple) else (value,):
                if isinstance(tensor, torch.Tensor):
                    total += tensor.numel() * tensor.element_size()
    return total
