# SPDX-License-Identifier: Apache-2.0
"""Writes the Gazebo worlds: python -m wm_ros.sim.write_worlds [folder]."""

from __future__ import annotations

import sys
from pathlib import Path

from wm_ros.paths import share
from wm_ros.sim.randomize import randomize
from wm_ros.sim.rooms import load_room
from wm_ros.sim.schema import Requirements, Scene
from wm_ros.sim.sdf_emitter import world_xml

# what the rooms hold that are checked in as worlds/<room>.sdf
WORLDS = {
    "home": (11, Requirements(objects=("mug", "apple", "bowl", "sponge"),
                              furniture=("tray", "cabinet"), clutter=(3, 4))),
    "office": (4, Requirements(objects=("notebook", "marker", "paper_ball"),
                               furniture=("drawer_unit", "button_panel"), clutter=(3, 4))),
}


def world_scene(room: str) -> Scene:
    """The scene of worlds/<room>.sdf."""
    seed, requirements = WORLDS[room]
    return randomize(load_room(room), seed, "train", requirements)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for room in WORLDS:
        path = folder / f"{room}.sdf"
        path.write_text(world_xml(world_scene(room)))
        print(f"wrote {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else share() / "worlds")
