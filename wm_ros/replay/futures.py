# SPDX-License-Identifier: Apache-2.0
"""An imagined future beside the recorded one."""
from __future__ import annotations

import numpy as np

from wm_ros.evaluation.psnr import psnr

CHANGED = 20.0  # of 255: a pixel whose brightest channel differs by more has changed


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
