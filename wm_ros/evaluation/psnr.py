# SPDX-License-Identifier: Apache-2.0
"""Peak signal to noise ratio, the measure of imagined images."""
from __future__ import annotations

import numpy as np

EQUAL = 60.0  # dB, the most: of images that do not differ, or hardly


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """Of two uint8 images of one size, or of their pixels ``where`` (H, W) alone, dB; ``EQUAL`` at
    most."""
    squares = np.square(a.astype(np.float64) - b.astype(np.float64))
    error = float((squares if where is None else squares[where]).mean())
    return min(EQUAL, float(10 * np.log10(255**2 / error))) if error else EQUAL
