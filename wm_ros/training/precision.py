# SPDX-License-Identifier: Apache-2.0
"""Mixed precision where the device computes it fast, plain float32 where it would be emulated."""
from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 autocast, or nothing on a CPU without AVX512-BF16 and AMX."""
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    if device.type == "cpu" and not any(getattr(torch.cpu, name, bool)() for name in tests):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
