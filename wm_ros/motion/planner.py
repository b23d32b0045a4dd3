# SPDX-License-Identifier: Apache-2.0
"""Motion planning of one arm among obstacles; roboplan does the work."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import roboplan.core as rc

from wm_ros.motion.cartesian import CHECK_STEP, CartesianPlanner
from wm_ros.motion.errors import ErrorCode
from wm_ros.motion.plan import Plan, Request
from wm_ros.motion.planning_scene import EXACT_RECHECK
from wm_ros.motion.pose import Array, Pose
from wm_ros.motion.rrt import RRT, RRTOptions
from wm_ros.motion.world import CollisionWorld
from wm_ros.robot import RobotConfig

PADDING = 0.008  # m around obstacles while a path is searched
PADDED_RECHECK = 0.01  # rad, of the timed trajectory against padded obstacles
TURN = 0.001  # s in which others get the scene
OTHER_POSTURES = 4  # tried when the way to the nearest solution is blocked

__all__ = ["PADDING", "Plan", "Planner", "Request"]


class Planner(CartesianPlanner):
    """Planning scene and planner. Every method may be called from any thread.

    Paths are searched among obstacles grown by `padding` and the timed trajectory is checked
    again densely. Where the start or the goal lies within the padding (grasping needs that),
    the obstacles themselves are used.
    """

    def __init__(self, robot: RobotConfig, padding: float = PADDING, seed: int = 0) -> None:
        super().__init__(robot, padding)
        self._seed = seed

    def plan_joint(self, start_q: Array, goal_q: Array, request: Request | None = None) -> Plan:
        """From joint angles to joint angles (n,) rad, at rest at both ends."""
        request = request or Request()
        begin = time.perf_counter()
        start_q, goal_q = np.asarray(start_q, dtype=float), np.asarray(goal_q, dtype=float)
        with self._lock:
            found = self._check_start(start_q) or self._direct(start_q, [goal_q], request)
        return self._searched(start_q, found, request, begin)

    def plan_pose(self, start_q: Array, pose: Pose, request: Request | None = None) -> Plan:
        """From joint angles to a pose of the tool centre point in the base frame."""
        request = request or Request()
        begin = time.perf_counter()
        start_q = np.asarray(start_q, dtype=float)
        with self._lock:
            found = self._check_start(start_q) or self._direct_to_pose(start_q, pose, request)
        return self._searched(start_q, found, request, begin)

    def _direct_to_pose(self, start_q: Array, pose: Pose, request: Request) -> Plan | list[Array]:
        if not np.isfinite(np.concatenate(pose)).all():
            return self._fail(ErrorCode.INVALID_GOAL_CONSTRAINTS, "the goal pose is not finite")
        nearest = self.kinematics.ik(pose, start_q)
        if nearest is None:
            return self._fail(
                ErrorCode.NO_IK_SOLUTION, "the goal pose is out of the arm's reach"
            )
        if not self._exact.collides(nearest):
            plan = self._try_direct(start_q, nearest, request)
            if plan is not None:
                return plan
        goals = [nearest, *self.kinematics.ik_solutions(pose, start_q, OTHER_POSTURES)]
        if all(self._exact.collides(goal) for goal in goals):
            goals += self.kinematics.ik_solutions(pose, start_q, 5 * OTHER_POSTURES)
        return self._direct(start_q, goals, request)

    def _direct(
        self, start_q: Array, goals: list[Array], request: Request
    ) -> Plan | list[Array]:
        """Straight to any of the goals; if no way is free, the goals that are."""
        if any(g.shape != (self.robot.dof,) or not np.isfinite(g).all() for g in goals):
            return self._fail(ErrorCode.INVALID_GOAL_CONSTRAINTS, "the goal is not finite")
        inside = [g for g in goals if self.kinematics.in_limits(g, 1e-4)]
        if not inside:
            return self._fail(
                ErrorCode.INVALID_GOAL_CONSTRAINTS, "the goal is outside the joint limits"
            )
        free = [g for g in inside if not self._exact.collides(g)]
        if not free:
            return self._fail(
                ErrorCode.GOAL_IN_COLLISION,
                f"the goal is in collision: {self._describe_contacts(inside[0])}",
            )
        for goal in free:
            plan = self._try_direct(start_q, goal, request)
            if plan is not None:
                return plan
        return free

    def _searched(
        self, start_q: Array, found: Plan | list[Array], request: Request, begin: float
    ) -> Plan:
        """What was found, or a way to one of these goals by RRT-Connect (Kuffner 2000)."""
        plan = found if isinstance(found, Plan) else self._search(start_q, found, request, begin)
        return replace(plan, planning_time=time.perf_counter() - begin)

    def _search(
        self, start_q: Array, goals: list[Array], request: Request, begin: float
    ) -> Plan:
        attempt = 0
        while attempt == 0 or time.perf_counter() - begin < request.allowed_time:
            goal = goals[attempt % min(len(goals), 4)]
            left = max(0.05, begin + request.allowed_time - time.perf_counter())
            # Even a lone attempt must leave time for another posture; each looks at the scene as
            # it is then, and between two of them others have their turn.
            with self._lock:
                plan = self._try_rrt(start_q, goal, request, min(left, 1.0), attempt)
            if plan is not None:
                return plan
            attempt += 1
            time.sleep(TURN)
        if request.allowed_time <= 0.05:
            return self._fail(ErrorCode.TIMED_OUT, "no time was allowed for planning")
        return self._fail(
            ErrorCode.PLANNING_FAILED, f"no free path was found in {request.allowed_time:.2f} s"
        )

    def _world(self, start_q: Array, goal_q: Array) -> CollisionWorld:
        """The padded world, unless an end lies within the padding."""
        padded = self._padded
        return self._exact if padded.collides(start_q) or padded.collides(goal_q) else padded

    def _try_direct(self, start_q: Array, goal_q: Array, request: Request) -> Plan | None:
        world = self._world(start_q, goal_q)
        if world.collides_between(start_q, goal_q, CHECK_STEP):
            return None
        return self._time_and_check([start_q, goal_q], world, request)

    def _try_rrt(
        self, start_q: Array, goal_q: Array, request: Request, budget: float, attempt: int
    ) -> Plan | None:
        world = self._world(start_q, goal_q)
        names = list(self.robot.arm_joints)
        # An inexact first step: joints a hair outside their range would be refused.
        inside = np.clip(
            start_q, self.robot.position_limits[:, 0], self.robot.position_limits[:, 1]
        )
        options = RRTOptions(
            group_name=self.robot.srdf_group,
            max_nodes=20000,
            max_connection_distance=1.0,
            collision_check_step_size=CHECK_STEP,
            max_planning_time=budget,
            rrt_connect=True,
        )
        try:
            rrt = RRT(world.scene, options)
            rrt.setRngSeed(self._seed + attempt)
            found = rrt.plan(
                rc.JointConfiguration(names, inside), rc.JointConfiguration(names, goal_q)
            )
        except RuntimeError:
            return None
        raw = [start_q, *(np.asarray(q) for q in found.positions[1:])]
        if len(raw) < 2:
            return None
        short = self._shorten(raw, world, attempt)
        return self._time_and_check(short, world, request) or self._time_and_check(
            raw, world, request
        )

    def _shorten(self, path: list[Array], world: CollisionWorld, seed: int) -> list[Array]:
        """Skips points, then cuts corners between random places (Geraerts and Overmars 2007)."""
        path = self._skip_points(path, world)
        rng = np.random.default_rng(self._seed + seed)
        for _ in range(12):
            if len(path) < 3:
                break
            lengths = np.array(
                [np.linalg.norm(b - a) for a, b in zip(path, path[1:], strict=False)]
            )
            reach = np.concatenate([[0.0], np.cumsum(lengths)])
            low, high = np.sort(rng.uniform(0.0, reach[-1], 2))
            i, j = (int(np.searchsorted(reach, s, side="right")) - 1 for s in (low, high))
            if i == j or j >= len(lengths):
                continue
            a = path[i] + (path[i + 1] - path[i]) * ((low - reach[i]) / lengths[i])
            b = path[j] + (path[j + 1] - path[j]) * ((high - reach[j]) / lengths[j])
            if not world.collides_between(a, b, CHECK_STEP):
                path = [*path[: i + 1], a, b, *path[j + 1 :]]
        return self._skip_points(path, world)

    @staticmethod
    def _skip_points(path: list[Array], world: CollisionWorld) -> list[Array]:
        out, i = [path[0]], 0
        while i < len(path) - 1:
            j = len(path) - 1
            while j > i + 1 and world.collides_between(path[i], path[j], CHECK_STEP):
                j -= 1
            out.append(path[j])
            i = j
        return out

    def _time_and_check(
        self, path: list[Array], world: CollisionWorld, request: Request
    ) -> Plan | None:
        """Timed with rounded corners, or else with a rest at each; None if it touches."""
        checks = [(world, PADDED_RECHECK if world.padding > 0 else EXACT_RECHECK)]
        if world is not self._exact and world.has_mesh:
            checks.append((self._exact, EXACT_RECHECK))
        for blend in (0.05, 0.0) if len(path) > 2 else (0.05,):
            try:
                trajectory = self._timed(path, request, blend)
            except RuntimeError:
                continue
            if len(path) == 2:
                # The trajectory stays on this one straight segment: one call checks it all.
                free = not any(w.collides_between(path[0], path[1], step) for w, step in checks)
            else:
                free = all(self._free(w, trajectory, step) for w, step in checks)
            if free:
                return Plan(trajectory, ErrorCode.SUCCESS, 1.0)
        return None

