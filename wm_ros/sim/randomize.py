# SPDX-License-Identifier: Apache-2.0
"""From a room, a seed and a task's requirements to a concrete scene.

The splits never share a random stream, and training never sees some places of required things:
``held_out`` is new layouts. ``novel`` is new layouts in which what the task needs has a colour or
material never seen, where its kind has such; everything else may have one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import cos, floor, hypot, sin
from zlib import crc32

import numpy as np

from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose
from wm_ros.sim.furniture import BUILDERS, Parts
from wm_ros.sim.kinds import Kind, kind, kinds
from wm_ros.sim.palette import COLORS, finish, paint, vary
from wm_ros.sim.placement import Footprint, Table
from wm_ros.sim.rooms import CameraSpec, FurnitureSpec, Place, Room, Zone
from wm_ros.sim.schema import (
    Body,
    Camera,
    Furniture,
    Geom,
    Light,
    Material,
    ObjectRequest,
    Range,
    Requirements,
    Scene,
    SceneObject,
    Vec3,
)
from wm_ros.sim.shapes import look_at, quat_yaw

SPLITS = ("train", "held_out", "novel")
STRUCTURE = frozenset({"kitchen", "study", "counter", "desk"})  # not on the table
LAYOUTS, TRIES = 60, 80
STAIN_DISCS = (5, 4)


class Crowded(Exception):
    """No free place was found; another layout is tried."""


@dataclass
class Draw:
    """One attempt at a layout: the random streams and what has been placed so far."""

    room: Room
    split: str
    task: Requirements
    rng: np.random.Generator
    looks: np.random.Generator
    table: Table = field(default_factory=Table)
    furniture: list[Furniture] = field(default_factory=list)
    objects: list[SceneObject] = field(default_factory=list)
    colors: dict[str, str] = field(default_factory=dict)

    def uniform(self, limits: Range) -> float:
        return float(self.rng.uniform(*limits))

    # -- colours ---------------------------------------------------------------------------
    def choose(self, common: tuple[str, ...], held_out: tuple[str, ...], needed: bool) -> str:
        names = common
        if self.split == "novel":
            names = held_out if needed and held_out else (*common, *held_out)
        return names[int(self.looks.integers(len(names)))]

    def style(self, spec: FurnitureSpec, needed: bool) -> dict[str, Material]:
        out = {}
        for role, common in spec.colors.items():
            name = self.choose(common, spec.held_out.get(role, ()), needed)
            self.colors[f"{spec.name}.{role}"] = name
            out[role] = finish(name, self.looks)
        return out

    # -- furniture -------------------------------------------------------------------------
    def candidate(self, place: Place) -> tuple[float, float, float]:
        if place.box is not None:
            x0, x1, y0, y1 = place.box
            return self.uniform((x0, x1)), self.uniform((y0, y1)), self.uniform(place.turn)
        assert place.radius is not None and place.bearing is not None
        r, bearing = self.uniform(place.radius), self.uniform(place.bearing)
        # local -x looks at the base
        return r * cos(bearing), r * sin(bearing), bearing + self.uniform(place.turn)

    def furnish(self, spec: FurnitureSpec) -> None:
        active = spec.name in self.task.furniture
        parts = BUILDERS[spec.kind](self.style(spec, active), **self.parameters(spec))
        if spec.active is None:
            self.furniture.append(self.built(spec, parts, spec.parked, False))
            if spec.kind not in STRUCTURE:
                self.table.taken.append(Footprint.of(parts.footprint(), *spec.parked))
            return
        for _ in range(TRIES):
            if active:
                at = self.candidate(spec.active)
            else:
                jitter = self.rng.uniform(-0.012, 0.012, 2)
                at = (spec.parked[0] + jitter[0], spec.parked[1] + jitter[1], spec.parked[2])
            foot = Footprint.of(parts.footprint(), *at)
            strips = [Footprint.of(rect, *at) for rect in parts.clear] if active else []
            # the strips may not lie across anything either
            if self.table.free(foot, 0.02) and all(self.table.free(s, 0.0) for s in strips):
                self.table.taken.append(foot)
                self.table.sweeps.extend(strips)
                self.furniture.append(self.built(spec, parts, at, active))
                return
        raise Crowded(spec.name)

    def parameters(self, spec: FurnitureSpec) -> dict[str, object]:
        out = dict(spec.parameters)
        if spec.kind == "button_panel":
            out["order"] = tuple(str(c) for c in self.rng.permutation(["red", "green", "blue"]))
        return out

    def built(self, spec: FurnitureSpec, parts: Parts, at: tuple[float, float, float],
              active: bool) -> Furniture:
        children = []
        for child in parts.children:
            joint = child.joint
            if joint is not None and joint.name in self.task.joints:
                wanted = self.task.joints[joint.name]
                value = self.uniform(wanted) if isinstance(wanted, tuple) else float(wanted)
                value = float(np.clip(value, *joint.range))
                child = replace(child, joint=replace(joint, initial=value))
            if joint is not None and joint.name.startswith("button_"):
                self.colors[joint.name] = joint.name.removeprefix("button_")
            children.append(child)
        body = Body(spec.name, (float(at[0]), float(at[1]), 0.0), quat_yaw(at[2]), parts.geoms,
                    children=tuple(children), sites=parts.sites, container=parts.container)
        return Furniture(spec.name, spec.kind, body, active)

    # -- things ----------------------------------------------------------------------------
    def zone(self, request: ObjectRequest) -> Zone:
        if not isinstance(request.zone, str):
            return request.zone
        if request.zone not in self.room.zones:
            raise UserError(f"room {self.room.name!r} has no zone {request.zone!r}: use one of "
                            f"{', '.join(self.room.zones)}")
        return self.room.zones[request.zone]

    def add(self, request: ObjectRequest, required: bool) -> None:
        what = kind(request.kind)
        taken = {o.name for o in self.objects}
        name = request.name or what.name
        number = 2
        while name in taken:
            name, number = f"{request.name or what.name}_{number}", number + 1
        color = request.color
        if color is None:
            used = {o.color for o in self.objects if o.kind == what.name}
            common = tuple(c for c in what.colors if c not in used) or what.colors
            color = self.choose(common, what.held_out_colors, required)
        main = paint(vary(COLORS[color], self.looks))
        low, high = what.extent()
        size: Vec3 = (high[0] - low[0], high[1] - low[1], high[2] - low[2])
        if request.inside is not None:
            body = self.put_inside(what, name, main, request)
        else:
            x, y, yaw = self.free_place(what, request, required)
            self.table.taken.append(
                Footprint.of((low[0], high[0], low[1], high[1]), x, y, yaw))
            body = what.body(name, main, (x, y, 0.0004 - low[2]), quat_yaw(yaw))
        self.objects.append(SceneObject(name, what.name, color, required, size, what.grasp, body))

    def free_place(self, what: Kind, request: ObjectRequest, required: bool
                   ) -> tuple[float, float, float]:
        x0, x1, y0, y1 = self.zone(request) if required else self.room.clutter_zone
        low, high = what.extent()
        for _ in range(TRIES):
            x, y = self.uniform((x0, x1)), self.uniform((y0, y1))
            yaw = self.uniform(request.yaw)
            gx = x + cos(yaw) * what.grasp.position[0] - sin(yaw) * what.grasp.position[1]
            gy = y + sin(yaw) * what.grasp.position[0] + cos(yaw) * what.grasp.position[1]
            if required and not (self.room.reach[0] <= hypot(x, y) <= self.room.reach[1]
                                 and hypot(gx, gy) <= self.room.reach[1] + 0.02):
                continue
            if required and self.split == "train" and _held_out_cell(x, y):
                continue
            if hypot(x, y) < 0.25:  # the robot's foot and elbow
                continue
            foot = Footprint.of((low[0], high[0], low[1], high[1]), x, y, yaw)
            if self.table.free(foot, self.task.separation):
                return x, y, yaw
        raise Crowded(what.name)

    def put_inside(self, what: Kind, name: str, main: Material, request: ObjectRequest) -> Body:
        """On the floor of a container, which may be furniture, a moving part or a thing."""
        target, frame = self.container(str(request.inside))
        box = target.container
        if box is None:
            raise UserError(f"{request.inside!r} cannot hold things")
        low, high = what.extent()
        yaw = self.uniform(request.yaw)
        radius = 0.5 * hypot(high[0] - low[0], high[1] - low[1])
        spare = [max(h - radius - 0.004, 0.0) for h in box.half]
        dx = self.uniform((-spare[0], spare[0])) if spare[0] > 0 else 0.0
        dy = self.uniform((-spare[1], spare[1])) if spare[1] > 0 else 0.0
        at = Pose.of((box.center[0] + dx, box.center[1] + dy, box.floor + 0.001 - low[2]),
                     quat_yaw(yaw))
        pose = frame.compose(at)
        return what.body(name, main, tuple(pose.position.tolist()),
                         tuple(pose.quaternion.tolist()))

    def container(self, name: str) -> tuple[Body, Pose]:
        for thing in self.objects:
            if thing.name == name:
                return thing.body, thing.pose
        for piece in self.furniture:
            if piece.name == name:
                return piece.body, piece.pose
            for part in piece.body.children:
                joint = part.joint
                if part.name == name and joint is not None and joint.kind == "slide":
                    shift = np.array(joint.axis) * joint.initial + np.array(part.position)
                    return part, piece.pose.compose(Pose.of(shift, part.quaternion))
        raise UserError(f"there is no container {name!r} in room {self.room.name!r}")

    def stain(self) -> tuple[Geom, ...]:
        """A patch of dirt: discs `stain_00`... on the table, free of things."""
        if self.room.stain_zone is None:
            raise UserError(f"room {self.room.name!r} has no stain_zone")
        columns, rows = STAIN_DISCS
        pitch, radius = 0.030, 0.017
        x0, x1, y0, y1 = self.room.stain_zone
        for _ in range(TRIES):
            x, y = self.uniform((x0, x1)), self.uniform((y0, y1))
            foot = Footprint(x, y, 0.5 * pitch * rows, 0.5 * pitch * columns)
            if self.table.free(foot, 0.03):
                break
        else:
            raise Crowded("stain")
        self.table.taken.append(foot)
        rgb = vary((0.30, 0.12, 0.06), self.looks)
        discs: list[Geom] = []
        for i in range(rows):
            for j in range(columns):
                dx = pitch * (i - 0.5 * (rows - 1)) + self.uniform((-0.005, 0.005))
                dy = pitch * (j - 0.5 * (columns - 1)) + self.uniform((-0.005, 0.005))
                discs.append(Geom("cylinder", (radius, 0.0012), paint(rgb, 0.5),
                                  (x + dx, y + dy, 0.0007), collide=False,
                                  name=f"stain_{len(discs):02d}"))
        return tuple(discs)

    def clutter(self) -> None:
        low, high = self.task.clutter
        count = int(self.rng.integers(low, high + 1))
        requested = {o.kind for o in self.objects}
        pool = self.task.clutter_kinds or tuple(
            k.name for k in kinds().values() if self.room.name in k.rooms)
        pool = tuple(k for k in pool if k not in requested and k not in self.task.exclude)
        order = [pool[i] for i in self.rng.permutation(len(pool))]
        for name in order:
            if count == 0:
                return
            try:
                self.add(ObjectRequest(name), required=False)
                count -= 1
            except Crowded:
                continue
        if low > 0 and sum(not o.required for o in self.objects) < low:
            raise Crowded("clutter")

    # -- cameras and light -----------------------------------------------------------------
    def camera(self, spec: CameraSpec) -> Camera:
        at = np.array(spec.at) + self.looks.uniform(-spec.jitter, spec.jitter, 3)
        target = np.array(spec.target) + self.looks.uniform(-spec.jitter, spec.jitter, 3)
        eye: Vec3 = tuple(at.tolist())  # type: ignore[assignment]
        # on the hand z points at the work, and the camera sits on the hand's +x
        up = (1.0, 0.0, 0.0) if spec.on_hand else (0.0, 0.0, 1.0)
        return Camera(spec.name, eye, look_at(eye, tuple(target.tolist()), up),
                      spec.fovy, spec.on_hand)

    def lights(self) -> tuple[Light, ...]:
        window = float(self.looks.uniform(*self.room.light["window"]))
        lamp = float(self.looks.uniform(*self.room.light["lamp"]))
        warmth = float(self.looks.uniform(0.86, 1.0))
        angle = float(self.looks.uniform(-0.5, 0.5))
        side = (0.35 * sin(angle) - 0.45, -0.6 * cos(angle), -1.0)
        return (
            Light((0.5, 1.2, 2.2), side, (window, window * 0.98, window * (1.9 - warmth) * 0.95)),
            Light((0.3, -0.6, 2.0), (0.1, 0.4, -1.0), (lamp, lamp * warmth, lamp * warmth**2),
                  shadow=False),
        )


def _held_out_cell(x: float, y: float) -> bool:
    """Chequered places, one in seven, where no required thing stands in training."""
    return (3 * floor(x / 0.08) + 5 * floor(y / 0.08)) % 7 == 0


def namable(scene: Scene) -> list[str]:
    """The things that words may name there: in training none in a place kept for evaluation."""
    return [thing.name for thing in scene.objects
            if scene.split != "train" or not _held_out_cell(*thing.body.position[:2])]


def _request(item: str | ObjectRequest) -> ObjectRequest:
    return ObjectRequest(item) if isinstance(item, str) else item


def randomize(room: Room, seed: int, split: str = "train", task: Requirements | None = None
              ) -> Scene:
    """Draws a scene; the same arguments give the same scene.

    :param split: "train", "held_out" or "novel"
    :raises UserError: for unknown names, or if the requirements never fit on the table
    """
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}: use one of {', '.join(SPLITS)}")
    task = task or Requirements()
    for name in task.furniture:
        if room.spec(name) is None:
            raise UserError(f"room {room.name!r} has no furniture {name!r}")
    key = [crc32(room.name.encode()), SPLITS.index(split), seed]
    for attempt in range(LAYOUTS):
        rng, looks = (np.random.default_rng([*key, attempt, stream]) for stream in (0, 1))
        try:
            return _draw(Draw(room, split, task, rng, looks), seed)
        except Crowded as crowded:
            reason = str(crowded)
    raise UserError(f"no layout of {room.name} fits the requirements ({reason} finds no place): "
                    "ask for fewer things or a smaller separation")


def _draw(draw: Draw, seed: int) -> Scene:
    room, task = draw.room, draw.task
    # the robot's foot
    draw.table.taken.append(Footprint(-0.04, 0.0, 0.16, 0.13))
    # parked things first: they hardly move; then the ones that need a strip kept clear
    order = sorted(room.furniture, key=lambda f: (f.name in task.furniture, f.kind in
                                                  ("tray", "bin", "button_panel", "switch")))
    for spec in order:
        draw.furnish(spec)
    index = {f.name: i for i, f in enumerate(room.furniture)}
    draw.furniture.sort(key=lambda f: index[f.name])
    marks = draw.stain() if task.stain else ()
    requests = sorted((_request(o) for o in task.objects), key=lambda r: r.inside is not None)
    for request in requests:
        draw.add(request, required=True)
    draw.clutter()
    ambient = float(draw.looks.uniform(*room.light["ambient"]))
    return Scene(room.name, seed, draw.split, tuple(draw.furniture), tuple(draw.objects),
                 tuple(draw.camera(c) for c in room.cameras), draw.lights(), ambient,
                 dict(draw.colors), marks)


