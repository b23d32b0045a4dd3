# SPDX-License-Identifier: Apache-2.0
"""The thread that owns the simulator: steps it in real time and hands out what it senses."""
from __future__ import annotations

import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from wm_ros.errors import UserError
from wm_ros.robot import RobotConfig
from wm_ros.sim.controllers import ArmController, GripperController, Outcome

T = TypeVar("T")
LATE = 0.1  # s behind real time after which the loop stops trying to catch up
SET = 1.0  # s between stamps and the machine's clock that only a clock that was set explains


@dataclass(frozen=True)
class Rates:
    """How often things happen (Hz of simulated time) and how fast time runs."""

    control: float
    joints: float
    cameras: float
    speed: float


@dataclass
class Senses:
    """Callbacks of the node, called in the loop's thread with the stamp (s)."""

    joints: Callable[[float, Loop], None]
    cameras: Callable[[float, Loop], None]
    arm_ended: Callable[[Outcome], None]
    gripper_ended: Callable[[bool, bool, float, float], None]


@dataclass
class Episode:
    """What is simulated: the layout's origin, the judge and what has happened since the reset."""

    room: str
    task_name: str
    seed: int
    held_out: bool
    instruction: str = ""
    task: Any = None
    judge: Any = None
    contacts: int = 0
    touching: bool = False
    started: float = field(default=0.0)


def build(robot: RobotConfig, room: str, task_name: str, seed: int, held_out: bool,
          image_size: int) -> tuple[Any, Episode]:
    """The simulator and the episode of a seed, the same as ``TaskEnv`` makes for evaluation.

    :raises UserError: when the room or the task is unknown, or the task is of another room
    """
    from wm_ros.motion.kinematics import Kinematics
    from wm_ros.sim.env import make_scene, start_posture
    from wm_ros.sim.randomize import randomize
    from wm_ros.sim.rooms import load_room
    from wm_ros.sim.simulator import Simulator
    from wm_ros.sim.tasks.base import Judge

    split = "held_out" if held_out else "train"
    episode = Episode(room, task_name, seed, held_out)
    rng = np.random.default_rng((seed, held_out, 7))
    if task_name:
        episode.task, scene = make_scene(task_name, seed, split)
        if room and episode.task.room != room:
            raise UserError(f"The task {task_name} belongs to the {episode.task.room}, not to the "
                            f"{room}; start the other scene.")
        episode.instruction = episode.task.instruction(rng)
    else:
        scene = randomize(load_room(room), seed, split)
    simulator = Simulator(scene, robot, image_size)
    if task_name:
        simulator.set_arm(start_posture(Kinematics(robot), rng))
        episode.judge = Judge(episode.task, simulator)
    return simulator, episode


class Loop:
    """Runs in its own thread; other threads ask it through :meth:`ask`."""

    def __init__(self, robot: RobotConfig, rates: Rates, senses: Senses,
                 make_gripper: Callable[[float], GripperController]) -> None:
        self.robot = robot
        self.rates = rates
        self.senses = senses
        self.sim: Any = None
        self.episode = Episode("", "", 0, True)
        self.arm = ArmController(robot, robot.home)
        self.gripper = make_gripper(robot.gripper.open_width)
        self.furniture_changed: Callable[[], None] = lambda: None
        self._make_gripper = make_gripper
        self._asked: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._offset = 0.0

    @property
    def now(self) -> float:
        """Stamp of the simulated present (s): aligned to the wall clock while in real time."""
        return self._offset + (0.0 if self.sim is None else float(self.sim.time))

    @property
    def motion_time(self) -> float:
        """Time of the controllers (s): simulated, so it never jumps while an arm moves."""
        return float(self.sim.time)

    def ask(self, work: Callable[[], T], timeout: float = 60.0) -> T:
        """Run ``work`` in the loop's thread between two steps and return what it returns."""
        return self.post(work).result(timeout)

    def post(self, work: Callable[[], T]) -> Future[T]:
        """The same without waiting for it."""
        future: Future[T] = Future()
        self._asked.put((work, future))
        return future

    def start(self, make: Callable[[], tuple[Any, Episode]]) -> None:
        """Start the thread; raises what building the simulator raised."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(make, ready), daemon=True,
                                        name="physics")
        self._thread.start()
        ready.result(120.0)

    def stop(self) -> None:
        """End the thread."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def replace(self, make: Callable[[], tuple[Any, Episode]]) -> Episode:
        """Put another room in place of the present one; call through :meth:`ask`."""
        before = self.sim
        simulator, episode = make()
        self._take(simulator, episode)
        close = getattr(before, "close", None)
        if close is not None:
            close()
        return episode

    def _take(self, simulator: Any, episode: Episode) -> None:
        self.sim, self.episode = simulator, episode
        self.arm = ArmController(self.robot, simulator.q)
        self.gripper = self._make_gripper(float(simulator.gripper_width))
        self._align()
        episode.started = self.now
        self.furniture_changed()

    def _align(self) -> None:
        """Let the present simulated moment be now on the wall clock."""
        self._offset = time.time() - float(self.sim.time)
        self._wall = time.monotonic() - float(self.sim.time) / self.rates.speed

    def _run(self, make: Callable[[], tuple[Any, Episode]], ready: Future[None]) -> None:
        try:
            self._take(*make())
        except BaseException as error:
            ready.set_exception(error)
            return
        ready.set_result(None)
        try:
            self._live()
        except Exception:
            traceback.print_exc()
            self._fail()

    @staticmethod
    def _fail() -> None:
        """End the process, so that it is started again: a node whose world stands still would
        go on saying that all is well."""
        sys.stderr.flush()
        os._exit(1)

    def _live(self) -> None:
        """Step, sense and judge until the end."""
        step = 1.0 / self.rates.control
        due = {"joints": 0.0, "cameras": 0.0, "judge": 0.0}
        while not self._ending.is_set():
            self._answer()
            if self.sim.time < min(due.values()) - 1.0:  # another simulator, its time at zero
                due = dict.fromkeys(due, 0.0)
            self._step(step)
            time_now = float(self.sim.time) + 1e-6
            if time_now >= due["joints"]:
                due["joints"] = _next(due["joints"], time_now, 1.0 / self.rates.joints)
                self.senses.joints(self.now, self)
            if time_now >= due["cameras"]:
                due["cameras"] = _next(due["cameras"], time_now, 1.0 / self.rates.cameras)
                self.senses.cameras(self.now, self)
            if time_now >= due["judge"]:
                due["judge"] = _next(due["judge"], time_now, 0.1)
                self._judge()
            self._wait()

    def _answer(self) -> None:
        while not self._asked.empty():
            work, future = self._asked.get()
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

    def _step(self, dt: float) -> None:
        now = self.motion_time
        self.sim.set_arm_target(self.arm.sample(now + dt))
        self.sim.set_gripper_target(self.gripper.sample(dt), self.gripper.effort)
        self.sim.advance(dt)
        outcome = self.arm.judge(now + dt, self.sim.q)
        if outcome is not None:
            self.senses.arm_ended(outcome)
        width = float(self.sim.gripper_width)
        ended = self.gripper.judge(width, dt)
        if ended is not None:
            self.senses.gripper_ended(*ended, width, self.gripper.effort)

    def _judge(self) -> None:
        episode = self.episode
        if episode.judge is not None:
            episode.judge.update()
        touching = self.sim.robot_furniture_contacts() > 0
        if touching and not episode.touching:
            episode.contacts += 1
        episode.touching = touching

    def _wait(self) -> None:
        if self.rates.speed == 1.0 and abs(time.time() - self.now) > SET:
            self._align()
        ahead = self._wall + float(self.sim.time) / self.rates.speed - time.monotonic()
        if ahead > 0:
            self._ending.wait(ahead)
        elif ahead < -LATE:
            # A busy machine: let time stretch instead of stepping in bursts.
            if self.rates.speed == 1.0:
                self._align()
            else:
                self._wall -= ahead


def _next(due: float, now: float, period: float) -> float:
    return max(due + period, now - period)
