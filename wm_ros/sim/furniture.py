# SPDX-License-Identifier: Apache-2.0
"""Builders of furniture, found by name. A builder turns materials by role into parts.

Frame: origin at the footprint's centre on the table (z = 0), local -x is the front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi, sin

from wm_ros.sim.palette import paint
from wm_ros.sim.schema import IDENTITY, Body, Container, Geom, Joint, Material, Vec3
from wm_ros.sim.shapes import bounds, box, open_box, quat_rpy, ring

Style = Mapping[str, Material]
Rect = tuple[float, float, float, float]  # x0, x1, y0, y1 in the furniture's frame


@dataclass(frozen=True)
class Parts:
    """What a builder returns; `clear` are rectangles to keep free of other things."""

    geoms: tuple[Geom, ...]
    children: tuple[Body, ...] = ()
    sites: tuple[tuple[str, Vec3], ...] = ()
    container: Container | None = None
    clear: tuple[Rect, ...] = ()

    def footprint(self) -> Rect:
        """Bounding rectangle of the fixed and moving parts above the table."""
        geoms = [g for g in self.geoms if g.collide]
        low, high = bounds(geoms)
        return float(low[0]), float(high[0]), float(low[1]), float(high[1])


Builder = Callable[..., Parts]
BUILDERS: dict[str, Builder] = {}


def builder(function: Builder) -> Builder:
    BUILDERS[function.__name__] = function
    return function


def _cylinder(radius: float, length: float, at: Vec3, material: Material,
              rpy: Vec3 | None = None, collide: bool = True, name: str = "") -> Geom:
    return Geom("cylinder", (radius, length), material, at, quat_rpy(*rpy) if rpy else IDENTITY,
                collide=collide, name=name)


def _decor(size: Vec3, at: Vec3, material: Material) -> Geom:
    return box(size, at, material, collide=False)


@builder
def drawer_unit(style: Style, depth: float = 0.24, width: float = 0.28, height: float = 0.10
                ) -> Parts:
    """A low chest with one drawer; joint `drawer` slides out along -x by up to 0.18 m."""
    body, front, handle = style["body"], style["front"], style["handle"]
    t, face = 0.010, -0.5 * depth
    shell = (
        box((depth, width, t), (0, 0, height - 0.5 * t), body),
        box((depth, width, 0.004), (0, 0, 0.002), body),
        box((depth, t, height), (0, 0.5 * (width - t), 0.5 * height), body),
        box((depth, t, height), (0, -0.5 * (width - t), 0.5 * height), body),
        box((t, width, height), (0.5 * (depth - t), 0, 0.5 * height), body),
    )
    inner = (depth - 0.040, width - 2 * t - 0.022, 0.052)
    basin = open_box(inner, 0.005, paint("cream"), at=(0.004, 0, 0.006))
    bar_x = face - 0.012 - 0.055
    parts = (
        *basin,
        box((0.012, width - 0.006, height - 0.014), (face - 0.006, 0, 0.5 * height - 0.002),
            front),
        box((0.014, 0.110, 0.014), (bar_x, 0, 0.085), handle),
        box((0.055, 0.012, 0.012), (bar_x + 0.0275, 0.049, 0.085), handle),
        box((0.055, 0.012, 0.012), (bar_x + 0.0275, -0.049, 0.085), handle),
    )
    room = Container((0.5 * inner[0], 0.5 * inner[1]), 0.011, 0.063, (0.004, 0.0))
    drawer = Body(
        "drawer", (0.0, 0.0, 0.0), IDENTITY, parts, mass=0.6, container=room,
        joint=Joint("drawer", "slide", (-1.0, 0.0, 0.0), (0.0, 0.18), damping=8.0, friction=1.2),
        sites=(("drawer_handle", (bar_x, 0.0, 0.085)),),
    )
    clear = ((face - 0.30, face, -0.5 * width - 0.02, 0.5 * width + 0.02),)
    return Parts(shell, (drawer,), clear=clear)


@builder
def cabinet(style: Style, depth: float = 0.16, width: float = 0.24, height: float = 0.16
            ) -> Parts:
    """A cupboard; joint `door` hinges upright at the front's left (+y) edge, swings to -x."""
    body, front, handle = style["body"], style["front"], style["handle"]
    t, face = 0.010, -0.5 * depth
    shell = (
        box((depth, width, t), (0, 0, height - 0.5 * t), body),
        box((depth, width, t), (0, 0, 0.5 * t), body),
        box((depth, t, height), (0, 0.5 * (width - t), 0.5 * height), body),
        box((depth, t, height), (0, -0.5 * (width - t), 0.5 * height), body),
        box((t, width, height), (0.5 * (depth - t), 0, 0.5 * height), body),
    )
    reach, post_x = width - 0.035, -0.012 - 0.050
    panel = (
        box((0.012, width - 0.004, height - 0.008), (-0.006, -0.5 * width, 0.5 * height), front),
        _cylinder(0.008, 0.100, (post_x, -reach, height - 0.050), handle),
        box((0.050, 0.012, 0.012), (post_x + 0.025, -reach, 0.072), handle),
        box((0.050, 0.012, 0.012), (post_x + 0.025, -reach, 0.122), handle),
    )
    door = Body(
        "door", (face - 0.001, 0.5 * width, 0.0), IDENTITY, panel, mass=0.5,
        joint=Joint("door", "hinge", (0.0, 0.0, -1.0), (0.0, 1.75), damping=0.25, friction=0.06),
        sites=(("door_handle", (post_x, -reach, height - 0.015)),),
    )
    room = Container((0.5 * depth - t, 0.5 * width - t), t, height - t)
    clear = ((face - 0.30, face, -0.5 * width - 0.04, 0.5 * width + 0.07),)
    return Parts(shell, (door,), container=room, clear=clear)


@builder
def tray(style: Style, depth: float = 0.25, width: float = 0.18, wall: float = 0.005,
         height: float = 0.012, grips: bool = True) -> Parts:
    """A flat tray; with higher walls a paper tray."""
    geoms = list(open_box((depth, width, height - wall), wall, style["body"]))
    if grips:
        for side in (-1, 1):
            at = (0.0, side * (0.5 * width + wall + 0.010), 0.008)
            geoms.append(box((0.09, 0.018, 0.006), at, style["handle"]))
    return Parts(tuple(geoms), container=Container((0.5 * depth, 0.5 * width), wall, height))


@builder
def bin(style: Style, width: float = 0.17, height: float = 0.11) -> Parts:
    """An open waste bin."""
    geoms = open_box((width, width, height - 0.005), 0.005, style["body"])
    stripe = [_decor((0.006, width + 0.013, 0.015), (s * (0.5 * width + 0.003), 0, height - 0.01),
                     style["accent"]) for s in (-1, 1)]
    stripe += [_decor((width + 0.013, 0.006, 0.015), (0, s * (0.5 * width + 0.003), height - 0.01),
                      style["accent"]) for s in (-1, 1)]
    return Parts((*geoms, *stripe), container=Container((0.5 * width, 0.5 * width), 0.005, height))


@builder
def button_panel(style: Style, order: tuple[str, ...] = ("red", "green", "blue"),
                 pitch: float = 0.085) -> Parts:
    """Big push buttons, pressed down; joint value = depth in m. Names: button_<colour>."""
    span = pitch * len(order)
    base = [
        box((0.10, span + 0.03, 0.042), (0, 0, 0.021), style["body"]),
        box((0.088, span + 0.018, 0.008), (0, 0, 0.046), style["front"]),
    ]
    buttons = []
    for i, color in enumerate(order):
        y = pitch * (i - 0.5 * (len(order) - 1))
        base.append(_cylinder(0.027, 0.004, (0, y, 0.051), paint("black"), collide=False))
        name = f"button_{color}"
        buttons.append(Body(
            name, (0.0, y, 0.0), IDENTITY, (_cylinder(0.022, 0.016, (0, 0, 0.060), paint(color)),),
            mass=0.03, sites=((f"{name}_handle", (0.0, 0.0, 0.068)),),
            joint=Joint(name, "slide", (0.0, 0.0, -1.0), (0.0, 0.010), damping=4.0, friction=0.1,
                        stiffness=250.0, spring_reference=-0.006),
        ))
    return Parts(tuple(base), tuple(buttons))


@builder
def switch(style: Style) -> Parts:
    """A lever with two stable ends; joint `lamp_switch` -0.45 (off) .. 0.45 rad (on, to +x)."""
    base = (
        box((0.11, 0.08, 0.045), (0, 0, 0.0225), style["body"]),
        _decor((0.030, 0.012, 0.002), (0.038, 0, 0.046), paint("green")),
        _decor((0.030, 0.012, 0.002), (-0.038, 0, 0.046), paint("red")),
    )
    lever = Body(
        "lamp_switch", (0.0, 0.0, 0.040), IDENTITY,
        (box((0.014, 0.030, 0.056), (0, 0, 0.036), style["handle"]),
         box((0.020, 0.032, 0.014), (0, 0, 0.064), style["accent"])),
        mass=0.04, sites=(("lamp_switch_handle", (0.0, 0.0, 0.064)),),
        joint=Joint("lamp_switch", "hinge", (0.0, 1.0, 0.0), (-0.45, 0.45), damping=0.02,
                    friction=0.01, stiffness=-0.5, initial=-0.45),
    )
    return Parts(base, (lever,))


@builder
def lamp(style: Style) -> Parts:
    """A desk lamp; the bulb (geom `lamp_bulb`) glows when the switch is on."""
    return Parts((
        _cylinder(0.07, 0.016, (0, 0, 0.008), style["body"]),
        _cylinder(0.008, 0.26, (0, 0, 0.145), style["handle"]),
        _cylinder(0.055, 0.05, (0, 0, 0.285), style["body"]),
        Geom("sphere", (0.042,), paint("cream"), (0, 0, 0.262), collide=False, name="lamp_bulb"),
    ))


@builder
def monitor(style: Style, width: float = 0.52, height: float = 0.31) -> Parts:
    """A screen on a foot; the picture faces -x."""
    return Parts((
        box((0.17, 0.22, 0.014), (0, 0, 0.007), style["body"]),
        box((0.025, 0.05, 0.16), (0.02, 0, 0.09), style["body"]),
        box((0.022, width, height), (0, 0, 0.12 + 0.5 * height), style["body"]),
        _decor((0.002, width - 0.03, height - 0.03), (-0.0115, 0, 0.12 + 0.5 * height),
               style["front"]),
    ))


@builder
def pen_cup(style: Style) -> Parts:
    """A cup with pens in it."""
    pens = [_cylinder(0.004, 0.14, (0.018 * cos(a), 0.018 * sin(a), 0.082), paint(c),
                      (0.18 * sin(a), 0.18 * cos(a), 0), collide=False)
            for a, c in ((0.3, "blue"), (2.0, "red"), (3.9, "black"), (5.2, "green"))]
    wall = ring((0.042, 0.004), (0.042, 0.10), 0.004, style["body"])
    floor = _cylinder(0.042, 0.004, (0, 0, 0.002), style["body"])
    return Parts((floor, *wall, *pens),
                 container=Container((0.036, 0.036), 0.004, 0.10, round=True))


@builder
def sink(style: Style, size: float = 0.34, depth: float = 0.14) -> Parts:
    """A basin let into the counter (its rim is at z = 0)."""
    basin = open_box((size, size, depth - 0.004), 0.004, style["body"], at=(0, 0, -depth))
    edge = 0.5 * (size + 0.01)
    rim = [_decor((0.022, size + 0.03, 0.003), (s * edge, 0, 0.0015), style["body"])
           for s in (-1, 1)]
    rim += [_decor((size + 0.03, 0.022, 0.003), (0, s * edge, 0.0015), style["body"])
            for s in (-1, 1)]
    drain = _cylinder(0.03, 0.003, (0, 0, -depth + 0.0055), paint("black"), collide=False)
    return Parts((*basin, *rim, drain),
                 container=Container((0.5 * size, 0.5 * size), -depth + 0.004, 0.0))


@builder
def faucet(style: Style) -> Parts:
    """A tap whose spout points along +x."""
    steel = style["body"]
    return Parts((
        _cylinder(0.022, 0.03, (0, 0, 0.015), steel),
        _cylinder(0.011, 0.22, (0, 0, 0.13), steel),
        _cylinder(0.010, 0.15, (0.07, 0, 0.24), steel, (0, pi / 2, 0)),
        _cylinder(0.010, 0.05, (0.145, 0, 0.22), steel),
        box((0.012, 0.07, 0.010), (0, 0.04, 0.05), steel),
    ))


def _slab(x: tuple[float, float], y: tuple[float, float], thick: float, material: Material,
          hole: Rect | None = None) -> list[Geom]:
    """A table top whose surface is z = 0, around a rectangular hole."""
    def plate(x0: float, x1: float, y0: float, y1: float) -> Geom:
        return box((x1 - x0, y1 - y0, thick), (0.5 * (x0 + x1), 0.5 * (y0 + y1), -0.5 * thick),
                   material)
    if hole is None:
        return [plate(*x, *y)]
    a, b, c, d = hole
    return [plate(*x, y[0], c), plate(*x, d, y[1]), plate(x[0], a, c, d), plate(b, x[1], c, d)]


@builder
def counter(style: Style, hole: Rect, x: tuple[float, float] = (-0.35, 0.88),
            y: tuple[float, float] = (-1.05, 1.05)) -> Parts:
    """A kitchen island with a hole for the sink and cupboard fronts on the +x side."""
    top, base, handle = style["top"], style["body"], style["handle"]
    x0, x1 = x[0] + 0.04, x[1] - 0.04
    y0, y1 = y[0] + 0.04, y[1] - 0.04
    geoms = _slab((x[0], x[1]), (y[0], y[1]), 0.04, top, tuple(hole))  # type: ignore[arg-type]
    geoms.append(box((x1 - x0, y1 - y0, 0.50), (0.5 * (x0 + x1), 0, -0.45), base))
    geoms.append(_decor((x1 - x0 - 0.06, y1 - y0 - 0.06, 0.05), (0.5 * (x0 + x1), 0, -0.725),
                        paint("black")))
    for side, at in ((1, y1), (-1, y0)):
        geoms.append(_decor((x1 - x0, 0.01, 0.16), (0.5 * (x0 + x1), at - side * 0.005, -0.12),
                            base))
    for at in (x0 + 0.005, x1 - 0.005):
        geoms.append(_decor((0.01, y1 - y0 - 0.02, 0.16), (at, 0, -0.12), base))
    count = 4
    pitch = (y1 - y0) / count
    for i in range(count):
        middle = y0 + pitch * (i + 0.5)
        geoms.append(_decor((0.012, pitch - 0.02, 0.46), (x1 + 0.006, middle, -0.45),
                            style["front"]))
        geoms.append(_decor((0.012, pitch - 0.02, 0.14), (x1 + 0.006, middle, -0.13),
                            style["front"]))
        geoms.append(_decor((0.02, 0.14, 0.012), (x1 + 0.02, middle, -0.27), handle))
        geoms.append(_decor((0.02, 0.14, 0.012), (x1 + 0.02, middle, -0.13), handle))
    return Parts(tuple(geoms))


@builder
def desk(style: Style, x: tuple[float, float] = (-0.35, 0.88),
         y: tuple[float, float] = (-1.00, 1.00)) -> Parts:
    """A desk: a top on a frame, a mat for the keyboard side."""
    top, leg = style["top"], style["body"]
    geoms = _slab((x[0], x[1]), (y[0], y[1]), 0.035, top)
    for px in (x[0] + 0.07, x[1] - 0.07):
        for py in (y[0] + 0.07, y[1] - 0.07):
            geoms.append(box((0.05, 0.05, 0.715), (px, py, -0.3925), leg))
    geoms.append(_decor((x[1] - x[0] - 0.14, 0.03, 0.05), (0.5 * (x[0] + x[1]), y[0] + 0.07,
                                                          -0.07), leg))
    geoms.append(_decor((x[1] - x[0] - 0.14, 0.03, 0.05), (0.5 * (x[0] + x[1]), y[1] - 0.07,
                                                          -0.07), leg))
    geoms.append(_decor((0.02, y[1] - y[0] - 0.14, 0.30), (x[0] + 0.07, 0, -0.20), leg))
    return Parts(tuple(geoms))


def _shell(style: Style, back: float, side: float, front: float) -> list[Geom]:
    """Floor, back wall (x = back), side walls; the +x side is open for the cameras."""
    depth, middle = front - back, 0.5 * (front + back)
    floor = box((depth, 2 * side, 0.05), (middle, 0, -0.775), style["floor"])
    wall, trim = style["wall"], style["trim"]
    return [
        floor,
        _decor((0.05, 2 * side, 2.6), (back - 0.025, 0, 0.55), wall),
        _decor((depth, 0.05, 2.6), (middle, side + 0.025, 0.55), wall),
        _decor((depth, 0.05, 2.6), (middle, -side - 0.025, 0.55), wall),
        _decor((0.02, 2 * side, 0.09), (back + 0.01, 0, -0.705), trim),
        _decor((depth, 0.02, 0.09), (middle, side - 0.01, -0.705), trim),
        _decor((depth, 0.02, 0.09), (middle, -side + 0.01, -0.705), trim),
    ]


def _window(at: Vec3, size: tuple[float, float], along_x: bool, style: Style) -> list[Geom]:
    """A window in a wall: sky behind a white frame; `along_x`: on a side wall."""
    w, h = size
    x, y, z = at

    def pane(width: float, height: float, dw: float, dh: float, thick: float, material: Material
             ) -> Geom:
        extent = (width, thick, height) if along_x else (thick, width, height)
        return _decor(extent, (x + (dw if along_x else 0), y + (0 if along_x else dw), z + dh),
                      material)
    trim, f = style["trim"], 0.06
    return [
        pane(w, h, 0, 0, 0.02, style["sky"]),
        pane(w + 2 * f, f, 0, 0.5 * (h + f), 0.06, trim),
        pane(w + 2 * f, f, 0, -0.5 * (h + f), 0.10, trim),
        pane(f, h, 0.5 * (w + f), 0, 0.06, trim),
        pane(f, h, -0.5 * (w + f), 0, 0.06, trim),
        pane(0.03, h, 0, 0, 0.05, trim),
    ]


@builder
def kitchen(style: Style, back: float = -1.35, side: float = 1.75, front: float = 2.6) -> Parts:
    """The room around the counter: cupboards, splashback, window, fridge, hob."""
    geoms = _shell(style, back, side, front)
    body, handle = style["body"], style["handle"]
    geoms.append(_decor((0.55, 2.55, 0.70), (back + 0.275, 0.25, -0.40), body))
    geoms.append(_decor((0.59, 2.57, 0.04), (back + 0.295, 0.25, -0.03), style["top"]))
    geoms.append(_decor((0.02, 2.55, 0.55), (back + 0.01, 0.25, 0.265), style["tiles"]))
    for i in range(5):
        y = -0.76 + 0.505 * i
        geoms.append(_decor((0.015, 0.485, 0.62), (back + 0.557, y, -0.40), style["front"]))
        geoms.append(_decor((0.02, 0.012, 0.14), (back + 0.575, y + 0.19, -0.18), handle))
        if i in (0, 1, 4):
            geoms.append(_decor((0.32, 0.495, 0.62), (back + 0.16, y, 0.92), body))
            geoms.append(_decor((0.015, 0.485, 0.60), (back + 0.327, y, 0.92), style["front"]))
            geoms.append(_decor((0.02, 0.012, 0.14), (back + 0.345, y + 0.19, 0.72), handle))
    geoms += _window((back + 0.02, 0.50, 0.98), (0.82, 0.66), False, style)
    # fridge, hob, pots, shelf
    geoms.append(_decor((0.62, 0.60, 1.75), (back + 0.31, -1.38, 0.125), paint("steel", 0.5)))
    geoms.append(_decor((0.03, 0.03, 0.60), (back + 0.64, -1.15, 0.40), paint("grey")))
    geoms.append(_decor((0.01, 0.58, 0.012), (back + 0.622, -1.38, 0.02), paint("grey")))
    geoms.append(_decor((0.46, 0.56, 0.008), (back + 0.30, -0.26, -0.007), paint("black", 0.6)))
    for x, y in ((0.18, -0.40), (0.18, -0.13), (0.41, -0.40), (0.41, -0.13)):
        geoms.append(_cylinder(0.075, 0.004, (back + x, y, -0.002), paint("grey"), collide=False))
    geoms.append(_cylinder(0.085, 0.12, (back + 0.18, -0.40, 0.06), paint("red"), collide=False))
    geoms.append(_cylinder(0.088, 0.012, (back + 0.18, -0.40, 0.125), paint("black"),
                           collide=False))
    for i, color in enumerate(("yellow", "teal", "orange")):
        geoms.append(_cylinder(0.045, 0.14, (back + 0.16, 1.1 + 0.13 * i, 0.06), paint(color),
                               collide=False))
    geoms += _window((0.55, side - 0.02, 0.72), (1.3, 0.95), True, style)
    return Parts(tuple(geoms))


@builder
def study(style: Style, back: float = -1.35, side: float = 1.75, front: float = 2.6) -> Parts:
    """The room around the desk: bookshelf, window, pictures, plant, filing cabinet."""
    geoms = _shell(style, back, side, front)
    wood = style["body"]
    x = back + 0.15
    for z in (-0.72, -0.36, 0.0, 0.36, 0.72, 1.08):
        geoms.append(_decor((0.28, 1.25, 0.025), (x, -0.75, z), wood))
    for y in (-1.37, -0.13):
        geoms.append(_decor((0.28, 0.025, 1.83), (x, y, 0.18), wood))
    spines = ("red", "blue", "green", "yellow", "white", "teal", "brown", "orange", "grey")
    for row, z in enumerate((-0.36, 0.0, 0.36, 0.72)):
        y = -1.33
        for i in range(13 - 2 * row):
            thick = 0.045 + 0.012 * ((7 * i + 3 * row) % 4)
            tall = 0.22 + 0.03 * ((5 * i + row) % 4)
            color = spines[(4 * i + 5 * row) % len(spines)]
            geoms.append(_decor((0.19, thick - 0.004, tall), (x + 0.02, y + 0.5 * thick,
                                                              z + 0.0125 + 0.5 * tall),
                                paint(color)))
            y += thick
    geoms += _window((back + 0.02, 0.75, 0.70), (1.05, 0.95), False, style)
    geoms += _window((0.55, side - 0.02, 0.72), (1.3, 0.95), True, style)
    geoms.append(_decor((0.50, 0.42, 0.66), (back + 0.30, 1.40, -0.42), paint("grey")))
    for z in (-0.60, -0.28):
        geoms.append(_decor((0.015, 0.38, 0.28), (back + 0.557, 1.40, z), paint("steel")))
        geoms.append(_decor((0.02, 0.12, 0.014), (back + 0.575, 1.40, z + 0.06), paint("black")))
    geoms.append(_cylinder(0.10, 0.18, (back + 0.30, 1.40, 0.0), paint("orange"), collide=False))
    for i in range(7):
        a = 0.9 * i
        geoms.append(Geom("ellipsoid", (0.035, 0.012, 0.16), paint("green"),
                          (back + 0.30 + 0.07 * cos(a), 1.40 + 0.07 * sin(a), 0.22),
                          quat_rpy(0.0, 0.45, a), collide=False))
    geoms.append(_decor((0.9, 0.02, 0.62), (0.4, -side + 0.02, 0.75), paint("white")))
    geoms.append(_decor((0.84, 0.022, 0.56), (0.4, -side + 0.021, 0.75), style["picture"]))
    return Parts(tuple(geoms))
