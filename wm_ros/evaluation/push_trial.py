# SPDX-License-Identifier: Apache-2.0
"""Pushes done in the simulator next to the twin's forecast of them."""
from __future__ import annotations

from typing import Any

import numpy as np

from wm_ros.evaluation.pushes import DT, bring, centre, choose, do
from wm_ros.evaluation.scan_truth import matches
from wm_ros.motion.kinematics import Kinematics
from wm_ros.sim.simulator import Simulator
from wm_ros.world_model.scene3d.perceived import PerceivedScene
from wm_ros.world_model.scene3d.twin import Twin


def trials(sim: Simulator, scene: PerceivedScene, count: int, seed: int) -> list[dict[str, Any]]:
    """``count`` pushes from the scanned state; each starts from it anew.

    Only pushes of what is truly a movable thing are judged: the truth names it, the forecast
    does not know it. ``error`` is the distance between the foretold and the true displacement
    of the thing's middle, m.
    """
    kinematics = Kinematics(sim.robot)
    names = {t.name: n for n, t in matches(sim, scene).items()}
    start, rng = sim.state(), np.random.default_rng((seed, 17))
    out: list[dict[str, Any]] = []
    for _ in range(4 * count):
        if len(out) == count:
            break
        push = choose(scene, rng, kinematics)
        if push is None:
            break
        if push.name not in names:
            continue
        name = names[push.name]
        sim.set_state(start)
        if not bring(sim, kinematics, push):
            continue
        twin = Twin(scene, sim.robot, sim.q, sim.gripper_width, kinematics)
        try:
            told = twin.roll(push.position[None], push.quaternion[None], push.gripper[None], DT)
            i = twin.names.index(push.name)
            foretold = told.poses[0, -1, i, :3] - told.poses[0, 0, i, :3]
        finally:
            twin.close()
        before = centre(sim, name)
        do(sim, kinematics, push)
        true = centre(sim, name) - before
        out.append({"thing": name, "kind": sim.scene.object(name).kind,
                    "shape": scene.thing(push.name).solid.shape, "length": push.length,
                    "true": true.round(5).tolist(), "foretold": foretold.round(5).tolist(),
                    "moved": float(np.linalg.norm(true)),
                    "error": float(np.linalg.norm(foretold - true))})
    sim.set_state(start)
    return out
