# SPDX-License-Identifier: Apache-2.0
"""A perceived scene in the simulator's own schema: what emits MuJoCo models, Gazebo worlds and
planning scenes of the designed rooms does it for scanned ones too."""
from __future__ import annotations

from wm_ros.motion.pose import Array, Pose
from wm_ros.sim.schema import (
    Body,
    Camera,
    Furniture,
    Geom,
    Grasp,
    Light,
    Material,
    Quat,
    Scene,
    SceneObject,
    Vec3,
)
from wm_ros.sim.shapes import look_at
from wm_ros.world_model.scene3d.perceived import PerceivedScene, Piece, Solid, Thing

EYE = "eye"  # the camera that the twin looks through
GAP = 0.0003  # m between a thing and its support, so that contact does not start with a jolt
LIGHTS = (Light((0.3, 0.8, 2.0), (0.0, -0.4, -1.0), (0.55, 0.55, 0.55)),
          Light((0.6, -0.6, 2.0), (-0.1, 0.4, -1.0), (0.25, 0.25, 0.25)))


def _vec(values: Array) -> Vec3:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _quat(values: Array) -> Quat:
    x, y, z, w = (float(v) for v in values)
    return x, y, z, w


def _geom(solid: Solid, material: Material, pose: Pose) -> Geom:
    return Geom(solid.shape, solid.size, material, _vec(pose.position), _quat(pose.quaternion),
                round=solid.shape in ("sphere", "capsule"))


def _piece(piece: Piece, kind: str) -> Furniture:
    material = Material((*piece.rgb, 1.0))
    geoms = tuple(_geom(b, material, b.pose) for b in piece.boxes)
    body = Body(piece.name, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), geoms)
    return Furniture(piece.name, kind, body)


def _geoms(thing: Thing, material: Material) -> tuple[Geom, ...]:
    """One primitive; bowls and plates are narrower below."""
    solid = thing.solid
    if thing.foot > 0.95:
        return (_geom(solid, material, Pose.identity()),)
    radius, height = solid.size
    half = 0.5 * height
    return tuple(Geom("cylinder", (r, half), material, (0.0, 0.0, z)) for r, z in (
        (thing.foot * radius, -0.5 * half), (radius, 0.5 * half)))


def _thing(thing: Thing) -> SceneObject:
    solid = thing.solid
    extent = 2 * solid.half_extent()
    at = solid.pose.position + (0.0, 0.0, GAP)
    geoms = _geoms(thing, Material((*thing.rgb, 1.0)))
    body = Body(thing.name, _vec(at), _quat(solid.pose.quaternion), geoms, mass=thing.mass,
                free=True)
    grasp = Grasp((0.0, 0.0, 0.0), (), float(min(extent[:2])))
    return SceneObject(thing.name, solid.shape, "seen", False, _vec(extent), grasp, body)


def to_scene(scene: PerceivedScene, cameras: tuple[Camera, ...] = ()) -> Scene:
    """The perceived scene as a :class:`Scene`; bodies of things have their shape's frame.

    :param cameras: besides ``eye`` and ``overview``, which are always there
    """
    eye = Camera(EYE, (1.1, 0.0, 0.8), look_at((1.1, 0.0, 0.8), (0.46, 0.0, 0.0)), 0.87)
    above = (1.95, -1.25, 1.05)
    overview = Camera("overview", above, look_at(above, (0.05, 0.10, 0.05)), 0.91)
    given = {c.name for c in cameras}
    own = tuple(c for c in (eye, overview) if c.name not in given)
    furniture = (_piece(scene.table, "table"), *(_piece(p, "scanned") for p in scene.furniture))
    return Scene("scanned", 0, "train", furniture, tuple(_thing(t) for t in scene.things),
                 (*own, *cameras), LIGHTS, 0.35, {})
