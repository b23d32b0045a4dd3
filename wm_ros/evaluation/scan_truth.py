# SPDX-License-Identifier: Apache-2.0
"""A scan against the simulator's truth: geometry, poses, what was found."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import degrees, pi
from typing import Any

import mujoco
import numpy as np
from scipy.spatial import cKDTree

from wm_ros.motion.pose import Array, Pose
from wm_ros.sim.mujoco_emitter import DECOR, FURNITURE, HIDDEN_GROUP, MOVING, THING
from wm_ros.sim.schema import SceneObject
from wm_ros.sim.shapes import inertial, look_at, support, volume
from wm_ros.sim.simulator import Simulator
from wm_ros.world_model.scene3d.perceive import Region
from wm_ros.world_model.scene3d.perceived import PerceivedScene, Thing
from wm_ros.world_model.scene3d.robot_mask import point_camera
from wm_ros.world_model.scene3d.surface import surface_points
from wm_ros.world_model.scene3d.tsdf import Volume
from wm_ros.world_model.scene3d.view import View

NEAR_THING = 0.012  # m; points that near to a movable thing are not static geometry
FOUND = 0.05  # m between a thing and what was perceived of it
SQUARE = 0.1  # relative difference of sides that counts as none


def distances(sim: Simulator, points: Array, kinds: Iterable[int]) -> Array:
    """Signed distance (n,) m of points to the true geometry of the given meanings."""
    m, d = sim.model, sim.data
    wanted = set(kinds)
    out = np.full(len(points), np.inf)
    low, high = points.min(0) - 0.1, points.max(0) + 0.1
    for g in range(m.ngeom):
        if int(m.geom_user[g, 0]) not in wanted:
            continue
        if m.geom_group[g] == HIDDEN_GROUP and m.geom_contype[g] == 0:
            continue
        rotation = d.geom_xmat[g].reshape(3, 3)
        half = np.abs(rotation) @ m.geom_aabb[g, 3:]
        centre = d.geom_xpos[g] + rotation @ m.geom_aabb[g, :3]
        if (centre + half < low).any() or (centre - half > high).any():
            continue
        local = (points - d.geom_xpos[g]) @ rotation
        out = np.minimum(out, _distance(int(m.geom_type[g]), m.geom_size[g], local))
    return out


def _distance(kind: int, size: Array, p: Array) -> Array:
    types = mujoco.mjtGeom
    if kind == types.mjGEOM_SPHERE:
        return np.asarray(np.linalg.norm(p, axis=1) - size[0])
    if kind == types.mjGEOM_CAPSULE:
        rest = p - np.array([0, 0, 1]) * np.clip(p[:, 2:], -size[1], size[1])
        return np.asarray(np.linalg.norm(rest, axis=1) - size[0])
    if kind == types.mjGEOM_ELLIPSOID:  # first-order (Quilez)
        a, b = np.linalg.norm(p / size, axis=1), np.linalg.norm(p / size**2, axis=1)
        return np.asarray(a * (a - 1) / np.maximum(b, 1e-9))
    q = (np.stack([np.hypot(p[:, 0], p[:, 1]) - size[0], np.abs(p[:, 2]) - size[1]], 1)
         if kind == types.mjGEOM_CYLINDER else np.abs(p) - size)
    return np.asarray(np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0))


def visible_surface(sim: Simulator, region: Region, size: int = 120) -> Array:
    """Points (n, 3) of the true static surface that ten cameras around the table see."""
    eyes = [(1.3 * np.cos(a), 1.3 * np.sin(a), 0.75) for a in np.arange(8) * pi / 4]
    eyes += [(0.5, 0.5, 1.1), (0.4, -0.5, 1.1)]
    camera = sim.model.camera("overview").id
    kept = (sim.model.cam_pos[camera].copy(), sim.model.cam_quat[camera].copy(),
            sim.model.cam_fovy[camera].copy())
    q = sim.q
    out = []
    K = np.array([[size, 0, 0.5 * (size - 1)], [0, size, 0.5 * (size - 1)], [0, 0, 1.0]])
    for eye in eyes:
        target = (0.25, 0.0, 0.0) if abs(eye[2] - 1.1) > 1e-6 else (eye[0] + 0.01, eye[1], 0.0)
        pose = Pose.of(eye, look_at(eye, target))
        point_camera(sim, "overview", K, pose, size)
        sim.set_arm(q)
        frame = sim.render("overview", depth=True, size=(size, size))
        assert frame.depth is not None
        view = View(frame.rgb, frame.depth, frame.K, frame.pose)
        out.append(view.pose.apply(view.points()[view.known()].astype(np.float64)))
    sim.model.cam_pos[camera], sim.model.cam_quat[camera] = kept[0], kept[1]
    sim.model.cam_fovy[camera] = kept[2]
    sim.set_arm(q)
    points = np.concatenate(out)
    inside = ((points > np.array(region.low) + 0.03) & (points < np.array(region.high) - 0.03))
    points = points[inside.all(1)]
    static = np.abs(distances(sim, points, (FURNITURE, MOVING, DECOR))) < 0.002
    return np.asarray(points[static])


@dataclass
class Errors:
    """Errors of one scan; m and degrees.

    rmse and p95 of the fused static surface to the true one; covered: share of the truly
    visible static surface within 10 mm of the fused one. Per true thing: position (of the
    underside's middle) and yaw (where it has one); missed things; perceived things that are
    furniture.
    """

    rmse: float = 0.0
    median: float = 0.0
    p95: float = 0.0
    covered: float = 0.0
    points: int = 0
    position: dict[str, float] = field(default_factory=dict)
    yaw: dict[str, float] = field(default_factory=dict)
    mass_class: dict[str, bool] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    extra: int = 0


def judge(sim: Simulator, field_volume: Volume, scene: PerceivedScene, region: Region
          ) -> Errors:
    """Compares a fused volume and a perceived scene with the simulator's present state."""
    out = Errors()
    points = surface_points(field_volume).position.astype(np.float64)
    movable = distances(sim, points, (THING,))
    static = points[movable > NEAR_THING]
    error = np.abs(distances(sim, static, (FURNITURE, MOVING, DECOR)))
    out.points = len(static)
    out.rmse = float(np.sqrt(np.square(error).mean()))
    out.median, out.p95 = float(np.median(error)), float(np.percentile(error, 95))
    truth = visible_surface(sim, region)
    reach, _ = cKDTree(points).query(truth, distance_upper_bound=0.05)
    out.covered = float((reach < 0.010).mean())
    _things(sim, scene, out)
    return out


def matches(sim: Simulator, scene: PerceivedScene) -> dict[str, Thing]:
    """True thing's name -> what was perceived of it (each at most once, nearest first)."""
    pairs = sorted((float(np.linalg.norm(true_base(sim, o) - t.base)), o.name, t.name)
                   for o in sim.scene.objects for t in scene.things)
    out: dict[str, Thing] = {}
    used: set[str] = set()
    for gap, true, seen in pairs:
        if gap < FOUND and true not in out and seen not in used:
            out[true] = scene.thing(seen)
            used.add(seen)
    return out


def true_base(sim: Simulator, thing: SceneObject) -> Array:
    """Below the centre of mass, at the height of the lowest point (3,), m."""
    pose = sim.object_pose(thing.name)
    out = pose.apply(inertial(thing.body)[0])
    low = [pose.apply(np.array(g.position))[2] - support(
        g, pose.compose(Pose.of(g.position, g.quaternion)).rotation())[2]
        for g in thing.body.geoms if g.collide]
    return np.array([out[0], out[1], min(low)])


def symmetry(thing: SceneObject) -> float | None:
    """Turn (rad) after which the thing looks the same from above; None if it is round."""
    geom = max((g for g in thing.body.geoms if g.collide), key=volume)
    upright = abs(Pose.of(geom.position, geom.quaternion).rotation()[2, 2]) > 0.9
    if geom.shape == "sphere" or (geom.shape in ("cylinder", "capsule") and upright):
        return None
    if geom.shape in ("box", "ellipsoid"):
        a, b = geom.size[:2]
        if abs(a - b) < SQUARE * max(a, b):
            return 0.5 * pi if geom.shape == "box" else None
    return pi


def yaw_error(thing: SceneObject, pose: Pose, seen: Thing, turn: float) -> float:
    """Degrees, modulo the thing's symmetry; 90 where a round shape was seen."""
    geom = max((g for g in thing.body.geoms if g.collide), key=volume)
    axes = pose.compose(Pose.of(geom.position, geom.quaternion)).rotation()
    long = axes[:, 2] if geom.shape in ("cylinder", "capsule") else (
        axes[:, 0] if geom.size[0] >= geom.size[1] else axes[:, 1])
    if seen.solid.shape not in ("box", "capsule"):
        return 90.0
    got = seen.solid.pose.rotation()[:, 2 if seen.solid.shape == "capsule" else 0]
    gap = np.arctan2(got[1], got[0]) - np.arctan2(long[1], long[0])
    return degrees(abs((gap + 0.5 * turn) % turn - 0.5 * turn))


def _things(sim: Simulator, scene: PerceivedScene, out: Errors) -> None:
    from wm_ros.world_model.scene3d.perceived import mass_class

    found = matches(sim, scene)
    for thing in sim.scene.objects:
        if thing.name not in found:
            out.missed.append(thing.name)
            continue
        seen = found[thing.name]
        out.position[thing.name] = float(np.linalg.norm(true_base(sim, thing) - seen.base))
        turn = symmetry(thing)
        if turn is not None:
            out.yaw[thing.name] = yaw_error(thing, sim.object_pose(thing.name), seen, turn)
        out.mass_class[thing.name] = mass_class(thing.body.mass) == seen.mass_class
    out.extra = len(scene.things) - len(found)


def summary(errors: list[Errors]) -> dict[str, Any]:
    """Medians and spreads over scans; m and degrees."""
    position = np.array([v for e in errors for v in e.position.values()])
    yaw = np.array([v for e in errors for v in e.yaw.values()])
    right = [v for e in errors for v in e.mass_class.values()]

    def spread(values: Array) -> dict[str, float]:
        if not len(values):
            return {}
        return {"median": float(np.median(values)), "p90": float(np.percentile(values, 90)),
                "worst": float(values.max())}

    rmse = np.array([e.rmse for e in errors])
    return {
        "scans": len(errors),
        "static_rmse_m": {"mean": float(rmse.mean()), "lowest": float(rmse.min()),
                          "highest": float(rmse.max())},
        "covered": {"mean": float(np.mean([e.covered for e in errors])),
                    "lowest": float(min(e.covered for e in errors))},
        "things": len(position) + sum(len(e.missed) for e in errors),
        "found": len(position), "missed": [m for e in errors for m in e.missed],
        "furniture_taken_for_things": sum(e.extra for e in errors),
        "position_m": spread(position), "yaw_deg": spread(yaw),
        "mass_class_right": float(np.mean(right)) if right else None,
    }
