# SPDX-License-Identifier: Apache-2.0
"""An SDF world in DART, the physics engine of Gazebo, with Gazebo's own collision detector."""
from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import dartpy as dart
import numpy as np

from wm_ros.motion.pose import Pose


def pose_of(element: ET.Element) -> Pose:
    """The <pose> of an element (x y z and a quaternion x y z w)."""
    text = element.findtext("pose")
    if not text:
        return Pose.identity()
    numbers = [float(v) for v in text.split()]
    return Pose.of(numbers[:3], numbers[3:])


def isometry(pose: Pose) -> dart.math.Isometry3:
    result = dart.math.Isometry3()
    result.set_translation(np.asarray(pose.position, float))
    result.set_rotation(pose.rotation())
    return result


def _shape(collision: ET.Element) -> dart.dynamics.Shape:
    shape = next(iter(collision.find("geometry")))
    if shape.tag == "box":
        return dart.dynamics.BoxShape([float(v) for v in shape.findtext("size").split()])
    radius = float(shape.findtext("radius"))
    if shape.tag == "sphere":
        return dart.dynamics.SphereShape(radius)
    kind = {"cylinder": dart.dynamics.CylinderShape, "capsule": dart.dynamics.CapsuleShape}
    return kind[shape.tag](radius, float(shape.findtext("length")))


def _fill(body: dart.dynamics.BodyNode, link: ET.Element) -> None:
    for collision in link.findall("collision"):
        node = body.createShapeNode(_shape(collision))
        node.createCollisionAspect()
        friction = node.createDynamicsAspect()
        friction.setFrictionCoeff(float(collision.findtext("surface/friction/ode/mu")))
        node.setRelativeTransform(isometry(pose_of(collision)))
    inertial = link.find("inertial")
    if inertial is None:
        return
    t = {e.tag: float(e.text) for e in inertial.find("inertia")}
    moment = np.array([[t["ixx"], t["ixy"], t["ixz"]], [t["ixy"], t["iyy"], t["iyz"]],
                       [t["ixz"], t["iyz"], t["izz"]]])
    body.setInertia(dart.dynamics.Inertia(float(inertial.findtext("mass")),
                                          pose_of(inertial).position, moment))


def _joint(skeleton: dart.dynamics.Skeleton, parent: dart.dynamics.BodyNode, joint: ET.Element,
           parent_pose: Pose, child_pose: Pose) -> dart.dynamics.BodyNode:
    """A child body on a drawer's or door's joint."""
    axis = joint.find("axis")
    hinge = joint.get("type") == "revolute"
    make = (skeleton.createRevoluteJointAndBodyNodePair if hinge
            else skeleton.createPrismaticJointAndBodyNodePair)
    made, body = make(parent)
    made.setName(joint.get("name"))
    at = pose_of(joint)
    made.setTransformFromParentBodyNode(
        isometry(parent_pose.inverse().compose(child_pose).compose(at)))
    made.setTransformFromChildBodyNode(isometry(at))
    made.setAxis(np.array([float(v) for v in axis.findtext("xyz").split()]))
    made.setPositionLowerLimit(0, float(axis.findtext("limit/lower")))
    made.setPositionUpperLimit(0, float(axis.findtext("limit/upper")))
    made.setLimitEnforcement(True)
    made.setDampingCoefficient(0, float(axis.findtext("dynamics/damping")))
    made.setCoulombFriction(0, float(axis.findtext("dynamics/friction")))
    stiffness = axis.findtext("dynamics/spring_stiffness")
    if stiffness:
        made.setSpringStiffness(0, float(stiffness))
        made.setRestPosition(0, float(axis.findtext("dynamics/spring_reference")))
    return body


def load(path: Path) -> dart.simulation.World:
    """The world's models as DART skeletons; lights, cameras and looks are left out."""
    sdf = ET.parse(path).getroot().find("world")
    world = dart.simulation.World(sdf.get("name"))
    world.setTimeStep(float(sdf.findtext("physics/max_step_size")))
    world.setGravity([float(v) for v in sdf.findtext("gravity").split()])
    world.getConstraintSolver().setCollisionDetector(dart.collision.OdeCollisionDetector())
    for model in sdf.findall("model"):
        world.addSkeleton(_skeleton(model))
    return world


def _skeleton(model: ET.Element) -> dart.dynamics.Skeleton:
    skeleton = dart.dynamics.Skeleton(model.get("name"))
    base, links = pose_of(model), model.findall("link")
    joints = {j.findtext("child"): j for j in model.findall("joint")}
    bodies: dict[str, dart.dynamics.BodyNode] = {}
    for link in links:
        name, pose = link.get("name"), pose_of(link)
        joint = joints.get(name)
        if joint is not None and joint.get("type") != "fixed":
            parent = joint.findtext("parent")
            parent_pose = next(pose_of(other) for other in links if other.get("name") == parent)
            body = _joint(skeleton, bodies[parent], joint, parent_pose, pose)
        elif joint is not None or model.findtext("static") == "true":
            made, body = skeleton.createWeldJointAndBodyNodePair()
            made.setTransformFromParentBodyNode(isometry(base.compose(pose)))
        else:
            made, body = skeleton.createFreeJointAndBodyNodePair()
            made.setRelativeTransform(isometry(base.compose(pose)))
        body.setName(name)
        bodies[name] = body
        _fill(body, link)
    return skeleton
