# SPDX-License-Identifier: Apache-2.0
"""An imagined future beside the recorded one."""
from __future__ import annotations

import numpy as np

CHANGED = 20.0  # of 255: a pixel whose brightest channel differs by more has changed
PEAK = 99.0  # dB, of images that do not differ


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """Peak signal to noise ratio of two uint8 images, dB; of the pixels ``where`` (H, W) alone."""
    error = np.square(a.astype(np.float64) - b.astype(np.float64))
    mean = float((error if where is None else error[where]).mean())
    return PEAK if mean == 0.0 else min(PEAK, float(10.0 * np.log10(255.0**2 / mean)))


def compare(present: np.ndarray, imagined: np.ndarray, later: np.ndarray
            ) -> dict[str, float | None]:
    """How well an image was imagined, beside taking the present one for it.

    :param present: (H, W, 3) uint8, what was seen when it was imagined
    :param later: what was seen then
    :return: PSNR of both in dB, over the image and over the pixels that changed (None: too few)
    """
    moved = np.abs(later.astype(np.int16) - present.astype(np.int16)).max(-1) > CHANGED
    enough = int(moved.sum()) >= 16
    return {"imagined_db": psnr(imagined, later), "copied_db": psnr(present, later),
            "changed": float(moved.mean()),
            "imagined_changed_db": psnr(imagined, later, moved) if enough else None,
            "copied_changed_db": psnr(present, later, moved) if enough else None}
