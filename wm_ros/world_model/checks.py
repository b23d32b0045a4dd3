# SPDX-License-Identifier: Apache-2.0
"""What the families ask of an observation before a network sees it."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wm_ros.errors import UserError
from wm_ros.world_model.interface import Observation


def check(o: Observation, size: int, values: Mapping[str, np.ndarray | float]) -> None:
    """Refuse images that are not (size, size, 3) and values, by name, that are not finite.

    :raises UserError: with what to do
    """
    for name, image in (("scene", o.scene_rgb), ("wrist", o.wrist_rgb)):
        if image.shape != (size, size, 3):
            raise UserError(f"The {name} image is {image.shape}, the model was trained on "
                            f"({size}, {size}, 3): let perception resize it.")
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise UserError(f"The {name} hold NaN: check the driver that publishes them.")
