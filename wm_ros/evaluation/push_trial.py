# SPDX-License-Identifier: Apache-2.0
"""Pushes done in the simulator next to the twin's forecast of them, and what they teach it."""
from __future__ import annotations

from typing import Any

import numpy as np

from wm_ros.evaluation.pushes import DT, Push, bring, centre, choose, do
from wm_ros.evaluation.scan_truth import matches
from wm_ros.motion.kinematics import Kinematics
from wm_ros.sim.simulator import Simulator
from wm_ros.world_model.scene3d.identify import (
    Replay,
    Trial,
    best,
    holds,
    identified,
    mean_push,
    replay,
    updated,
)
from wm_ros.world_model.scene3d.perceived import PerceivedScene


def trials(sim: Simulator, scene: PerceivedScene, count: int, seed: int
           ) -> tuple[list[dict[str, Any]], PerceivedScene]:
    """``count`` pushes from the scanned state, each of which starts from it anew; and the scene
    with the friction and mass that they tell, where those foretell pushes better.

    Only pushes of what is truly a movable thing are judged: the truth names it and says how far
    it went, the forecast does not know it. ``error`` is the distance between the foretold and the
    true displacement of the thing's middle, m, ``force_error`` that between the mean pushing
    forces, N; ``.._identified`` the same where the twin knows friction and mass from the other
    pushes of that thing, None where there is none.
    """
    kinematics = Kinematics(sim.robot)
    names = {t.name: n for n, t in matches(sim, scene).items()}
    start, rng = sim.state(), np.random.default_rng((seed, 17))
    done: list[tuple[Trial, Replay, str]] = []
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
        trial = attempt(sim, scene, push, name, kinematics)
        done.append((trial, replay(push.name, trial, sim.robot, kinematics), push.name))
        out.append({"thing": name, "kind": sim.scene.object(name).kind,
                    "shape": scene.thing(push.name).solid.shape, "length": push.length,
                    "true": trial.displacement.round(5).tolist(),
                    "foretold": done[-1][1].moved[-1].round(5).tolist(),
                    "moved": float(np.linalg.norm(trial.displacement)), "force": trial.force})
    sim.set_state(start)
    for row, (trial, told, name) in zip(out, done, strict=True):
        rest = [d[1] for d in done if d[2] == name and d[1] is not told]
        for key, error in (("error", np.linalg.norm(told.moved - trial.displacement, axis=1)),
                           ("force_error", np.abs(told.force - trial.force))):
            row[key] = float(error[-1])
            row[f"{key}_identified"] = float(error[best(rest)]) if rest else None
    for name in sorted({d[2] for d in done}):
        replays = [d[1] for d in done if d[2] == name]
        if holds(replays):
            scene = updated(scene, name, identified(scene.thing(name), replays))
    return out, scene


def attempt(sim: Simulator, scene: PerceivedScene, push: Push, name: str, kinematics: Kinematics
            ) -> Trial:
    """Does a push of the true thing ``name``; the arm is before it."""
    q, gripper, before = sim.q, sim.gripper_width, centre(sim, name)
    force = do(sim, kinematics, push)
    return Trial(scene, q, gripper, push.position, push.quaternion, push.gripper, DT,
                 centre(sim, name) - before, push.direction, mean_push(force, push.direction))
