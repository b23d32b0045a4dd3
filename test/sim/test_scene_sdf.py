# SPDX-License-Identifier: Apache-2.0
"""Gazebo's world and MuJoCo's model describe the same room."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET

import mujoco
import numpy as np
import pytest
from hand import robot

from wm_ros.motion.pose import Pose
from wm_ros.paths import share
from wm_ros.sim.mujoco_emitter import scene_spec, xyzw
from wm_ros.sim.randomize import randomize
from wm_ros.sim.rooms import load_room
from wm_ros.sim.schema import Geom, Requirements
from wm_ros.sim.sdf_emitter import world_xml
from wm_ros.sim.shapes import support
from wm_ros.sim.write_worlds import WORLDS, world_scene

SCENES = [("home", Requirements(objects=("mug", "banana", "bowl"), furniture=("cabinet",),
                                joints={"door": 0.7}, stain=True, clutter=(3, 3))),
          ("office", Requirements(objects=("notebook", "paper_ball"), furniture=("drawer_unit",),
                                  joints={"drawer": 0.1}, clutter=(3, 3)))]


def _pose(element: ET.Element) -> Pose:
    pose = element.find("pose")
    if pose is None or not pose.text:
        return Pose.identity()
    numbers = [float(v) for v in pose.text.split()]
    return Pose.of(numbers[:3], numbers[3:])


def _geom(collision: ET.Element) -> Geom:
    shape = next(iter(collision.find("geometry")))
    if shape.tag == "box":
        size = shape.findtext("size")
    elif shape.tag == "ellipsoid":
        size = shape.findtext("radii")
    else:
        size = f"{shape.findtext('radius')} {shape.findtext('length') or ''}"
    pose = _pose(collision)
    return Geom(shape.tag, tuple(float(v) for v in size.split()), None, tuple(pose.position),
                tuple(pose.quaternion))


def _box(pose: Pose, geoms: list[Geom]) -> np.ndarray:
    """Extent in the world (2, 3) of primitives in the link's frame."""
    corners = []
    for geom in geoms:
        at = pose.compose(Pose.of(geom.position, geom.quaternion))
        half = support(geom, at.rotation())
        corners += [at.position - half, at.position + half]
    return np.array([np.min(corners, axis=0), np.max(corners, axis=0)])


def _mujoco_box(model, data, body) -> np.ndarray:
    corners = []
    names = {mujoco.mjtGeom.mjGEOM_BOX: "box", mujoco.mjtGeom.mjGEOM_SPHERE: "sphere",
             mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder", mujoco.mjtGeom.mjGEOM_CAPSULE: "capsule",
             mujoco.mjtGeom.mjGEOM_ELLIPSOID: "ellipsoid"}
    for geom in range(model.ngeom):
        if model.geom_bodyid[geom] != body or model.geom_contype[geom] == 0:
            continue
        shape, s = names[mujoco.mjtGeom(model.geom_type[geom])], model.geom_size[geom]
        size = {"box": 2 * s, "sphere": s[:1], "ellipsoid": s}.get(shape, (s[0], 2 * s[1]))
        half = support(Geom(shape, tuple(size), None), data.geom_xmat[geom].reshape(3, 3))
        corners += [data.geom_xpos[geom] - half, data.geom_xpos[geom] + half]
    return np.array([np.min(corners, axis=0), np.max(corners, axis=0)])


@pytest.mark.parametrize(("room", "task"), SCENES)
def test_poses_masses_inertias_extents_and_joints_agree(room, task):
    scene = randomize(load_room(room), 5, "train", task)
    model = scene_spec(scene, robot()).compile()
    data = mujoco.MjData(model)
    for body in scene.bodies():
        if body.joint is not None:
            data.qpos[model.joint(body.joint.name).qposadr[0]] = body.joint.initial
    mujoco.mj_forward(model, data)
    world = ET.fromstring(world_xml(scene)).find("world")
    compared = set()
    for sdf_model in world.findall("model"):
        base = _pose(sdf_model)
        for link in sdf_model.findall("link"):
            name = link.get("name").removesuffix("_link")
            collisions = [_geom(c) for c in link.findall("collision")]
            if not collisions:
                continue
            compared.add(name)
            body, pose = model.body(name).id, base.compose(_pose(link))
            assert np.allclose(pose.position, data.xpos[body], atol=1e-6), name
            assert abs(pose.quaternion @ xyzw(data.xquat[body])) == pytest.approx(1, abs=1e-9)
            # an ellipsoid collides as balls in a row or a box, of the same height
            round_ = any(mujoco.mjtGeom(kind) == mujoco.mjtGeom.mjGEOM_ELLIPSOID
                         for kind in model.geom_type[model.geom_bodyid == body])
            assert np.allclose(_box(pose, collisions), _mujoco_box(model, data, body),
                               atol=[1e-2, 1e-2, 1e-5] if round_ else 1e-5), name
            moves = model.body_dofnum[body] > 0
            if moves:
                _same_inertia(link.find("inertial"), model, body)
            else:
                assert sdf_model.findtext("static") == "true" or any(
                    j.get("type") == "fixed" for j in sdf_model.findall("joint"))
        for joint in sdf_model.findall("joint"):
            if joint.get("type") != "fixed":
                _same_joint(joint, model, data)
    assert compared == {b.name for b in scene.bodies()}


def _same_inertia(inertial: ET.Element, model, body: int) -> None:
    assert float(inertial.findtext("mass")) == pytest.approx(model.body_mass[body], rel=1e-6)
    assert np.allclose(_pose(inertial).position, model.body_ipos[body], atol=1e-6)
    t = {e.tag: float(e.text) for e in inertial.find("inertia")}
    tensor = np.array([[t["ixx"], t["ixy"], t["ixz"]], [t["ixy"], t["iyy"], t["iyz"]],
                       [t["ixz"], t["iyz"], t["izz"]]])
    turn = Pose.of([0, 0, 0], xyzw(model.body_iquat[body])).rotation()
    expected = turn @ np.diag(model.body_inertia[body]) @ turn.T
    assert np.allclose(tensor, expected, rtol=1e-3, atol=1e-9)


def _same_joint(joint: ET.Element, model, data) -> None:
    other = model.joint(joint.get("name"))
    start = data.qpos[other.qposadr[0]]
    axis = joint.find("axis")
    hinge = joint.get("type") == "revolute"
    assert other.type[0] == (mujoco.mjtJoint.mjJNT_HINGE if hinge else mujoco.mjtJoint.mjJNT_SLIDE)
    assert np.allclose([float(v) for v in axis.findtext("xyz").split()], other.axis)
    limit = [float(axis.find("limit").findtext(k)) for k in ("lower", "upper")]
    assert np.allclose(np.array(limit) + start, other.range, atol=1e-6)
    dynamics = axis.find("dynamics")
    dof = other.dofadr[0]
    assert float(dynamics.findtext("friction")) == pytest.approx(model.dof_frictionloss[dof])
    assert float(dynamics.findtext("damping")) == pytest.approx(
        float(np.ravel(model.dof_damping[dof])[0]))


@pytest.mark.parametrize("room", sorted(WORLDS))
def test_checked_in_worlds_are_what_the_scenes_generate(room):
    path = share() / "worlds" / f"{room}.sdf"
    assert path.read_text() == world_xml(world_scene(room)), \
        "run python -m wm_ros.sim.write_worlds"


@pytest.mark.parametrize("room", sorted(WORLDS))
def test_sdformat_accepts_the_world(room):
    if shutil.which("ign") is None:
        pytest.skip("no `ign` (apt-get install libsdformat-dev ignition-tools)")
    done = subprocess.run(["ign", "sdf", "-k", str(share() / "worlds" / f"{room}.sdf")],
                          capture_output=True, text=True, timeout=60)
    if "not an ign" in done.stderr or "ign sdf" in done.stderr:
        pytest.skip("`ign` has no sdf command (apt-get install libsdformat-dev)")
    noise = [line for line in done.stderr.splitlines()
             if line.strip() and "libignition-tools-backward" not in line]
    assert done.returncode == 0 and "Valid" in done.stdout and not noise, done.stdout + done.stderr
