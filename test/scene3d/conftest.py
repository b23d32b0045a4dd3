# SPDX-License-Identifier: Apache-2.0
"""The synthetic room, fused and perceived once a module."""
from __future__ import annotations

import pytest
from synthetic_room import EYES, view

from wm_ros.world_model.scene3d.perceive import PerceivedScene, perceive
from wm_ros.world_model.scene3d.tsdf import Volume


@pytest.fixture(scope="module")
def volume() -> Volume:
    out = Volume((0.0, -0.7, -0.06), (1.0, 0.7, 0.3))
    for eye in EYES:
        out.integrate(view(eye))
    return out


@pytest.fixture(scope="module")
def scene(volume: Volume) -> PerceivedScene:
    return perceive(volume, least_weight=0.2)
