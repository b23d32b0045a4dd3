# SPDX-License-Identifier: Apache-2.0
"""Pushes: chosen from what was perceived, done in the simulator, foretold by the twin."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Array, Pose, top_down
from wm_ros.sim.shapes import inertial
from wm_ros.sim.simulator import Simulator
from wm_ros.world_model.scene3d.perceived import PerceivedScene, Thing

DT = 0.1  # s
STEP = 0.015  # m a control step while pushing
FINGERS = 0.012  # m, half the depth of closed fingers
LEAN = 0.7  # rad
ROUGH = 0.8  # friction at which a thing should still not topple
LANE = 0.045  # m, half the width that has to be free
SAFE = 0.14  # m over the table
READINGS = 10  # of the wrench a step
REST = 8  # steps of waiting after the push
REACH = (0.30, 0.66)


@dataclass(frozen=True)
class Push:
    """Tool poses (H, 3), (H, 4) and widths (H,) at 10 Hz that push a thing along a line.

    ``start`` is the pose before the first one, at a safe height; direction (2,), length m.
    """

    name: str
    start: Pose
    position: Array
    quaternion: Array
    gripper: Array
    direction: Array
    length: float


def choose(scene: PerceivedScene, rng: np.random.Generator, kinematics: Kinematics,
           tries: int = 60) -> Push | None:
    """A push of some thing in reach along a free lane, or None."""
    things = [t for t in scene.things if REACH[0] < np.hypot(*t.base[:2]) < REACH[1]]
    for _ in range(tries if things else 0):
        thing = things[int(rng.integers(len(things)))]
        angle, length = rng.uniform(-np.pi, np.pi), rng.uniform(0.04, 0.10)
        push = line(scene, thing, angle, length)
        if push is not None and free(scene, thing, push) and reachable(push, kinematics):
            return push
    return None


def line(scene: PerceivedScene, thing: Thing, angle: float, length: float) -> Push | None:
    """A push through the thing's middle: down before it, along, and up again."""
    way = np.array([np.cos(angle), np.sin(angle)])
    half = thing.solid.half_extent()
    # support of the box around the shape, generous
    rotation = thing.solid.pose.rotation()
    if thing.solid.shape == "box":
        reach = float(np.abs(way @ rotation[:2]) @ (0.5 * np.array(thing.solid.size)))
    else:
        reach = float(np.abs(way) @ half[:2])
    tall = 2 * half[2]
    # low enough to slide and not to topple, high enough to miss the table
    stable = 0.7 * min(reach, float(half[:2].min())) / ROUGH
    height = scene.height + float(np.clip(min(0.4 * tall, stable), 0.013, 0.03))
    middle = thing.solid.pose.position[:2]
    begin = middle - way * (reach + FINGERS + 0.025)
    end = middle - way * (reach + FINGERS) + way * length
    if not (REACH[0] < np.hypot(*end) < REACH[1]) or np.abs(end[1]) > 0.45:
        return None
    # the palm trails behind the fingers, so that it passes no tall thing's top
    lean = Pose.of(np.zeros(3), (0.0, np.sin(0.5 * LEAN), 0.0, np.cos(0.5 * LEAN)))
    turn = top_down(np.zeros(3), angle).compose(lean).quaternion
    above = np.array([*begin, scene.height + SAFE])
    down = np.linspace(above, (*begin, height), 7)[1:]
    count = max(2, int(np.ceil(np.linalg.norm(end - begin) / STEP)))
    along = np.linspace((*begin, height), (*end, height), count + 1)[1:]
    up = np.linspace((*end, height), (*(end - 0.03 * way), scene.height + SAFE), 6)[1:]
    wait = np.repeat(up[-1:], REST, axis=0)
    position = np.concatenate([down, along, along[-1:], up, wait])
    quaternion = np.repeat(turn[None], len(position), axis=0)
    return Push(thing.name, Pose(above, turn), position, quaternion,
                np.zeros(len(position)), way, length)


def free(scene: PerceivedScene, thing: Thing, push: Push) -> bool:
    """Whether nothing else stands in the lane of the hand and of the thing."""
    first = push.position[0][:2]
    last = first + push.direction * (push.length + 0.04 + 2 * float(
        np.abs(push.direction) @ thing.solid.half_extent()[:2]))
    others = [(t.base[:2], t.solid.half_extent()[:2]) for t in scene.things if t is not thing]
    for piece in scene.furniture:
        others += [(b.pose.position[:2], b.half_extent()[:2]) for b in piece.boxes]
    for middle, half in others:
        share = np.clip((middle - first) @ push.direction, -0.05,
                        float((last - first) @ push.direction))
        gap = np.abs(middle - (first + share * push.direction)) - half
        if np.linalg.norm(np.maximum(gap, 0)) < LANE:
            return False
    return True


def reachable(push: Push, kinematics: Kinematics) -> bool:
    """Whether the arm takes all poses without leaps."""
    q = kinematics.ik(push.start, kinematics.robot.home)
    for p, r in zip(push.position, push.quaternion, strict=True):
        former = q
        q = None if former is None else kinematics.ik(Pose(p, r), former)
        if q is None or former is None or np.abs(q - former).max() > 0.25:
            return False
    return True


def centre(sim: Simulator, name: str) -> Array:
    """Centre of mass (3,) of a true thing, m."""
    thing = sim.scene.object(name)
    return np.asarray(sim.object_pose(name).apply(inertial(thing.body)[0]))


def bring(sim: Simulator, kinematics: Kinematics, push: Push) -> bool:
    """Puts the arm before the push, fingers closed."""
    q = kinematics.ik(push.start, kinematics.robot.home)
    if q is None:
        return False
    sim.set_gripper_target(0.0)
    sim.set_arm(q)
    sim.advance(0.6)
    return True


def do(sim: Simulator, kinematics: Kinematics, push: Push) -> Array:
    """Executes the push as an episode's steps are executed; mean force (H, 3) on the hand
    in each step, N."""
    q = sim.q
    limits = sim.robot.velocity_limits
    force = np.zeros((len(push.position), 3))
    for i, (p, r) in enumerate(zip(push.position, push.quaternion, strict=True)):
        goal = kinematics.ik(Pose(p, r), q)
        if goal is not None:
            most = float((np.abs(goal - q) / (limits * DT)).max())
            q = q + (goal - q) / max(most, 1.0)
        sim.set_arm_target(q, over=DT)
        for _ in range(READINGS):
            sim.advance(DT / READINGS)
            force[i] += sim.hand_pose().rotation() @ sim.wrench()[:3] / READINGS
    return force
