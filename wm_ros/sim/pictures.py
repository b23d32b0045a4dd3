# SPDX-License-Identifier: Apache-2.0
"""Pictures of the rooms for the documentation: python -m wm_ros.sim.pictures [folder]."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from wm_ros.paths import share
from wm_ros.robot import load_robot
from wm_ros.sim.randomize import randomize
from wm_ros.sim.rooms import load_room
from wm_ros.sim.schema import Requirements
from wm_ros.sim.simulator import Simulator

PICTURES = {
    "home": (11, Requirements(
        objects=("mug", "apple", "bowl", "sponge"), furniture=("tray", "cabinet"),
        joints={"door": 0.5}, clutter=(4, 5), separation=0.03)),
    "office": (4, Requirements(
        objects=("notebook", "marker", "paper_ball"), furniture=("button_panel", "bin"),
        joints={"lamp_switch": 0.45}, clutter=(4, 5), separation=0.03)),
}


def draw(room: str, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """The room as the overview camera sees it, with shadows."""
    seed, requirements = PICTURES[room]
    scene = randomize(load_room(room), seed, "train", requirements)
    simulator = Simulator(scene, load_robot(), quality="detailed")
    picture = Image.fromarray(simulator.render("overview", size=size).rgb)
    simulator.close()
    return picture


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for room in PICTURES:
        path = folder / f"{room}.png"
        draw(room).save(path, optimize=True)
        print(f"wrote {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else share() / "docs" / "images")
