# SPDX-License-Identifier: Apache-2.0
"""How fast the simulator is here: python -m wm_ros.sim.benchmark."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial

from wm_ros.robot import load_robot
from wm_ros.sim.randomize import randomize
from wm_ros.sim.rooms import load_room
from wm_ros.sim.schema import Requirements
from wm_ros.sim.simulator import Simulator

SIZES = ((96, 96), (224, 224), (640, 480))


def _rate(work: Callable[[], object], seconds: float) -> float:
    """Calls a second over about `seconds`, after one call to warm up."""
    work()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        work()
        count += 1
    return count / (time.perf_counter() - start)


def benchmark(seconds: float = 1.0) -> dict[str, dict[str, float]]:
    """Per room: pictures a second per camera and size, physics in multiples of real time,
    milliseconds to draw and to build a scene.

    :param seconds: how long each figure is measured
    """
    robot, out = load_robot(), {}
    needs = {"home": Requirements(objects=("mug",), furniture=("tray",), clutter=(5, 5)),
             "office": Requirements(objects=("marker",), furniture=("bin",), clutter=(5, 5))}
    for room, task in needs.items():
        figures: dict[str, float] = {}
        loaded = load_room(room)
        figures["randomize_ms"] = 1e3 / _rate(
            partial(randomize, loaded, 1, "train", task), 0.2 * seconds)
        scene = randomize(loaded, 1, "train", task)
        figures["build_ms"] = 1e3 / _rate(
            partial(Simulator, scene, robot), 0.2 * seconds)
        sim = Simulator(scene, robot)
        for size in SIZES:
            for camera, depth in (("scene", True), ("wrist", False)):
                name = f"{camera}{'_depth' if depth else ''}_{size[0]}x{size[1]}_fps"
                figures[name] = _rate(
                    partial(sim.render, camera, depth, size), seconds)
        figures["physics_x_real_time"] = 0.1 * _rate(partial(sim.advance, 0.1), seconds)
        sim.close()
        out[room] = {key: round(value, 2) for key, value in figures.items()}
    return out


if __name__ == "__main__":
    print(json.dumps(benchmark(), indent=1))
