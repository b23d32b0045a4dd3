# SPDX-License-Identifier: Apache-2.0
"""How much a checkpoint's network has seen, by its ``config.yaml``."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def samples(card: Mapping[str, Any]) -> int | None:
    """Observations that the network was trained on, each as often as it was drawn, those of the
    checkpoints that it began from included; None where the card does not tell."""
    told = card.get("training") or {}
    if "samples" in told:
        return int(told["samples"])
    if "step" in told and "batch" in told:
        return (int(told["step"]) + int(told.get("foresight_step", 0))) * int(told["batch"])
    return None
