# SPDX-License-Identifier: Apache-2.0
"""How fast and how sound the planner is on a table scene."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.planner import Planner
from wm_ros.motion.pose import Array, Pose, top_down
from wm_ros.motion.shapes import Box, Cylinder, SceneObject
from wm_ros.motion.trajectory import check_limits
from wm_ros.robot import load_robot


def table_scene(planner: Planner) -> None:
    """A table with its top at z = 0, a tall box, a low box, a bottle and a shelf board."""
    at = Pose.of
    for id, shape, pose in (
        ("table", Box((1.2, 1.6, 0.05)), at((0.5, 0.0, -0.03))),
        ("tall_box", Box((0.12, 0.12, 0.35)), at((0.5, 0.22, 0.175))),
        ("low_box", Box((0.2, 0.15, 0.1)), at((0.55, -0.25, 0.05))),
        ("bottle", Cylinder(0.035, 0.25), at((0.42, -0.08, 0.125))),
        ("shelf", Box((0.25, 0.9, 0.02)), at((0.8, 0.0, 0.45))),
    ):
        planner.add_object(SceneObject.of(id, shape, pose))


def free_goals(planner: Planner, count: int, seed: int) -> list[Pose]:
    """Random top-down poses over the table, reachable without collision."""
    rng = np.random.default_rng(seed)
    goals: list[Pose] = []
    while len(goals) < count:
        radius, angle = rng.uniform(0.35, 0.7), rng.uniform(-0.9, 0.9)
        place = (radius * np.cos(angle), radius * np.sin(angle), rng.uniform(0.03, 0.35))
        pose = top_down(place, rng.uniform(-1.5, 1.5))
        if planner.ik(pose, planner.robot.home, avoid_collisions=True) is not None:
            goals.append(pose)
    return goals


def densely_free(planner: Planner, positions: Array) -> bool:
    """Every configuration of a trajectory, and 8 between each pair of points, is free."""
    for a, b in zip(positions, positions[1:], strict=False):
        for f in np.linspace(0.0, 1.0, 9):
            if planner.in_collision(a + f * (b - a)):
                return False
    return True


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    return {
        "median_ms": round(1e3 * float(np.median(seconds)), 3),
        "p95_ms": round(1e3 * float(np.percentile(seconds, 95)), 3),
    }


def benchmark(goals: int = 200, seed: int = 0) -> dict[str, Any]:
    """Times the planner on chained pose goals over the table scene.

    :returns: per stage the median and p95 in ms; `valid` is the share of plans that are free of
        collisions and within limits when checked again densely, `solved` the share planned.
    """
    robot = load_robot("panda")
    planner = Planner(robot)
    table_scene(planner)
    home = np.asarray(robot.home)
    poses = free_goals(planner, goals, seed)
    planner.plan_pose(home, poses[0])  # warm up

    times, solved, valid, q = [], 0, 0, home
    for pose in poses:
        begin = time.perf_counter()
        plan = planner.plan_pose(q, pose)
        times.append(time.perf_counter() - begin)
        if not plan.success:
            continue
        solved += 1
        sound = densely_free(planner, plan.trajectory.positions)
        valid += sound and not check_limits(plan.trajectory, robot)
        q = plan.trajectory.end

    return {
        "pose_goal": {
            **percentiles(times),
            "goals": goals,
            "solved": solved / goals,
            "valid": valid / max(solved, 1),
        },
        "ik": percentiles(_time_ik(Kinematics(robot), poses, home)),
        "collision_check": percentiles(_time_checks(planner, seed)),
        "cartesian_chunk": percentiles(_time_chunks(planner, poses)),
    }


def _time_ik(kinematics: Kinematics, poses: list[Pose], q: Array) -> list[float]:
    times = []
    for pose in poses:
        begin = time.perf_counter()
        kinematics.ik(pose, q)
        times.append(time.perf_counter() - begin)
    return times


def _time_checks(planner: Planner, seed: int, count: int = 1000) -> list[float]:
    rng = np.random.default_rng(seed)
    limits = planner.robot.position_limits
    times = []
    for q in rng.uniform(limits[:, 0], limits[:, 1], (count, len(limits))):
        begin = time.perf_counter()
        planner.in_collision(q)
        times.append(time.perf_counter() - begin)
    return times


def _time_chunks(planner: Planner, poses: list[Pose]) -> list[float]:
    """Eight waypoints of 2.5 cm each, as a world model proposes them."""
    times = []
    home = np.asarray(planner.robot.home)
    start = planner.fk(home)
    for pose in poses[:100]:
        way = pose.position - start.position
        step = way * (0.025 / max(float(np.linalg.norm(way)), 1e-6))
        chunk = [Pose(start.position + i * step, start.quaternion) for i in range(1, 9)]
        begin = time.perf_counter()
        planner.plan_cartesian(home, chunk)
        times.append(time.perf_counter() - begin)
    return times
