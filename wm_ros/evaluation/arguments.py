# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share: whole numbers with a least value, the device."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from wm_ros.errors import UserError


class AtLeast(argparse.Action):
    """A whole number, or several: ``add_argument("--seeds", action=AtLeast, least=1)``."""

    def __init__(self, option_strings: Sequence[str], dest: str, *, least: int, **others: Any):
        super().__init__(option_strings, dest, type=int, **others)
        self.least = least

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: str | None = None) -> None:
        """Keep the value. :raises UserError: if it is less than the least"""
        if min(values if isinstance(values, list) else [values]) < self.least:
            raise UserError(f"{option_string} must be at least {self.least}.")
        setattr(namespace, self.dest, values)


class Device(argparse.Action):
    """Where a network runs: ``add_argument("--device", action=Device)``."""

    def __init__(self, option_strings: Sequence[str], dest: str):
        super().__init__(option_strings, dest, choices=("cpu", "cuda"), default="cpu",
                         help="what the network runs on; workers share one GPU (default cpu)")

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: str | None = None) -> None:
        """Keep the name. :raises UserError: if there is no GPU"""
        import torch

        if values == "cuda" and not torch.cuda.is_available():
            raise UserError("This machine has no CUDA device: leave --device out.")
        setattr(namespace, self.dest, values)
