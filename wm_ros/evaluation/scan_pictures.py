# SPDX-License-Identifier: Apache-2.0
"""The room, the fused map and the perceived scene side by side."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from wm_ros.sim.simulator import Simulator
from wm_ros.world_model.scene3d.perceived import PerceivedScene
from wm_ros.world_model.scene3d.raycast import raycast
from wm_ros.world_model.scene3d.robot_mask import point_camera
from wm_ros.world_model.scene3d.room import to_scene
from wm_ros.world_model.scene3d.tsdf import Volume

TITLES = ("the room", "fused", "perceived: boxes and shapes")


def draw(sim: Simulator, volume: Volume, scene: PerceivedScene, path: Path,
         size: tuple[int, int]) -> None:
    """Writes one picture of three: as it is, as fused, as the twin has it."""
    true = sim.render("overview", size=size)
    fused, _ = raycast(volume, true.K, true.pose, size)
    twin = Simulator(to_scene(scene), sim.robot)
    try:
        point_camera(twin, "overview", true.K, true.pose, size[1])
        twin.set_arm(sim.q)
        seen = twin.render("overview", size=size)
        empty = twin.visible_bodies("overview", size) < 0
        seen.rgb[empty] = 235
    finally:
        twin.close()
    picture = Image.fromarray(np.concatenate([true.rgb, fused, seen.rgb], 1))
    pen = ImageDraw.Draw(picture)
    for i, title in enumerate(TITLES):
        at = (i * size[0] + 8, 6)
        pen.rectangle((*at, at[0] + 6.4 * len(title) + 8, at[1] + 16), fill=(255, 255, 255))
        pen.text((at[0] + 4, at[1] + 2), title, fill=(20, 20, 20))
    picture.save(path, optimize=True)
