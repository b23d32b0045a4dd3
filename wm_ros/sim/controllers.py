# SPDX-License-Identifier: Apache-2.0
"""The arm's and the gripper's controllers in simulation, as ros2_control's behave; no ROS."""
from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

import numpy as np

from wm_ros.motion.cubic import span
from wm_ros.motion.trajectory import Path
from wm_ros.robot import RobotConfig


@dataclass(frozen=True)
class Tolerances:
    """Largest errors of the joints (rad; 0: any) and how late a path may end (s)."""

    path: np.ndarray
    goal: np.ndarray
    goal_time: float


FADE = 0.05  # share of the acceleration limits used for fading a difference out
BRAKE = 0.95  # share of the acceleration limits used for stopping


class Outcome(enum.Enum):
    """How a path ended."""

    DONE = "done"
    PATH_VIOLATED = "path tolerance violated"
    GOAL_VIOLATED = "goal tolerance violated"


class ArmController:
    """Follows one path at a time; holds when there is none.

    Stopping brakes within the acceleration limits instead of jumping to a hold position.
    """

    def __init__(self, robot: RobotConfig, position: np.ndarray) -> None:
        self.robot = robot
        self.path: Path | None = None
        self.command = np.array(position, dtype=float)
        self.velocity = np.zeros_like(self.command)
        self._offset, self._fade = np.zeros_like(self.command), 1.0
        self.peak = np.zeros_like(self.command)  # hardest acceleration since it was last read
        self._sampled: float | None = None
        self._start = 0.0
        self._tolerances: Tolerances | None = None
        self._brake: tuple[float, np.ndarray, np.ndarray, float] | None = None

    @property
    def at_rest(self) -> bool:
        """Whether the commanded arm stands still."""
        return self.path is None and self._brake is None

    def start(self, path: Path, tolerances: Tolerances, now: float) -> None:
        """Follow ``path`` from time ``now`` (s).

        Where the arm was commanded a little beside the path's start (something it touches keeps it
        there), the difference fades out and does not jump; a path too short for that takes longer.
        """
        self._offset = self.command - path.positions[0]
        gentle = FADE * self.robot.acceleration_limits
        self._fade = max(0.05, float(np.sqrt(5.8 * np.abs(self._offset) / gentle).max()))
        if 0.0 < path.times[-1] < self._fade:
            path = path.stretched(self._fade / float(path.times[-1]))
        self.path, self._tolerances, self._start, self._brake = path, tolerances, now, None

    def stop(self, now: float) -> None:
        """Leave the path and brake to rest on its line as hard as the limits allow."""
        self.path = None
        time = float((np.abs(self.velocity) / (BRAKE * self.robot.acceleration_limits)).max())
        if time > 1e-3:
            self._brake = (now, self.command.copy(), self.velocity.copy(), time)
        else:
            self.velocity = np.zeros_like(self.command)

    def sample(self, now: float) -> np.ndarray:
        """Commanded joint positions (J,) at time ``now``."""
        before = self.velocity
        self._advance(now)
        if self._sampled is not None and now > self._sampled + 1e-6:
            acceleration = (self.velocity - before) / (now - self._sampled)
            self.peak = np.where(np.abs(acceleration) > np.abs(self.peak), acceleration, self.peak)
        self._sampled = now
        return self.command

    def _advance(self, now: float) -> None:
        if self.path is not None:
            self.command, self.velocity = _hermite(self.path, now - self._start)
            if now > self._start:
                s, rate = _fade_out((now - self._start) / self._fade)
                self.command = self.command + s * self._offset
                self.velocity = self.velocity + rate / self._fade * self._offset
            else:
                self.command = self.command + self._offset
        elif self._brake is not None:
            since, q, v, time = self._brake
            t = min(now - since, time)
            low, high = self.robot.position_limits.T
            self.command = np.clip(q + v * t * (1.0 - 0.5 * t / time), low, high)
            self.velocity = v * (1.0 - t / time)
            if t >= time:
                self._brake, self.velocity = None, np.zeros_like(v)

    def judge(self, now: float, position: np.ndarray) -> Outcome | None:
        """How the path ended, None while it runs; the arm brakes or holds afterwards."""
        if self.path is None or self._tolerances is None:
            return None
        elapsed, tolerances = now - self._start, self._tolerances
        error = np.abs(self.command - position)
        outcome = None
        if elapsed < self.path.times[-1]:
            if ((error > tolerances.path) & (tolerances.path > 0)).any():
                outcome = Outcome.PATH_VIOLATED
        else:
            goal = np.abs(self.path.positions[-1] - position)
            if ((goal <= tolerances.goal) | (tolerances.goal <= 0)).all():
                outcome = Outcome.DONE
            elif elapsed > self.path.times[-1] + tolerances.goal_time:
                outcome = Outcome.GOAL_VIOLATED
        if outcome is Outcome.DONE:
            self.path = None
            self.velocity = np.zeros_like(self.command)
        elif outcome is not None:
            # hold where the arm is, not where it should be: what blocks it is not pushed on
            self.command = np.array(position, dtype=float)
            self.velocity = np.zeros_like(self.command)
            self.stop(now)
        return outcome


def _fade_out(x: float) -> tuple[float, float]:
    """Quintic from 1 at x = 0 to 0 at x = 1, at rest at both ends, and its slope."""
    x = min(x, 1.0)
    return 1.0 - x**3 * (10.0 - 15.0 * x + 6.0 * x * x), -30.0 * x * x * (1.0 - x) ** 2


def _hermite(path: Path, t: float) -> tuple[np.ndarray, np.ndarray]:
    """Cubic interpolation: position and velocity at ``t`` s; rest before and at the end."""
    t = max(t, 0.0)
    if t >= path.times[-1]:
        return path.positions[-1].copy(), np.zeros_like(path.positions[-1])
    cubic, s = span(path.times, path.positions, path.velocities, t)
    return cubic.position(s), cubic.velocity(s)


class GripperController:
    """Moves the opening at the robot's speed and notices arrival and stalling."""

    def __init__(self, robot: RobotConfig, width: float, tolerance: float,
                 stall_travel: float, stall_time: float) -> None:
        self.robot = robot
        self.command = float(width)
        self.goal: float | None = None
        self.effort = robot.gripper.max_effort
        self._target = float(width)
        self._tolerance, self._stall_travel, self._stall_time = (
            tolerance, stall_travel, stall_time)
        self._recent: deque[float] = deque()

    def start(self, width: float, effort: float) -> None:
        """Move to the opening ``width`` (m) with at most ``effort`` (N; 0: the robot's)."""
        self.goal = self._target = self.robot.gripper.clamp(width)
        limit = self.robot.gripper.max_effort
        self.effort = min(effort, limit) if effort > 0 else limit
        self._recent.clear()

    def stop(self, width: float) -> None:
        """Hold the present opening."""
        self.goal, self._target, self.command = None, float(width), float(width)

    def sample(self, dt: float) -> float:
        """The opening to command for the next ``dt`` seconds."""
        step = self.robot.gripper.max_speed * dt
        self.command += float(np.clip(self._target - self.command, -step, step))
        return self.command

    def judge(self, width: float, dt: float) -> tuple[bool, bool] | None:
        """(reached, stalled) when the motion ended, None while it goes on or there is none.

        Still is what travels little within a while: fingers on a thing never rest completely.
        """
        if self.goal is None:
            return None
        self._recent.append(width)
        count = max(2, round(self._stall_time / dt))
        if len(self._recent) > count:
            self._recent.popleft()
        reached = abs(width - self.goal) <= self._tolerance
        near = list(self._recent)[-3:]
        if reached and max(near) - min(near) < self._stall_travel:
            self.goal = None
            return True, False
        commanded = abs(self.command - self._target) < 1e-6
        still = max(self._recent) - min(self._recent) < self._stall_travel
        if commanded and still and len(self._recent) == count:
            self.goal = None
            return reached, not reached
        return None
