# SPDX-License-Identifier: Apache-2.0
"""Cells of a grid covered by few boxes."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Corners = tuple[NDArray[np.int64], NDArray[np.int64]]


def cover(occupied: NDArray[np.bool_]) -> list[Corners]:
    """Disjoint boxes [low, high) that cover exactly the occupied cells of an n-d grid.

    Greedy: from each corner that is left, as far as it goes along the longest axis first.
    """
    left = occupied.copy()
    order = np.argsort(occupied.shape)[::-1]
    out = []
    for start in np.argwhere(occupied):
        if not left[tuple(start)]:
            continue
        low, high = start.copy(), start + 1
        for axis in order:
            while high[axis] < occupied.shape[axis]:
                edge = tuple(slice(high[axis], high[axis] + 1) if a == axis
                             else slice(low[a], high[a]) for a in range(occupied.ndim))
                if not left[edge].all():
                    break
                high[axis] += 1
        left[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = False
        out.append((low, high))
    return out
