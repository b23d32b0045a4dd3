# SPDX-License-Identifier: Apache-2.0
"""Forward and inverse kinematics of one arm, a thin adapter over roboplan."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import roboplan.core as rc

from wm_ros.motion.planner_urdf import planner_urdf
from wm_ros.motion.pose import (
    Array,
    Pose,
    quaternion_from_rotation,
    rotvec_from_rotation,
)
from wm_ros.paths import package_dirs
from wm_ros.robot import RobotConfig

POSITION_TOLERANCE = 2e-5  # m
ROTATION_TOLERANCE = 1e-4  # rad
MAX_STEP = 0.6  # rad, Newton step per iteration
CLEARANCE = 1e-3  # rad, kept to every joint limit
SAMPLES = 4000  # configurations of the seed table


def make_scene(robot: RobotConfig, name: str = "wm_ros") -> rc.Scene:
    """A roboplan scene of the robot alone, with the SRDF's groups and allowed collisions."""
    paths = [str(path) for path in package_dirs(robot.urdf)]
    scene = rc.Scene(name, rc.loadUrdfSceneDescriptionFromXml(planner_urdf(robot), paths))
    scene.importSrdf(robot.srdf_path.read_text())
    return scene


class Kinematics:
    """Kinematics of the tool centre point in the base frame. Use one instance per thread."""

    def __init__(self, robot: RobotConfig) -> None:
        self.robot = robot
        self.scene = make_scene(robot)
        group = self.scene.getJointGroupInfo(robot.srdf_group)
        self._index = np.asarray(self.scene.getJointPositionIndices(list(robot.arm_joints)))
        self._velocity_index = np.asarray(group.v_indices)
        self._full = np.asarray(self.scene.getCurrentJointPositions(), dtype=np.float64).copy()
        self._fingers = np.asarray(
            self.scene.getJointPositionIndices(
                [j for j in robot.finger_joints if j in self.scene.getJointNames()]
            ),
            dtype=int,
        )
        self._offset = robot.tcp_offset.matrix()
        # Twist of the hand, in its axes, to the twist of the tool in its own.
        x, y, z = robot.tcp_offset.position
        turn = self._offset[:3, :3].T
        self._twist = np.zeros((6, 6))
        self._twist[:3, :3] = self._twist[3:, 3:] = turn
        self._twist[:3, 3:] = turn @ np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])
        self._lower = robot.position_limits[:, 0] + CLEARANCE
        self._upper = robot.position_limits[:, 1] - CLEARANCE
        self.set_gripper(robot.gripper.open_width)

    def set_gripper(self, width: float) -> None:
        """Opening of the fingers in metres, used by collision checks."""
        self._full[self._fingers] = width * self.robot.gripper.finger_scale

    def full(self, q: Array) -> Array:
        """The scene's whole configuration for arm joints q (n,)."""
        out = self._full.copy()
        out[self._index] = q
        return out

    def link_pose(self, q: Array, link: str) -> Pose:
        """Pose of any link in the base frame."""
        if link == self.robot.tcp_link:
            return self.fk(q)
        m = self.scene.forwardKinematics(self.full(q), link, self.robot.base_link)
        return Pose.from_matrix(np.asarray(m))

    def tcp_matrix(self, q: Array) -> Array:
        """Homogeneous matrix (4, 4) of the tool centre point in the base frame."""
        hand = self.scene.forwardKinematics(
            self.full(q), self.robot.hand_link, self.robot.base_link
        )
        return np.asarray(hand) @ self._offset

    def fk(self, q: Array) -> Pose:
        """Pose of the tool centre point in the base frame at joint angles q (n,) rad."""
        m = self.tcp_matrix(np.asarray(q, dtype=np.float64))
        return Pose(np.array(m[:3, 3]), quaternion_from_rotation(m[:3, :3]))

    def jacobian(self, q: Array) -> Array:
        """(6, n) linear then angular velocity of the tool centre point in its own frame."""
        hand = np.asarray(self.scene.computeFrameJacobian(self.full(q), self.robot.hand_link))
        return self._twist @ hand[:, self._velocity_index]

    def tool_speed(self, times: Array, positions: Array, velocities: Array | None) -> float:
        """Highest speed of the tool centre point (m/s) along a path: times (N,) s, positions and,
        where they are known, velocities (N, n); from point to point, and at the points."""
        if len(times) < 2:
            return 0.0
        places = np.array([self.fk(q).position for q in positions])
        fastest = float((np.linalg.norm(np.diff(places, axis=0), axis=1) / np.diff(times)).max())
        if velocities is None:
            return fastest
        return max(fastest, *(float(np.linalg.norm((self.jacobian(q) @ v)[:3]))
                              for q, v in zip(positions, velocities, strict=True)))

    def in_limits(self, q: Array, tolerance: float = 1e-6) -> bool:
        """Whether every joint lies within its position limits."""
        limits = self.robot.position_limits
        return bool(
            np.isfinite(q).all()
            and (q >= limits[:, 0] - tolerance).all()
            and (q <= limits[:, 1] + tolerance).all()
        )

    def ik(self, pose: Pose, seed_q: Array, collision: bool = False) -> Array | None:
        """Joint angles (n,) that reach the pose, near the seed; None if there are none.

        Damped least squares from the seed; its minimum-norm steps stay near it. If that fails,
        from the best configurations of a fixed table, and the nearest solution is taken.

        :param collision: refuse solutions in which the robot touches itself.
        """
        target = pose.matrix()
        if not np.isfinite(target).all() or not np.isfinite(seed_q).all():
            return None
        seed = np.clip(np.asarray(seed_q, dtype=np.float64), self._lower, self._upper)
        q = self._solve(target, seed)
        if q is not None and self._accept(q, collision):
            return q
        best: Array | None = None
        for start in self._starts(pose, seed):
            q = self._solve(target, start)
            if q is None or not self._accept(q, collision):
                continue
            if best is None or np.linalg.norm(q - seed) < np.linalg.norm(best - seed):
                best = q
        return best

    def step(self, pose: Pose, former_q: Array) -> Array | None:
        """The solution that continues smoothly from the former point of a path, or None."""
        start = np.clip(np.asarray(former_q, dtype=np.float64), self._lower, self._upper)
        return self._solve(pose.matrix(), start)

    def ik_solutions(self, pose: Pose, seed_q: Array, count: int = 8) -> list[Array]:
        """Several solutions of different arm postures, nearest to the seed first."""
        target = pose.matrix()
        seed = np.clip(np.asarray(seed_q, dtype=np.float64), self._lower, self._upper)
        found: list[Array] = []
        for start in [seed, *self._starts(pose, seed, count)]:
            q = self._solve(target, start)
            if q is not None and all(np.linalg.norm(q - other) > 0.1 for other in found):
                found.append(q)
        return sorted(found, key=lambda q: float(np.linalg.norm(q - seed)))

    def self_collision(self, q: Array) -> bool:
        """Whether the arm touches itself (or the scene, if this instance was given one)."""
        return bool(self.scene.hasCollisions(self.full(q)))

    def _accept(self, q: Array, collision: bool) -> bool:
        return not (collision and self.self_collision(q))

    def _solve(self, target: Array, start: Array, iterations: int = 30) -> Array | None:
        """One run of damped least squares; joints that meet a limit are held there."""
        q = start.copy()
        error = np.empty(6)
        previous, stalled = np.inf, 0
        for _ in range(iterations):
            m = self.tcp_matrix(q)
            inverse = m[:3, :3].T
            error[:3] = inverse @ (target[:3, 3] - m[:3, 3])
            error[3:] = rotvec_from_rotation(inverse @ target[:3, :3])
            linear, angular = math.hypot(*error[:3]), math.hypot(*error[3:])
            if linear < POSITION_TOLERANCE and angular < ROTATION_TOLERANCE:
                return q
            size = linear + 0.3 * angular
            stalled = stalled + 1 if size > 0.95 * previous else 0
            if stalled > 5:
                return None
            previous = min(previous, size)
            damping = (1e-6 + 1e-2 * min(size, 0.1)) * np.eye(6)
            q = self._clipped_step(q, self.jacobian(q), error, damping)
        return None

    def _clipped_step(self, q: Array, jacobian: Array, error: Array, damping: Array) -> Array:
        """A damped Newton step; joints at the end of their range stay, the others do more."""
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping, error)
        free = np.ones(len(q), dtype=bool)
        for _ in range(2):
            out = free & (((q <= self._lower) & (step < 0)) | ((q >= self._upper) & (step > 0)))
            if not out.any():
                break
            free &= ~out
            j = jacobian[:, free]
            step = np.zeros(len(q))
            step[free] = j.T @ np.linalg.solve(j @ j.T + damping, error)
        largest = float(np.abs(step).max())
        if largest > MAX_STEP:
            step *= MAX_STEP / largest
        return np.minimum(np.maximum(q + step, self._lower), self._upper)

    @cached_property
    def _table(self) -> tuple[Array, Array, Array]:
        """Random configurations (N, n), their positions (N, 3) and quaternions (N, 4)."""
        rng = np.random.default_rng(0)
        q = rng.uniform(self._lower, self._upper, (SAMPLES, self.robot.dof))
        poses = [self.fk(row) for row in q]
        return q, np.array([p.position for p in poses]), np.array([p.quaternion for p in poses])

    def _starts(self, pose: Pose, seed: Array, count: int = 8) -> list[Array]:
        """Start configurations for a hard pose: home, and the table's nearest."""
        q, positions, quaternions = self._table
        angle = 2.0 * np.arccos(np.clip(np.abs(quaternions @ pose.quaternion), 0.0, 1.0))
        cost = (
            np.linalg.norm(positions - pose.position, axis=1)
            + 0.3 * angle
            + 0.05 * np.linalg.norm(q - seed, axis=1)
        )
        nearest = np.argpartition(cost, count)[:count]
        return [np.asarray(self.robot.home), *q[nearest[np.argsort(cost[nearest])]]]


__all__ = ["Kinematics", "make_scene"]
