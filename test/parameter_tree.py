# SPDX-License-Identifier: Apache-2.0
"""Parameters as files nest them."""
from __future__ import annotations

from typing import Any


def flat(tree: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Parameters with dots in their names."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= (flat(value, f"{before}{key}.") if isinstance(value, dict)
                  else {before + key: value})
    return found
