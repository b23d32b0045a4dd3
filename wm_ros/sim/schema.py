# SPDX-License-Identifier: Apache-2.0
"""The scene schema: plain frozen dataclasses that both emitters (MuJoCo, SDF) read.

SI units, radians, quaternions x y z w. `world` is the robot's base: table top at z = 0,
x forward, y left, z up. Vectors are tuples, so that scenes compare and hash by value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import pi

from wm_ros.motion.pose import Pose

Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]
Rgba = tuple[float, float, float, float]
Range = tuple[float, float]
IDENTITY: Quat = (0.0, 0.0, 0.0, 1.0)
WIDEST, TALLEST = 1280, 960  # pixels of the largest picture that can be rendered


@dataclass(frozen=True)
class Texture:
    """A procedural picture (wm_ros/sim/textures.py) between two colours."""

    pattern: str
    first: Vec3
    second: Vec3
    seed: int = 0


@dataclass(frozen=True)
class Material:
    """Surface: colour times texture; `repeat` counts texture tiles a metre."""

    rgba: Rgba
    specular: float = 0.2
    shininess: float = 0.3
    emission: float = 0.0
    texture: Texture | None = None
    repeat: float = 1.0


@dataclass(frozen=True)
class Geom:
    """A primitive. Sizes: box (x, y, z) full; cylinder, capsule (radius, length between the
    caps' centres or ends); sphere (radius,); ellipsoid (rx, ry, rz)."""

    shape: str
    size: tuple[float, ...]
    material: Material
    position: Vec3 = (0.0, 0.0, 0.0)
    quaternion: Quat = IDENTITY
    collide: bool = True
    visible: bool = True
    round: bool = False  # needs rolling friction to come to rest
    name: str = ""


@dataclass(frozen=True)
class Joint:
    """One degree of freedom of a body to its parent. Stiffness in N/m or N m/rad; a negative
    one with limits gives two stable ends. Friction is dry friction in N or N m."""

    name: str
    kind: str  # "slide" | "hinge"
    axis: Vec3
    range: Range
    position: Vec3 = (0.0, 0.0, 0.0)
    damping: float = 0.0
    friction: float = 0.0
    stiffness: float = 0.0
    spring_reference: float = 0.0
    initial: float = 0.0


@dataclass(frozen=True)
class Container:
    """Room for things, in the body's frame: half extents of the opening, floor and rim heights."""

    half: tuple[float, float]
    floor: float
    rim: float
    center: tuple[float, float] = (0.0, 0.0)
    round: bool = False


@dataclass(frozen=True)
class Body:
    """A rigid body in its parent's frame; `mass` in kg is spread over the colliding geoms."""

    name: str
    position: Vec3
    quaternion: Quat
    geoms: tuple[Geom, ...]
    mass: float = 0.0
    free: bool = False
    joint: Joint | None = None
    children: tuple[Body, ...] = ()
    sites: tuple[tuple[str, Vec3], ...] = ()
    container: Container | None = None

    @property
    def pose(self) -> Pose:
        return Pose.of(self.position, self.quaternion)

    def walk(self) -> Iterator[Body]:
        """This body and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class Grasp:
    """How a top-down gripper takes a thing, in the thing's frame (base centre, z up).

    TCP position; TCP yaws relative to the thing, modulo pi (() = any); width between the pads.
    """

    position: Vec3
    yaw: tuple[float, ...]
    width: float


@dataclass(frozen=True)
class SceneObject:
    """A movable thing. `size` is its extent along its own x, y, z in metres."""

    name: str
    kind: str
    color: str
    required: bool
    size: Vec3
    grasp: Grasp
    body: Body

    @property
    def position(self) -> Vec3:
        return self.body.position

    @property
    def quaternion(self) -> Quat:
        return self.body.quaternion

    @property
    def pose(self) -> Pose:
        return self.body.pose


@dataclass(frozen=True)
class Furniture:
    """A fixed thing, perhaps with moving parts. `active`: placed where the task can use it."""

    name: str
    kind: str
    body: Body
    active: bool = False

    @property
    def pose(self) -> Pose:
        return self.body.pose


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; the pose is that of its optical frame (x right, y down, z forward) in
    the world, or in the robot's hand link when `on_hand`. `fovy` in radians."""

    name: str
    position: Vec3
    quaternion: Quat
    fovy: float
    on_hand: bool = False


@dataclass(frozen=True)
class Light:
    """A directional light."""

    position: Vec3
    direction: Vec3
    diffuse: Vec3
    shadow: bool = True


@dataclass(frozen=True)
class ObjectRequest:
    """A movable thing that a task needs, see Requirements."""

    kind: str
    name: str | None = None
    zone: str | tuple[float, float, float, float] = "workspace"
    inside: str | None = None
    color: str | None = None
    yaw: Range = (-pi, pi)


@dataclass(frozen=True)
class Requirements:
    """What a task asks of a scene.

    objects: kinds (or ObjectRequests) that must be there; requested kinds are never distractors.
    furniture: put in reach; the rest is parked aside. joints: initial values (range or number).
    clutter: fewest and most distractors. separation: free gap between footprints in metres.
    """

    objects: tuple[str | ObjectRequest, ...] = ()
    furniture: tuple[str, ...] = ()
    joints: Mapping[str, Range | float] = field(default_factory=dict)
    clutter: tuple[int, int] = (1, 4)
    clutter_kinds: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    stain: bool = False
    separation: float = 0.03


@dataclass(frozen=True)
class Scene:
    """Everything concrete: what stands where in which colour, cameras and light."""

    room: str
    seed: int
    split: str
    furnishings: tuple[Furniture, ...]
    objects: tuple[SceneObject, ...]
    cameras: tuple[Camera, ...]
    lights: tuple[Light, ...]
    ambient: float
    colors: Mapping[str, str]
    marks: tuple[Geom, ...] = ()  # visual only: the stain

    def object(self, name: str) -> SceneObject:
        return next(o for o in self.objects if o.name == name)

    def furniture(self, name: str) -> Furniture:
        return next(f for f in self.furnishings if f.name == name)

    def camera(self, name: str) -> Camera:
        return next(c for c in self.cameras if c.name == name)

    def object_names(self) -> tuple[str, ...]:
        return tuple(o.name for o in self.objects)

    def bodies(self) -> Iterator[Body]:
        """All bodies, furniture first, parents before children."""
        for furniture in self.furnishings:
            yield from furniture.body.walk()
        for thing in self.objects:
            yield thing.body
