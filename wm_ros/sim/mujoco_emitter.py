# SPDX-License-Identifier: Apache-2.0
"""Scene + robot -> MjSpec. MuJoCo's quaternions (w x y z) stay in this file and simulator.py."""

from __future__ import annotations

from dataclasses import replace
from math import degrees

import mujoco
import numpy as np

from wm_ros.motion.pose import Array, Pose, quaternion_multiply
from wm_ros.robot import RobotConfig
from wm_ros.sim.robot_model import robot_spec
from wm_ros.sim.schema import (
    TALLEST,
    WIDEST,
    Body,
    Camera,
    Geom,
    Material,
    Quat,
    Scene,
)
from wm_ros.sim.shapes import half_extents, mass_shares
from wm_ros.sim.textures import SIZE, pixels

TIMESTEP = 0.002
# geoms' user number: what a contact with it means
FURNITURE, MOVING, THING, ROBOT, DECOR = 1, 2, 3, 4, 5
HIDDEN_GROUP = 5
SHAPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
}
TURN_X: Quat = (0.5, 0.5, 0.5, 0.5)  # a box's x, y, z to what were y, z, x
TURN_Y: Quat = (0.5**0.5, 0.0, 0.0, 0.5**0.5)  # to what were x, z, -y
OPTICAL = np.array([1.0, 0.0, 0.0, 0.0])  # half a turn about x: optical frame <-> GL camera


def wxyz(quaternion: Quat | Array) -> list[float]:
    x, y, z, w = (float(v) for v in quaternion)
    return [w, x, y, z]


def xyzw(quaternion: Array) -> Array:
    return np.array([quaternion[1], quaternion[2], quaternion[3], quaternion[0]])


def _size(geom: Geom) -> Array:
    """MuJoCo's half sizes (3,)."""
    half = half_extents(geom)
    if geom.shape in ("cylinder", "capsule"):
        return np.array([geom.size[0], 0.5 * geom.size[1], 0.0])
    return half


def thin_along_z(geom: Geom) -> Geom:
    """The same box, its thinnest side along its own z: MuJoCo projects textures along z."""
    x, y, z = geom.size
    if z <= min(x, y):
        return geom
    turn, size = (TURN_X, (y, z, x)) if x <= y else (TURN_Y, (x, z, y))
    quaternion = quaternion_multiply(np.array(geom.quaternion), np.array(turn))
    return replace(geom, size=size, quaternion=tuple(quaternion.tolist()))


class Emitter:
    """Collects materials so that equal ones are shared."""

    def __init__(self, spec: mujoco.MjSpec, detailed: bool = False):
        self.spec, self.detailed = spec, detailed
        self.materials: dict[Material, str] = {}
        self.textures: dict[object, str] = {}

    def material(self, material: Material) -> str:
        if material in self.materials:
            return self.materials[material]
        name = f"material_{len(self.materials)}"
        item = self.spec.add_material(name=name, rgba=material.rgba, specular=material.specular,
                                      shininess=material.shininess, emission=material.emission)
        if material.texture is not None:
            item.rgba = (1, 1, 1, 1)
            item.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = self.texture(material)
            item.texrepeat = (max(material.repeat, 1.0),) * 2
            item.texuniform = material.repeat > 0
        self.materials[material] = name
        return name

    def texture(self, material: Material) -> str:
        key = material.texture
        assert key is not None
        if key not in self.textures:
            name = f"texture_{len(self.textures)}"
            item = self.spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D,
                                         width=SIZE, height=SIZE, nchannel=3)
            item.data = pixels(key).tobytes()
            self.textures[key] = name
        return self.textures[key]

    def geom(self, parent: mujoco.MjsBody, geom: Geom, meaning: int, mass: float) -> None:
        if self.detailed and geom.shape == "box" and geom.material.texture is not None:
            geom = thin_along_z(geom)
        item = parent.add_geom(
            type=SHAPES[geom.shape], size=_size(geom), pos=geom.position,
            quat=wxyz(geom.quaternion), mass=mass, userdata=[meaning],
        )
        if geom.name:
            item.name = geom.name
            # named geoms change their look while running: a material of their own
            item.material = self.own(geom)
        else:
            item.material = self.material(geom.material)
        if not geom.visible:
            item.group = HIDDEN_GROUP
        if not geom.collide:
            item.contype = item.conaffinity = 0
            return
        item.condim = 6 if geom.round else 4
        item.friction = (0.8, 0.01, 0.0015) if geom.round else (0.8, 0.01, 0.0005)
        item.solref = (0.01, 1.0)
        item.solimp = (0.95, 0.99, 0.001, 0.5, 2.0)

    def own(self, geom: Geom) -> str:
        name = f"material_of_{geom.name}"
        self.spec.add_material(name=name, rgba=geom.material.rgba,
                               specular=geom.material.specular,
                               emission=geom.material.emission)
        return name

    def body(self, parent: mujoco.MjsBody, body: Body, meaning: int) -> mujoco.MjsBody:
        item = parent.add_body(name=body.name, pos=body.position, quat=wxyz(body.quaternion))
        if body.free:
            item.add_freejoint(name=f"{body.name}_free")
        joint = body.joint
        if joint is not None:
            hinge = joint.kind == "hinge"
            added = item.add_joint(
                name=joint.name, axis=joint.axis, pos=joint.position, range=joint.range,
                type=mujoco.mjtJoint.mjJNT_HINGE if hinge else mujoco.mjtJoint.mjJNT_SLIDE,
                limited=True, frictionloss=joint.friction, springref=joint.spring_reference,
                armature=0.002 if hinge else 0.01,
            )
            added.damping[0] = joint.damping
            if joint.stiffness >= 0:
                added.stiffness[0] = joint.stiffness
            else:  # MuJoCo springs only pull back; an actuator pushes away from the middle
                push = self.spec.add_actuator(name=f"{joint.name}_spring", target=joint.name,
                                              trntype=mujoco.mjtTrn.mjTRN_JOINT)
                push.gaintype = mujoco.mjtGain.mjGAIN_FIXED
                push.gainprm[0] = 0.0
                push.biastype = mujoco.mjtBias.mjBIAS_AFFINE
                push.biasprm[1] = -joint.stiffness
        shares = {id(g): m for g, m in mass_shares(body)} if body.mass > 0 else {}
        for geom in body.geoms:
            self.geom(item, geom, meaning, shares.get(id(geom), 0.0))
        for name, position in body.sites:
            item.add_site(name=name, pos=position, size=[0.004] * 3, group=HIDDEN_GROUP)
        for child in body.children:
            self.body(item, child, MOVING)
            self.spec.add_exclude(bodyname1=body.name, bodyname2=child.name)
        return item


def _camera(spec: mujoco.MjSpec, camera: Camera, robot: RobotConfig) -> None:
    parent = spec.body(robot.hand_link) if camera.on_hand else spec.worldbody
    quat = quaternion_multiply(np.array(camera.quaternion), OPTICAL)
    parent.add_camera(name=camera.name, pos=camera.position, quat=wxyz(quat),
                      fovy=degrees(camera.fovy))
    if camera.on_hand:  # a small housing behind the lens
        pose = Pose.of(camera.position, camera.quaternion)
        at = pose.apply(np.array([0.0, 0.0, -0.022]))
        parent.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.022, 0.010, 0.008), pos=at,
                        quat=wxyz(pose.quaternion), rgba=(0.1, 0.1, 0.12, 1), contype=0,
                        conaffinity=0, mass=0.0, userdata=[DECOR])


def _visual(spec: mujoco.MjSpec, scene: Scene, detailed: bool) -> None:
    quality, head = spec.visual.quality, spec.visual.headlight
    quality.shadowsize = 4096 if detailed else 0
    quality.offsamples = 8 if detailed else 0
    if not detailed:
        quality.numslices, quality.numstacks, quality.numquads = 16, 10, 1
    spec.visual.global_.offwidth, spec.visual.global_.offheight = WIDEST, TALLEST
    head.ambient = (scene.ambient,) * 3
    head.diffuse = (0.18,) * 3
    head.specular = (0.05,) * 3
    spec.stat.extent, spec.stat.center = 2.0, (0.3, 0.0, 0.2)
    spec.visual.map.znear, spec.visual.map.zfar = 0.005, 10.0
    spec.visual.map.shadowclip = 1.2
    for number, light in enumerate(scene.lights):
        spec.worldbody.add_light(
            name=f"light_{number}", pos=light.position, dir=light.direction,
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            diffuse=light.diffuse, specular=(0.15,) * 3, ambient=(0,) * 3,
            castshadow=light.shadow and detailed,
        )


def scene_spec(scene: Scene, robot: RobotConfig, detailed: bool = False) -> mujoco.MjSpec:
    """The whole world, ready to compile.

    :param detailed: shadows and smooth edges, for pictures (10 to 15 times slower)
    """
    spec = robot_spec(robot)
    spec.modelname = f"wm_ros {scene.room}"
    spec.nuser_geom = 1
    for body in spec.bodies:
        for geom in body.geoms:
            geom.userdata = [ROBOT]
    option = spec.option
    option.timestep = TIMESTEP
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 4.0
    option.iterations, option.ls_iterations = 100, 50
    _visual(spec, scene, detailed)
    emitter = Emitter(spec, detailed)
    for furniture in scene.furnishings:
        emitter.body(spec.worldbody, furniture.body, FURNITURE)
    for thing in scene.objects:
        emitter.body(spec.worldbody, thing.body, THING)
    for mark in scene.marks:
        emitter.geom(spec.worldbody, mark, DECOR, 0.0)
    for camera in scene.cameras:
        _camera(spec, camera, robot)
    return spec


