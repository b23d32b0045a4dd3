# SPDX-License-Identifier: Apache-2.0
"""Straight lines of the tool through waypoints, followed as far as they can be."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wm_ros.motion.errors import ErrorCode
from wm_ros.motion.lines import along
from wm_ros.motion.plan import Plan, Request
from wm_ros.motion.planning_scene import EXACT_RECHECK, PlanningScene
from wm_ros.motion.pose import Array, Pose
from wm_ros.motion.timing import Timing
from wm_ros.motion.trajectory import RANGE_SLACK, Trajectory
from wm_ros.robot import RobotConfig

CHECK_STEP = 0.05  # rad, joint distance between checks while a path is searched
GRAZE = 0.01  # m, a path may start in a contact this deep and leave it
GRAZE_GROWTH = 0.002  # m by which such a contact may deepen
MAX_JUMP = 0.35  # rad a joint may move between neighbouring points of a path
BETWEEN = 1.02  # times the tool's speed at the points, it moves between them at most


@dataclass(frozen=True)
class Graze:
    """Names that touch where a path starts, and how deep (m)."""

    pairs: frozenset[frozenset[str]]
    depth: float


class CartesianPlanner(PlanningScene):
    """Planning scene, and Cartesian paths in it."""

    def __init__(self, robot: RobotConfig, padding: float) -> None:
        super().__init__(robot, padding)
        self._timing = Timing(robot)

    def plan_cartesian(
        self,
        start_q: Array,
        poses: Sequence[Pose],
        avoid_collisions: bool = True,
        max_step: float = 0.01,
        request: Request | None = None,
        max_jump: float = MAX_JUMP,
    ) -> Plan:
        """Straight lines of the tool centre point through poses in the base frame.

        Like MoveIt, follows the path as far as it can; `fraction` says how far, each line
        between two poses counting the same.

        A start that only grazes an obstacle is left, or slid along, as long as the contact does
        not deepen; an arm that works on a surface could not move on otherwise.

        :param max_step: metres between the points at which the path is solved and checked.
        """
        request = request or Request()
        begin = time.perf_counter()
        start_q = np.asarray(start_q, dtype=float)
        with self._lock:
            plan = self._check_start(start_q, collisions=False)
            graze = None
            if plan is None and avoid_collisions and self._exact.collides(start_q):
                graze = self._graze(start_q)
                if graze is None:
                    plan = self._check_start(start_q)
            if plan is None:
                plan = self._follow(
                    start_q, poses, avoid_collisions, max_step, request, max_jump, graze
                )
        return replace(plan, planning_time=time.perf_counter() - begin)

    def _free_after(self, trajectory: Trajectory, path: list[Array], free_from: int) -> bool:
        """Whether the trajectory is free once it has left its first, grazing points."""
        if free_from >= len(path):
            return True
        away = np.linalg.norm(trajectory.positions - path[free_from], axis=1)
        first = int(np.argmin(away)) if free_from else 0
        while free_from and first < len(away) - 1 and self._exact.collides(
            trajectory.positions[first]
        ):
            if np.linalg.norm(trajectory.positions[first] - path[free_from]) > CHECK_STEP:
                return False
            first += 1
        rest = replace(trajectory, positions=trajectory.positions[first:])
        return self._free(self._exact, rest, 2 * EXACT_RECHECK)

    def _follow(
        self,
        start_q: Array,
        poses: Sequence[Pose],
        avoid_collisions: bool,
        max_step: float,
        request: Request,
        max_jump: float,
        graze: Graze | None,
    ) -> Plan:
        if not poses:
            return Plan(Trajectory.still(self.robot.arm_joints, start_q), ErrorCode.SUCCESS, 1.0)
        if not all(np.isfinite(np.concatenate(pose)).all() for pose in poses):
            return self._fail(ErrorCode.INVALID_GOAL_CONSTRAINTS, "a waypoint is not finite")
        max_step = max(max_step, 0.002) if max_step > 0 else 0.01
        path, shares = [start_q], [0.0]
        stop, free_from = "", 0 if graze is None else 1
        for share, pose in along(self.kinematics.fk(start_q), poses, max_step):
            q = self._next(path, pose, max_jump)
            number = int(np.ceil(share * len(poses) - 1e-9))
            if q is None:
                stop = f"no joint angles continue the path at waypoint {number}"
            elif graze is not None and self._exact.collides(q):
                if not self._still_grazes(q, graze):
                    stop = f"collision on the way to waypoint {number}"
                free_from = len(path) + 1
            elif graze is not None:
                graze = None
            elif avoid_collisions and self._exact.collides_between(path[-1], q, CHECK_STEP):
                stop = f"collision on the way to waypoint {number}"
            if q is None or stop:
                break
            path.append(q)
            shares.append(share)
        return self._timed_prefix(path, shares, avoid_collisions, request, stop, free_from)

    def _graze(self, q: Array) -> Graze | None:
        """The shallow contacts at q; None if one is too deep to be left."""
        contacts = self.contacts(q)
        depth = max((c.depth for c in contacts), default=0.0)
        pairs = frozenset(frozenset((c.body_1, c.body_2)) for c in contacts)
        # of two meshes the depth is that of two triangles, however deep they lie in one another
        told = all(self._is_solid(*pair) for pair in pairs)
        return Graze(pairs, depth) if told and depth <= GRAZE else None

    def _is_solid(self, *bodies: str) -> bool:
        """Whether one of two bodies is made of solids alone; links are meshes."""
        return any(b not in self.links and b not in self._exact.with_mesh for b in bodies)

    def _still_grazes(self, q: Array, graze: Graze) -> bool:
        contacts = self.contacts(q)
        return all(
            frozenset((c.body_1, c.body_2)) in graze.pairs
            and c.depth <= graze.depth + GRAZE_GROWTH
            for c in contacts
        )

    def _next(self, path: list[Array], pose: Pose, max_jump: float) -> Array | None:
        """The next point of a Cartesian path, continuing from the former."""
        q = self.kinematics.step(pose, path[-1])
        return None if q is None or np.abs(q - path[-1]).max() > max_jump else q

    def _timed_prefix(
        self,
        path: list[Array],
        shares: list[float],
        avoid_collisions: bool,
        request: Request,
        stop: str,
        free_from: int,
    ) -> Plan:
        """As much of a path as is free when timed. As in MoveIt that is a success, even where it
        is nothing; the fraction tells."""
        while True:
            if len(path) == 1:
                still = Trajectory.still(self.robot.arm_joints, path[0])
                return Plan(still, ErrorCode.SUCCESS, shares[0], stop)
            try:
                trajectory = self._timed(path, request, 0.01)
            except RuntimeError as error:
                return self._fail(ErrorCode.PLANNING_FAILED, f"the path cannot be timed: {error}")
            if not avoid_collisions or self._free_after(trajectory, path, free_from):
                return Plan(trajectory, ErrorCode.SUCCESS, shares[-1], stop)
            stop = stop or "the timed path would touch an obstacle"
            path, shares = path[:-1], shares[:-1]

    def _fail(self, code: ErrorCode, message: str) -> Plan:
        return Plan(Trajectory.empty(self.robot.arm_joints), code, 0.0, message)

    def _check_start(self, q: Array, collisions: bool = True) -> Plan | None:
        if q.shape != (self.robot.dof,) or not np.isfinite(q).all():
            return self._fail(ErrorCode.INVALID_ROBOT_STATE, "the start state is not finite")
        if not self.kinematics.in_limits(q, RANGE_SLACK):
            return self._fail(
                ErrorCode.START_STATE_INVALID, "the start state is outside the joint limits"
            )
        if collisions and self._exact.collides(q):
            return self._fail(
                ErrorCode.START_STATE_IN_COLLISION,
                f"the start state is in collision: {self._describe_contacts(q)}",
            )
        return None

    def _describe_contacts(self, q: Array) -> str:
        pairs = sorted({f"{c.body_1} with {c.body_2}" for c in self.contacts(q)})
        return ", ".join(pairs[:3]) or "contact"

    def _timed(self, path: list[Array], request: Request, blend: float) -> Trajectory:
        trajectory = self._timing(path, request.velocity_scale, request.acceleration_scale, blend)
        if request.max_tcp_speed <= 0.0:
            return trajectory
        fastest = self.kinematics.tool_speed(
            trajectory.times, trajectory.positions, trajectory.velocities)
        factor = BETWEEN * fastest / request.max_tcp_speed
        return trajectory.stretched(factor) if factor > 1 else trajectory
