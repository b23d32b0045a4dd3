# SPDX-License-Identifier: Apache-2.0
"""The arm looks around: a scan of the simulated room with the wrist camera.

Every move is planned among what has been perceived so far, from near to far, so that the arm
moves only where it has looked.
"""
from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import cos, radians, sin

import numpy as np

from wm_ros.motion.plan import Request
from wm_ros.motion.planner import Planner
from wm_ros.motion.pose import Array, Pose
from wm_ros.motion.shapes import Box, Part, SceneObject
from wm_ros.motion.trajectory import Trajectory
from wm_ros.sim.shapes import look_at
from wm_ros.sim.simulator import Simulator
from wm_ros.world_model.scene3d.mapper import Mapper
from wm_ros.world_model.scene3d.perceived import PerceivedScene
from wm_ros.world_model.scene3d.view import View, noisy

SPEED = 0.6  # of the arm's limits
RATE = 5.0  # pictures a second of robot time
MARGIN = 0.03  # m around what was perceived
# bearing (degrees), camera's radius and height, radius of the point it looks at (m)
BEARINGS = (0, 30, 60, 90, 120, 145)
RINGS = ((0.36, 0.52, 0.72), (0.60, 0.42, 0.38))


@dataclass
class ScanLog:
    """What a scan took.

    seconds of robot time; pictures fused and the seconds that took by the
    clock and of computing; views reached and
    left out; moments at which the arm touched furniture.
    """

    seconds: float = 0.0
    pictures: int = 0
    fuse_seconds: list[float] = field(default_factory=list)
    fuse_cpu_seconds: list[float] = field(default_factory=list)
    reached: int = 0
    skipped: int = 0
    touches: int = 0


def views() -> list[tuple[Array, Array]]:
    """Camera positions and the points looked at (3,), in the order of a scan."""
    out = []
    for side in (1, -1):
        for ring in RINGS if side == 1 else RINGS[::-1]:
            order = BEARINGS if ring is RINGS[0] else BEARINGS[::-1]
            order = order if side == 1 else order[::-1]
            for degrees in order:
                if side == -1 and degrees == 0:
                    continue
                a = radians(side * degrees)
                radius, height, far = ring
                out.append((np.array([radius * cos(a), radius * sin(a), height]),
                            np.array([far * cos(a), far * sin(a), 0.02])))
    return out


class Scanner:
    """Drives the simulator's arm and fuses what both cameras see.

    :param size: pixels of the square pictures
    :param limit: s of robot time; the scan ends in time
    :param noise: adds a depth camera's noise
    """

    def __init__(self, sim: Simulator, mapper: Mapper, size: int = 128, limit: float = 60.0,
                 noise: np.random.Generator | None = None):
        self.sim, self.mapper, self.size = sim, mapper, size
        self.limit, self.noise = limit, noise
        self.planner = Planner(sim.robot)
        self.log = ScanLog()
        camera = sim.scene.camera("wrist")
        hand = Pose.of(camera.position, camera.quaternion)
        self._camera_in_tcp = sim.robot.tcp_offset.inverse().compose(hand)
        self._next = 0.0
        self._start = sim.time

    def run(self) -> ScanLog:
        """Scans; the arm is back where it was at the end, or stops when time is up."""
        home = self.sim.q
        for _ in range(3):
            self._look("scene")
        self._look("wrist")
        self._obstacles(self.mapper.perceive())
        back = min(4.0, 0.3 * self.limit)  # s kept for the way back
        for number, (at, target) in enumerate(views()):
            if self._left() < back:
                self.log.skipped += 1
                continue
            plan = self._plan(at, target)
            if plan is None or plan.duration > self._left() - back:
                self.log.skipped += 1
                continue
            self._follow(plan)
            self._look("wrist")
            self.log.reached += 1
            if number % 4 == 3:
                self._obstacles(self.mapper.perceive())
        plan = self.planner.plan_joint(self.sim.q, home, Request(SPEED, SPEED)).trajectory
        if len(plan) and plan.duration <= self._left():
            self._follow(plan)
        self._look("scene")
        self.log.seconds = self.sim.time - self._start
        return self.log

    def _left(self) -> float:
        return self.limit - (self.sim.time - self._start)

    def _plan(self, at: Array, target: Array) -> Trajectory | None:
        """The quickest way to a view; the camera may be turned about its axis."""
        eye = Pose.of(at, look_at(tuple(at), tuple(target)))  # type: ignore[arg-type]
        here, limits = self.sim.q, self.sim.robot.velocity_limits
        goals = []
        for turn in np.arange(0, 360, 30):
            half = radians(turn) / 2
            spun = eye.compose(Pose.of(np.zeros(3), (0, 0, sin(half), cos(half))))
            tcp = spun.compose(self._camera_in_tcp.inverse())
            q = self.planner.kinematics.ik(tcp, here, collision=True)
            if q is not None and not self.planner.in_collision(q):
                goals.append((float((np.abs(q - here) / limits).max()), q))
        for _, q in sorted(goals, key=lambda g: g[0])[:2]:
            plan = self.planner.plan_joint(here, q, Request(SPEED, SPEED, allowed_time=0.5))
            if plan.success and len(plan.trajectory):
                return plan.trajectory
        return None

    def _follow(self, trajectory: Trajectory) -> None:
        step, begin = 0.05, self.sim.time
        while self.sim.time - begin < trajectory.duration - 1e-6:
            ahead = self.sim.time - begin + step
            self.sim.set_arm_target(trajectory.sample(ahead)[0], over=step)
            self.sim.advance(step)
            self.log.touches += self.sim.robot_furniture_contacts() > 0
            if self.sim.time >= self._next:
                self._look("wrist")
                self._next = self.sim.time + 1.0 / RATE
        self.sim.advance(0.1)

    def _look(self, camera: str) -> None:
        frame = self.sim.render(camera, depth=True, size=(self.size, self.size))
        assert frame.depth is not None
        view = View(frame.rgb, frame.depth, frame.K, frame.pose)
        if self.noise is not None:
            view = noisy(view, self.noise)
        begin, busy = time.perf_counter(), time.process_time()
        self.mapper.fuse(view, self.sim.q, self.sim.gripper_width)
        self.log.fuse_seconds.append(time.perf_counter() - begin)
        self.log.fuse_cpu_seconds.append(time.process_time() - busy)
        self.log.pictures += 1

    def _obstacles(self, scene: PerceivedScene) -> None:
        """Tells the planner what must not be touched."""
        self.planner.clear()
        table = Box((2.4, 2.6, 0.05))
        self.planner.add_object(SceneObject.of(
            "table", table, Pose.of((0.0, 0.0, scene.height - 0.035))))
        self.planner.allow_collision("table", self.sim.robot.base_link)
        for piece in scene.furniture:
            low, high = piece.bounds()
            size = high - low + 2 * MARGIN
            self.planner.add_object(SceneObject(piece.name, (Part(
                Box(tuple(size.tolist())), Pose.of(0.5 * (low + high))),)))
        for thing in scene.things:
            half = thing.solid.half_extent() + MARGIN
            self.planner.add_object(SceneObject(thing.name, (Part(
                Box(tuple((2 * half).tolist())), thing.solid.pose._replace(
                    quaternion=np.array([0.0, 0.0, 0.0, 1.0]))),)))
