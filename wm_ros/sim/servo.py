# SPDX-License-Identifier: Apache-2.0
"""References of the simulated servos: arm joints on straight ramps, the gripper at its speed."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from wm_ros.motion.pose import Array
from wm_ros.robot import RobotConfig
from wm_ros.sim.mujoco_emitter import TIMESTEP
from wm_ros.sim.robot_model import GRIPPER


class Servos:
    """Moves the references while stepping; MuJoCo's actuators follow them."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, robot: RobotConfig):
        self.model, self.data, self.robot = model, data, robot
        joints = [model.joint(name) for name in robot.arm_joints]
        self.q = np.array([j.qposadr[0] for j in joints])  # addresses
        self.v = np.array([j.dofadr[0] for j in joints])
        self._u = np.array([model.actuator(name).id for name in robot.arm_joints])
        fingers = [model.joint(name) for name in robot.finger_joints]
        self.finger_q = np.array([j.qposadr[0] for j in fingers])
        self.grip = model.actuator(GRIPPER).id
        self._kp, self._kv = robot.servo.stiffness, robot.servo.damping
        self._lead = self._kv / self._kp
        self.hold(robot.home, robot.gripper.open_width)

    def hold(self, q: Array, width: float) -> None:
        """References at `q` and `width`, no ramps left."""
        self._from = self._to = np.array(q, dtype=np.float64)
        self._start = self._end = self._last_set = float(self.data.time)
        self._width_ref = self.width_target = width
        self.data.ctrl[self._u] = self._to
        self.data.ctrl[self.grip] = width

    @property
    def width(self) -> float:
        """Opening between the pads now, m."""
        return float(self.data.qpos[self.finger_q].sum())

    @property
    def reference(self) -> Array:
        """Where the arm's reference is now (n,), rad."""
        span, now = self._end - self._start, float(self.data.time)
        fraction = 1.0 if span <= 0 else float(np.clip((now - self._start) / span, 0, 1))
        return self._from + fraction * (self._to - self._from)

    def aim(self, q: ArrayLike, over: float | None) -> None:
        """See Simulator.set_arm_target."""
        target = np.clip(np.asarray(q, dtype=np.float64), *self.robot.position_limits.T)
        if not np.isfinite(target).all():
            raise ValueError("joint target is not finite")
        now = float(self.data.time)
        if over is None:
            over = float(np.clip(now - self._last_set, TIMESTEP, 0.1))
        here = self.reference
        least = float(np.max(np.abs(target - here) / self.robot.velocity_limits))
        self._from, self._to = here, target
        self._start, self._end = now, now + max(over, least, TIMESTEP)
        self._last_set = now

    def aim_gripper(self, width: float, max_effort: float | None) -> None:
        """See Simulator.set_gripper_target."""
        gripper = self.robot.gripper
        effort = gripper.max_effort if max_effort is None else max_effort
        effort = float(np.clip(effort, 1.0, gripper.max_effort))
        self.model.actuator_forcerange[self.grip] = (-effort, effort)
        target = gripper.clamp(float(width))
        if abs(target - self.width_target) > 1e-6:
            self._width_ref = gripper.clamp(self.width)
            self.width_target = target

    def _drive(self, reference: Array) -> bool:
        """Sets the arm's controls; returns whether a motor is near its torque limit.

        The limit is kept here and not by the actuators: MuJoCo integrates a clamped actuator's
        damping explicitly, and stiff servos then chatter between their limits for ever.
        """
        q, dq = self.data.qpos[self.q], self.data.qvel[self.v]
        limit = self.robot.effort_limits
        torque = self._kp * (reference - q) - self._kv * dq
        over = np.abs(torque) > limit
        drag = self._kv * dq
        self.data.ctrl[self._u] = np.where(
            over, q + (np.clip(torque, -limit, limit) + drag) / self._kp, reference)
        return bool((np.abs(torque) > 0.5 * limit).any())

    def step(self, steps: int) -> None:
        """Steps the physics with the references on their ramps."""
        m, d = self.model, self.data
        speed = self.robot.gripper.max_speed * TIMESTEP
        for step in range(steps):
            settled = d.time >= self._end
            gap = self.width_target - self._width_ref
            if settled:
                strained = self._drive(self._to)
                if gap == 0.0 and not strained:
                    mujoco.mj_step(m, d, steps - step)
                    return
            else:
                span = self._end - self._start
                fraction = min((d.time + TIMESTEP - self._start) / span, 1.0)
                move = self._to - self._from
                # the damping term drags on the velocity: lead it by what it costs
                self._drive(self._from + fraction * move + self._lead * (move / span))
            self._width_ref += float(np.clip(gap, -speed, speed))
            d.ctrl[self.grip] = self._width_ref
            mujoco.mj_step(m, d)

    def state(self) -> Array:
        """All references as one vector."""
        times = [self._start, self._end, self._last_set, self._width_ref, self.width_target,
                 self.model.actuator_forcerange[self.grip, 1]]
        return np.concatenate([self._from, self._to, times])

    def set_state(self, state: Array) -> Array:
        """Takes its numbers off the front of `state`, returns the rest."""
        n = len(self.q)
        self._from, self._to = state[:n].copy(), state[n:2 * n].copy()
        (self._start, self._end, self._last_set, self._width_ref, self.width_target,
         effort) = (float(v) for v in state[2 * n:2 * n + 6])
        self.model.actuator_forcerange[self.grip] = (-effort, effort)
        return state[2 * n + 6:]
