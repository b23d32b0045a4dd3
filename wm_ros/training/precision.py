# SPDX-License-Identifier: Apache-2.0
"""Mixed precision where the device computes it fast, plain float32 where it would be emulated."""
from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from wm_ros.world_model.precision import best_dtype


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 autocast, or nothing where :func:`best_dtype` is float32."""
    if best_dtype(device) is torch.float32:
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
