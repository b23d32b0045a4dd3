# SPDX-License-Identifier: Apache-2.0
"""The MuJoCo runtime of one scene: robot servos, things, moving furniture, cameras. No ROS."""

from __future__ import annotations

from typing import Literal

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from wm_ros.motion.pose import Array, Pose
from wm_ros.robot import RobotConfig
from wm_ros.sim.camera import Frame, Renderer
from wm_ros.sim.mujoco_emitter import HIDDEN_GROUP, TIMESTEP, scene_spec, wxyz, xyzw
from wm_ros.sim.schema import Container, Geom, Scene
from wm_ros.sim.servo import Servos
from wm_ros.sim.shapes import bounds, support
from wm_ros.sim.touch import Touch

LAMP_GLOW = np.array([1.0, 0.95, 0.65, 1.0])
SETTLE_STEPS = 60
WIPERS = ("sponge",)
WIPE_HEIGHT = 0.004  # m, how near to the table a wiper must be


class Simulator:
    """One model, its state and one renderer.

    :param scene: what to build
    :param robot: the arm; it starts at its home with an open gripper
    :param image_size: pixels of a square picture, or (width, height)
    :param quality: "fast" for data, "detailed" (shadows, smooth edges) for pictures
    """

    dt = TIMESTEP

    def __init__(self, scene: Scene, robot: RobotConfig, image_size: int | tuple[int, int] = 96,
                 quality: Literal["fast", "detailed"] = "fast"):
        self.scene, self.robot = scene, robot
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.model: mujoco.MjModel = scene_spec(scene, robot, quality == "detailed").compile()
        self.data = mujoco.MjData(self.model)
        self._renderer: Renderer | None = None
        self._servos = Servos(self.model, self.data, robot)
        self._touch = Touch(self.model, self.data, robot.hand_link)
        self._index()
        self.reset()

    def _index(self) -> None:
        """Addresses by name, looked up once."""
        m = self.model
        self._groups = m.geom_group.copy()
        self._containers: dict[str, Container] = {
            body.name: body.container for body in self.scene.bodies() if body.container}
        self._solids = {o.name: _solid(o.body.geoms) for o in self.scene.objects}
        bulb = mujoco.mj_name2id(m, mujoco.mjtObj.mjOBJ_GEOM, "lamp_bulb")
        self._bulb = int(m.geom_matid[bulb]) if bulb >= 0 else -1
        self._bulb_off = m.mat_rgba[self._bulb].copy() if bulb >= 0 else None
        self._switch = "lamp_switch" in {b.joint.name for b in self.scene.bodies() if b.joint}

    # -- time ------------------------------------------------------------------------------
    @property
    def time(self) -> float:
        return float(self.data.time)

    def reset(self) -> None:
        """Back to the scene's start: robot at home, everything at rest, time 0."""
        m, d = self.model, self.data
        mujoco.mj_resetData(m, d)
        m.geom_group[:] = self._groups
        for body in self.scene.bodies():
            if body.joint is not None:
                d.qpos[m.joint(body.joint.name).qposadr[0]] = body.joint.initial
        d.qpos[self._servos.q] = self.robot.home
        d.qpos[self._servos.finger_q] = (self.robot.gripper.open_width
                                         * self.robot.gripper.finger_scale)
        self._servos.hold(self.robot.home, self.robot.gripper.open_width)
        mujoco.mj_step(m, d, SETTLE_STEPS)
        d.time = 0.0
        d.qvel[:] = 0.0
        self._servos.hold(self.robot.home, self.robot.gripper.open_width)
        mujoco.mj_forward(m, d)
        self._lamp()

    def advance(self, seconds: float) -> None:
        """Steps the physics; servo references move on their ramps meanwhile."""
        self._servos.step(max(1, round(seconds / TIMESTEP)))
        self._lamp()
        self._wipe()

    # -- the robot -------------------------------------------------------------------------
    def set_arm_target(self, q: ArrayLike, over: float | None = None) -> None:
        """Moves the servo reference (n,) in rad to `q` along a straight line.

        :param over: seconds that the reference takes; by default as long as since the last
            call (at most 0.1 s), so that a stream of targets is followed without lag. Never
            faster than the velocity limits.
        """
        self._servos.aim(q, over)

    def set_arm(self, q: ArrayLike) -> None:
        """Puts the arm at `q` (n,) rad, at rest."""
        at = np.clip(np.asarray(q, dtype=np.float64), *self.robot.position_limits.T)
        self.data.qpos[self._servos.q] = at
        self.data.qvel[self._servos.v] = 0.0
        self._servos.hold(at, self._servos.width_target)
        mujoco.mj_forward(self.model, self.data)

    @property
    def arm_reference(self) -> Array:
        """Where the servo reference is now (n,), rad."""
        return self._servos.reference

    def set_gripper_target(self, width: float, max_effort: float | None = None) -> None:
        """Opening between the pads in metres; closing stops at `max_effort` newtons a finger."""
        self._servos.aim_gripper(width, max_effort)

    @property
    def q(self) -> Array:
        """Arm joint positions (n,), rad."""
        return self.data.qpos[self._servos.q].copy()

    @property
    def dq(self) -> Array:
        """Arm joint velocities (n,), rad/s."""
        return self.data.qvel[self._servos.v].copy()

    @property
    def effort(self) -> Array:
        """Motor torques (n,) in N m, gravity compensation included."""
        v = self._servos.v
        return self.data.qfrc_actuator[v] + self.data.qfrc_gravcomp[v]

    @property
    def gripper_width(self) -> float:
        """Opening between the pads, m."""
        return self._servos.width

    def hand_pose(self) -> Pose:
        return self._body_pose(self._touch.hand)

    def tcp_pose(self) -> Pose:
        """Tool centre point in the world."""
        return self.hand_pose().compose(self.robot.tcp_offset)

    def wrench(self) -> Array:
        """Force and torque (6,) that the surroundings exert on the hand, in its frame, N, N m."""
        return self._touch.wrench()

    # -- cameras ---------------------------------------------------------------------------
    def render(self, camera: str, depth: bool = False, size: tuple[int, int] | None = None
               ) -> Frame:
        """A picture of "scene", "wrist" or "overview" as it is now, see Frame."""
        if self._renderer is None:
            self._renderer = Renderer(self.model)
        width, height = size or self.image_size
        return self._renderer.render(self.data, self.model.camera(camera).id, width, height,
                                     depth)

    def visible_bodies(self, camera: str, size: tuple[int, int]) -> NDArray[np.int64]:
        """Number of the body (H, W) that each pixel shows; -1 where there is none."""
        if self._renderer is None:
            self._renderer = Renderer(self.model)
        return self._renderer.bodies(self.data, self.model.camera(camera).id, *size)

    def close(self) -> None:
        """Frees the renderer's buffers."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    # -- things and furniture --------------------------------------------------------------
    def _body_pose(self, body: int) -> Pose:
        return Pose(self.data.xpos[body].copy(), xyzw(self.data.xquat[body]))

    def object_pose(self, name: str) -> Pose:
        """Pose in the world of a thing (base centre), furniture or moving part."""
        return self._body_pose(self.model.body(name).id)

    def set_object_pose(self, name: str, pose: Pose) -> None:
        """Puts a thing somewhere, at rest."""
        joint = self.model.joint(f"{name}_free")
        at, dof = joint.qposadr[0], joint.dofadr[0]
        self.data.qpos[at:at + 3] = pose.position
        self.data.qpos[at + 3:at + 7] = wxyz(pose.quaternion)
        self.data.qvel[dof:dof + 6] = 0.0
        mujoco.mj_forward(self.model, self.data)

    def handle_pose(self, joint: str) -> Pose:
        """Where a hand takes a moving part, in the world; axes are those of the part."""
        site = self.data.site(f"{joint}_handle")
        return Pose(site.xpos.copy(), self.object_pose(joint).quaternion)

    def joint_value(self, name: str) -> float:
        """Opening or depth in m, angle in rad, of a moving part of the furniture."""
        return float(self.data.qpos[self.model.joint(name).qposadr[0]])

    def hide(self, name: str) -> None:
        """Makes a visual mark (a stain's disc) vanish."""
        self.model.geom_group[self.model.geom(name).id] = HIDDEN_GROUP

    def visible(self, name: str) -> bool:
        return bool(self.model.geom_group[self.model.geom(name).id] != HIDDEN_GROUP)

    def stain_positions(self) -> Array:
        """Centres (n, 3) of the discs still to be wiped, m."""
        left = [g.position for g in self.scene.marks if self.visible(g.name)]
        return np.array(left).reshape(-1, 3)

    def stain_left(self) -> float:
        """Share of the stain still there, 0..1."""
        marks = self.scene.marks
        return sum(self.visible(g.name) for g in marks) / len(marks) if marks else 0.0

    def _wipe(self) -> None:
        """Hides the stain's discs whose centres lie under a sponge that rests on the table."""
        if not self.scene.marks:
            return
        for thing in self.scene.objects:
            if thing.kind not in WIPERS:
                continue
            pose = self.object_pose(thing.name)
            if abs(pose.position[2]) > WIPE_HEIGHT:
                continue
            for mark in self.scene.marks:
                offset = np.abs(pose.inverse().apply(np.array(mark.position))[:2])
                if (offset <= 0.5 * np.array(thing.size[:2])).all():
                    self.hide(mark.name)

    @property
    def lamp_on(self) -> bool:
        return self._switch and self.joint_value("lamp_switch") > 0.0

    def _lamp(self) -> None:
        if self._bulb >= 0:
            on = self.lamp_on
            self.model.mat_rgba[self._bulb] = LAMP_GLOW if on else self._bulb_off
            self.model.mat_emission[self._bulb] = 1.0 if on else 0.0

    # -- relations -------------------------------------------------------------------------
    def robot_furniture_contacts(self) -> int:
        """Contacts of the arm or hand with fixed furniture (handles and buttons are not)."""
        return self._touch.robot_on_furniture()

    def touching(self, a: str, b: str) -> bool:
        """Whether two bodies touch; "robot" and "fingers" stand for any of their links."""
        return self._touch.between(a, b)

    def contains(self, container: str, name: str) -> bool:
        """Whether a thing's centre is over the container's floor and its underside in it."""
        box = self._containers[container]
        frame = self.object_pose(container).inverse().compose(self.object_pose(name))
        solid, middle = self._solids[name]
        middle = frame.apply(middle)
        low = min(float(at.position[2] - support(geom, at.rotation())[2]) for geom, at in
                  ((g, frame.compose(Pose.of(g.position, g.quaternion))) for g in solid))
        offset = np.abs(middle[:2] - box.center)
        inside = (np.hypot(*offset) <= box.half[0] if box.round
                  else bool((offset <= box.half).all()))
        return bool(inside and box.floor - 0.01 <= low <= box.rim + 0.01)

    # -- state -----------------------------------------------------------------------------
    def state(self) -> Array:
        """Everything that changes while running, as one vector."""
        m, d = self.model, self.data
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        physics = np.empty(mujoco.mj_stateSize(m, kind))
        mujoco.mj_getState(m, d, physics, kind)
        hidden = [float(self.visible(g.name)) for g in self.scene.marks]
        return np.concatenate([physics, self._servos.state(), hidden])

    def set_state(self, state: Array) -> None:
        """Back to a vector that `state` returned."""
        m, d = self.model, self.data
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        size = mujoco.mj_stateSize(m, kind)
        mujoco.mj_setState(m, d, np.ascontiguousarray(state[:size]), kind)
        rest = self._servos.set_state(state[size:])
        for mark, shown in zip(self.scene.marks, rest, strict=True):
            geom = m.geom(mark.name).id
            m.geom_group[geom] = self._groups[geom] if shown else HIDDEN_GROUP
        mujoco.mj_forward(m, d)
        self._lamp()


def _solid(geoms: tuple[Geom, ...]) -> tuple[list[Geom], Array]:
    """What of a thing collides, and the middle (3,) of its bounding box in its own frame."""
    solid = [g for g in geoms if g.collide]
    return solid, np.mean(bounds(solid), axis=0)
