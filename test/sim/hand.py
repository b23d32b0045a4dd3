# SPDX-License-Identifier: Apache-2.0
"""Helpers of the scene tests: a scene's simulator, and a hand that goes straight to poses."""

from __future__ import annotations

from functools import cache
from math import pi

import numpy as np

from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Pose, distance, interpolate, top_down
from wm_ros.robot import RobotConfig, load_robot
from wm_ros.sim.randomize import randomize
from wm_ros.sim.rooms import load_room
from wm_ros.sim.schema import Requirements
from wm_ros.sim.shapes import yaw_of
from wm_ros.sim.simulator import Simulator


@cache
def robot() -> RobotConfig:
    return load_robot()


@cache
def kinematics() -> Kinematics:
    return Kinematics(robot())


def simulator(room: str, seed: int = 0, split: str = "train", size: int = 96,
              **needs: object) -> Simulator:
    scene = randomize(load_room(room), seed, split, Requirements(**needs))  # type: ignore[arg-type]
    return Simulator(scene, robot(), size)


def half_turn(yaw: float) -> float:
    """The same grasp of a symmetric gripper, within a quarter turn."""
    return (yaw + 0.5 * pi) % pi - 0.5 * pi


def go(sim: Simulator, pose: Pose, speed: float = 0.25, settle: float = 0.1) -> int:
    """Moves the TCP in a straight line at 10 Hz; returns the worst furniture contact count."""
    start = sim.tcp_pose()
    metres, angle = distance(start, pose)
    steps, contacts = max(1, int(np.ceil(10 * max(metres / speed, angle)))), 0
    for step in range(steps):
        q = kinematics().ik(interpolate(start, pose, (step + 1) / steps), sim.arm_reference)
        assert q is not None, f"out of reach: {pose}"
        sim.set_arm_target(q, over=0.1)
        sim.advance(0.1)
        contacts = max(contacts, sim.robot_furniture_contacts())
    sim.advance(settle)
    return contacts


def grasp_pose(sim: Simulator, name: str) -> Pose:
    thing, pose = sim.scene.object(name), sim.object_pose(name)
    turn = thing.grasp.yaw[0] if thing.grasp.yaw else 0.0
    return top_down(pose.apply(np.array(thing.grasp.position)),
                    half_turn(yaw_of(pose.quaternion) + turn))


def above(pose: Pose, height: float) -> Pose:
    return Pose(pose.position + [0.0, 0.0, height], pose.quaternion)
