# SPDX-License-Identifier: Apache-2.0
"""The physics twin: a MuJoCo model of what was perceived, that rolls candidate actions out.

All candidates run in one call of MuJoCo's threaded rollout. The arm's references are the
simulated servos' own (wm_ros/sim/servo.py), laid out beforehand.
"""
from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco import rollout as mujoco_rollout
from numpy.typing import NDArray

from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Array, Pose
from wm_ros.robot import RobotConfig
from wm_ros.sim.mujoco_emitter import TIMESTEP
from wm_ros.sim.robot_model import GRIPPER
from wm_ros.sim.simulator import Simulator
from wm_ros.world_model.scene3d.perceived import PerceivedScene
from wm_ros.world_model.scene3d.room import to_scene

SAMPLE = 5  # physics steps between two readings of the force
SETTLE = 0.1  # s, until things rest on what they stand on
SQUEEZE = 0.01  # m by which fingers are told to close further than what they hold lets them
MOVED = 0.01  # m from which on a thing has moved
NEAR = 0.08  # m from the tool, within which a thing may be held
# fields of a model that friction and mass change
DERIVED = ("geom_friction", "body_mass", "body_inertia", "body_subtreemass", "body_invweight0",
           "dof_invweight0", "dof_M0")
FULL = mujoco.mjtState.mjSTATE_FULLPHYSICS


@dataclass(frozen=True)
class Futures:
    """What ``n`` candidates of ``H`` poses lead to; index 0 of the times is the present.

    :param states: (n, H + 1, S) MuJoCo's full physics states
    :param poses: (n, H + 1, T, 7) of the things' shapes: position m, quaternion x y z w
    :param touched: (n,) steps in which the arm touched furniture or table
    :param reached: (n,) share of the poses that the arm can take
    :param force: (n, H + 1, 3) exerted on the hand by what it touches, base frame, N
    """

    states: Array
    poses: Array
    touched: NDArray[np.int64]
    reached: Array
    force: Array

    def moved(self, candidate: int, step: int, idle: Array) -> Array:
        """(N, 3) m: where the things that are moved by more than ``MOVED`` are until ``step``.

        :param idle: (H + 1, T, 7) where they are while the arm stays as it is
        """
        way = self.poses[candidate, :step + 1, :, :3]
        far = np.linalg.norm(way - idle[:step + 1, :, :3], axis=2).max(0) > MOVED
        return np.asarray(way[:, far].reshape(-1, 3))


class Twin:
    """One perceived scene with the robot in it.

    :param q: (n,) rad, where the arm is;  ``gripper`` opening, m
    """

    gripper: float  # m, what the fingers are told when the future begins

    def __init__(self, scene: PerceivedScene, robot: RobotConfig, q: Array, gripper: float,
                 kinematics: Kinematics | None = None, threads: int = 2):
        self.scene, self.robot = scene, robot
        self.names = tuple(t.name for t in scene.things)
        self.kinematics = kinematics or Kinematics(robot)
        self.sim = Simulator(to_scene(scene), robot)
        self._rolling = mujoco_rollout.Rollout(nthread=threads)
        self._data = [mujoco.MjData(self.sim.model) for _ in range(threads)]
        m = self.sim.model
        self._bodies = np.array([m.body(n).id for n in self.names], int)
        self._arm = np.array([m.actuator(n).id for n in robot.arm_joints])
        self._grip = m.actuator(GRIPPER).id
        for thing in scene.things:
            self.set_contact(self.sim.model, thing.name, thing.friction, 1.0)
        self.place(q, gripper)

    # -- state -------------------------------------------------------------------------------
    def place(self, q: Array, gripper: float) -> None:
        """Puts the arm at q, lets things settle and makes that the present.

        What lies between fingers that are not open is held by them, or it would fall.
        """
        if gripper > self.robot.gripper.open_width - SQUEEZE or not self._near(q):
            self._settle(q, gripper, gripper)
            return
        self._settle(q, gripper, max(gripper - SQUEEZE, 0.0))
        if not self.held():
            self._settle(q, gripper, gripper)

    def _near(self, q: Array) -> bool:
        tool = self.kinematics.fk(q).position
        return any(np.linalg.norm(t.solid.pose.position - tool) < NEAR for t in self.scene.things)

    def held(self) -> list[str]:
        """Names of the things that touch both fingers in the state that is shown."""
        m, d = self.sim.model, self.sim.data
        pairs = {frozenset(m.geom_bodyid[pair].tolist()) for pair in d.contact.geom}
        fingers = [m.jnt_bodyid[m.joint(name).id] for name in self.robot.finger_joints]
        return [name for name, body in zip(self.names, self._bodies, strict=True)
                if all(frozenset((body, finger)) in pairs for finger in fingers)]

    def _settle(self, q: Array, gripper: float, told: float) -> None:
        """:param told: opening that the fingers are commanded to, m"""
        sim = self.sim
        m, d = sim.model, sim.data
        for thing in self.scene.things:
            at = thing.solid.pose.position + (0.0, 0.0, 0.0003)
            sim.set_object_pose(thing.name, Pose(at, thing.solid.pose.quaternion))
        fingers = [m.joint(n).qposadr[0] for n in self.robot.finger_joints]
        d.qpos[fingers] = gripper * self.robot.gripper.finger_scale
        sim._servos.width_target = told
        sim.set_arm(q)
        sim.advance(SETTLE)
        d.time = 0.0
        d.qvel[:] = 0.0
        mujoco.mj_forward(m, d)
        self.q, self.gripper = sim.q, told
        self.start = np.empty(mujoco.mj_stateSize(m, FULL))
        mujoco.mj_getState(m, d, self.start, FULL)

    @staticmethod
    def set_contact(model: mujoco.MjModel, name: str, friction: float, mass_scale: float
                    ) -> None:
        """Friction (1) of a thing with whatever it touches, and its mass times a scale."""
        body = model.body(name).id
        first = model.body_geomadr[body]
        for g in range(first, first + model.body_geomnum[body]):
            model.geom_friction[g, 0] = friction
            model.geom_priority[g] = 1  # else the rougher of both counts
        if mass_scale != 1.0:
            model.body_mass[body] *= mass_scale
            model.body_inertia[body] *= mass_scale
            mujoco.mj_setConst(model, mujoco.MjData(model))  # what the solver derives from mass

    # -- actions -----------------------------------------------------------------------------
    def controls(self, position: Array, quaternion: Array, gripper: Array, dt: float
                 ) -> tuple[Array, float]:
        """Actuator references (steps, nu) for absolute tool poses (H, 3), (H, 4) and widths
        (H,), each ``dt`` s after the one before; and the share of poses within reach."""
        robot, per = self.robot, round(dt / TIMESTEP)
        here, width = self.q.copy(), self.gripper
        aim = width
        out = np.zeros((len(position) * per, self.sim.model.nu))
        out[:] = self.sim.data.ctrl
        lead = robot.servo.damping / robot.servo.stiffness
        reached = 0
        rise = np.arange(1, per + 1)[:, None] / per
        for i, (p, r) in enumerate(zip(position, quaternion, strict=True)):
            q = self.kinematics.ik(Pose.of(p, r), here)
            goal = here
            if q is not None and np.isfinite(q).all():
                reached += 1
                most = float((np.abs(q - here) / (robot.velocity_limits * dt)).max())
                goal = here + (q - here) / max(most, 1.0)
            rows = slice(i * per, (i + 1) * per)
            move = goal - here
            out[rows, self._arm] = here + rise * move + lead * move / dt
            here = goal
            aim = robot.gripper.clamp(float(gripper[i]))
            speed = robot.gripper.max_speed * TIMESTEP
            ramp = width + np.sign(aim - width) * np.minimum(
                np.arange(1, per + 1) * speed, abs(aim - width))
            out[rows, self._grip] = ramp
            width = float(ramp[-1])
        return out, reached / max(len(position), 1)

    # -- futures -----------------------------------------------------------------------------
    def roll(self, position: Array, quaternion: Array, gripper: Array, dt: float,
             models: list[mujoco.MjModel] | None = None, forces: bool = False) -> Futures:
        """Rolls candidates out: (n, H, 3), (n, H, 4), (n, H).

        :param models: one a candidate, for other physics than the twin's own
        :param forces: whether the force on the hand is wanted
        """
        made = [self.controls(p, r, g, dt)
                for p, r, g in zip(position, quaternion, gripper, strict=True)]
        control = np.stack([c for c, _ in made])
        n, per = len(made), round(dt / TIMESTEP)
        start = np.repeat(self.start[None], n, axis=0)
        states, _ = self._rolling.rollout(models or self.sim.model, self._data, start, control)
        kept = np.concatenate([start[:, None], states[:, per - 1::per]], 1)
        poses = np.zeros((n, kept.shape[1], len(self.names), 7))
        touched = np.zeros(n, np.int64)
        force = np.zeros((n, kept.shape[1], 3))
        for i in range(n):
            for k in range(kept.shape[1]):
                poses[i, k] = self.poses(kept[i, k])
                touched[i] += self.sim.robot_furniture_contacts() > 0
        if forces:
            for i in range(n):
                force[i, 1:] = self._forces(states[i], control[i], per,
                                            models[i] if models else self.sim.model)
        self.show(self.start)
        return Futures(kept, poses, touched, np.array([r for _, r in made]), force)

    def idle(self, steps: int, dt: float) -> Array:
        """(steps + 1, S) states, ``dt`` s apart, while the arm stays as it is.

        What moves here moves because the shape that was fitted to it does not stand as the thing
        does: it is no forecast.
        """
        per = round(dt / TIMESTEP)
        control = np.repeat(self.sim.data.ctrl[None, None], steps * per, axis=1)
        states, _ = self._rolling.rollout(self.sim.model, self._data, self.start[None], control)
        return np.concatenate([self.start[None], states[0, per - 1::per]])

    def poses(self, state: Array) -> Array:
        """(T, 7) of the things in a state, which is shown: position m, quaternion x y z w."""
        self.show(state)
        d = self.sim.data
        return np.concatenate([d.xpos[self._bodies], d.xquat[self._bodies][:, [1, 2, 3, 0]]], 1)

    def _forces(self, states: Array, control: Array, per: int, model: mujoco.MjModel) -> Array:
        """Mean force (H, 3) on the hand in each step of a rollout (H * per, S), base frame."""
        own = self.sim.model
        saved = {name: getattr(own, name).copy() for name in DERIVED}
        for name in DERIVED:
            getattr(own, name)[:] = getattr(model, name)
        picked = range(SAMPLE - 1, len(states), SAMPLE)
        out = np.zeros((len(picked), 3))
        for row, k in enumerate(picked):
            mujoco.mj_setState(own, self.sim.data, np.ascontiguousarray(states[k]), FULL)
            self.sim.data.ctrl[:] = control[k]
            mujoco.mj_forward(own, self.sim.data)
            out[row] = self.sim.hand_pose().rotation() @ self.sim.wrench()[:3]
        for name, values in saved.items():
            getattr(own, name)[:] = values
        return out.reshape(-1, per // SAMPLE, 3).mean(1)

    def show(self, state: Array) -> None:
        """Brings the model to a state, to be drawn or asked."""
        m, d = self.sim.model, self.sim.data
        mujoco.mj_setState(m, d, np.ascontiguousarray(state), FULL)
        mujoco.mj_forward(m, d)

    def close(self) -> None:
        """Frees threads and buffers."""
        self._rolling.close()
        self.sim.close()
