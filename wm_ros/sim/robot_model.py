# SPDX-License-Identifier: Apache-2.0
"""The robot of a RobotConfig as an MjSpec: URDF plus servos, finger pads and a wrist camera."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from functools import lru_cache
from pathlib import Path

import mujoco
import numpy as np

from wm_ros.motion.pose import Pose
from wm_ros.motion.urdf import base_in_root, disabled_pairs
from wm_ros.paths import robot_data
from wm_ros.robot import RobotConfig

LINK = np.array([0.92, 0.92, 0.91, 1.0])
HAND = np.array([0.16, 0.16, 0.18, 1.0])
PAD = np.array([0.30, 0.31, 0.33, 1.0])
PAD_FRICTION = (1.3, 0.03, 0.001)
GRIPPER = "gripper"


def _urdf(robot: RobotConfig) -> str:
    """The URDF with absolute mesh files and MuJoCo's import options."""
    text = Path(robot.urdf_path).read_text()
    text = re.sub(r"package://[^\"']+", lambda m: str(robot_data(m.group(0))), text)
    root = ET.fromstring(text)
    extension = ET.SubElement(root, "mujoco")
    ET.SubElement(extension, "compiler", fusestatic="false", strippath="false",
                  discardvisual="true", balanceinertia="true")
    # links without mass are frames; an inertial of zeros is an error in MuJoCo
    for link in root.iter("link"):
        inertial = link.find("inertial")
        mass = None if inertial is None else inertial.find("mass")
        if inertial is not None and mass is not None and float(mass.get("value", "0")) == 0:
            link.remove(inertial)
    return ET.tostring(root, encoding="unicode")


@lru_cache(maxsize=4)
def _cached(urdf: str) -> mujoco.MjSpec:
    return mujoco.MjSpec.from_string(urdf)


def below(body: mujoco.MjsBody) -> list[mujoco.MjsBody]:
    """The body and all that hang on it."""
    return [body, *(b for child in body.bodies for b in below(child))]


def robot_spec(robot: RobotConfig) -> mujoco.MjSpec:
    """A fresh spec of the robot, base at the origin, ready for the scene to be added."""
    urdf = _urdf(robot)
    spec = _cached(urdf).copy()
    spec.compiler.discardvisual = False  # meant for the URDF's detailed meshes only
    _to_base(spec, base_in_root(ET.fromstring(urdf), robot.base_link))
    names = {body.name for body in spec.bodies}
    hand = spec.body(robot.hand_link)
    hand_bodies = {body.name for body in below(hand)}
    for body in spec.bodies:
        if body.name == "world":
            continue
        body.gravcomp = 1.0
        for geom in body.geoms:
            geom.rgba = HAND if body.name in hand_bodies else LINK
            geom.group = 0
    # a base that the importer merged into the world keeps its colour too
    for geom in spec.worldbody.geoms:
        geom.rgba = LINK
    _fingers(spec, robot)
    _servos(spec, robot)
    for first, second in disabled_pairs(robot.srdf_path):
        if first in names and second in names:
            spec.add_exclude(bodyname1=first, bodyname2=second)
    return spec


def _to_base(spec: mujoco.MjSpec, base: Pose) -> None:
    """Moves the robot so that its base, whose pose in the URDF's root this is, is the world."""
    root = base.inverse()
    quat = np.roll(root.quaternion, 1)
    for item in (*spec.worldbody.bodies, *spec.worldbody.geoms):
        mujoco.mju_mulPose(item.pos, item.quat, root.position, quat,
                           item.pos.copy(), item.quat.copy())


def _fingers(spec: mujoco.MjSpec, robot: RobotConfig) -> None:
    """Rubber pads on the tips, fingers that mirror each other, one width servo."""
    tendon = spec.add_tendon(name=GRIPPER)
    for name in robot.finger_joints:
        joint = spec.joint(name)
        joint.damping[0] = 10.0
        joint.armature = 0.1
        joint.frictionloss = 0.0
        tendon.wrap_joint(name, 1.0)
        tips = sorted(joint.parent.geoms, key=lambda g: -g.pos[2])
        for geom in tips:
            geom.rgba = HAND
        pad = tips[0]
        pad.rgba = PAD
        pad.condim = 4
        pad.friction = PAD_FRICTION
        pad.priority = 1
        pad.solref = (0.004, 1.0)
        pad.solimp = (0.95, 0.99, 0.001, 0.5, 2.0)
    for equality in list(spec.equalities):
        spec.delete(equality)
    first, second = robot.finger_joints
    spec.add_equality(type=mujoco.mjtEq.mjEQ_JOINT, name1=first, name2=second,
                      objtype=mujoco.mjtObj.mjOBJ_JOINT, data=[0, 1, *([0] * 10)],
                      solref=(0.005, 1.0), solimp=(0.95, 0.99, 0.001, 0.5, 2.0))
    servo, effort = robot.servo, robot.gripper.max_effort
    actuator = spec.add_actuator(name=GRIPPER, target=GRIPPER,
                                 trntype=mujoco.mjtTrn.mjTRN_TENDON)
    actuator.set_to_position(kp=servo.gripper_stiffness, kv=servo.gripper_damping)
    actuator.forcelimited = True
    actuator.forcerange = (-effort, effort)


def _servos(spec: mujoco.MjSpec, robot: RobotConfig) -> None:
    """A position servo on each arm joint; Servos keeps it within its torque limits."""
    for i, name in enumerate(robot.arm_joints):
        joint = spec.joint(name)
        joint.armature = robot.servo.armature[i]
        joint.damping[0] = 0.5
        joint.frictionloss = 0.0
        actuator = spec.add_actuator(name=name, target=name,
                                     trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=robot.servo.stiffness[i], kv=robot.servo.damping[i])


