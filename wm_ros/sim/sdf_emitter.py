# SPDX-License-Identifier: Apache-2.0
"""Scene -> SDF 1.9 world for Gazebo (http://sdformat.org/spec?ver=1.9).

The robot is not in the world: it is spawned at the origin from its URDF. A joint whose start is
not zero gets its zero there, since SDF's joints start at zero. SDF has no springs that push, so
a two-ended lever stays at its end by its weight and dry friction.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from wm_ros.motion.pose import Pose, quaternion_from_rotation, quaternion_from_rotvec
from wm_ros.sim.mujoco_emitter import TIMESTEP
from wm_ros.sim.schema import Body, Camera, Furniture, Geom, Joint, Light, Scene
from wm_ros.sim.sdf_window import add_window
from wm_ros.sim.shapes import inertial

VERSION = "1.9"
PICTURE = 384  # pixels; square, as the model's own images, so that nothing is cut off
RATE = 10.0  # Hz of the cameras, as in config/nodes.yaml
PLUGINS = (
    ("gz-sim-physics-system", "gz::sim::systems::Physics"),
    ("gz-sim-user-commands-system", "gz::sim::systems::UserCommands"),
    ("gz-sim-scene-broadcaster-system", "gz::sim::systems::SceneBroadcaster"),
    ("gz-sim-sensors-system", "gz::sim::systems::Sensors"),
    ("gz-sim-forcetorque-system", "gz::sim::systems::ForceTorque"),
    ("gz-sim-contact-system", "gz::sim::systems::Contact"),
)
# a sensor looks along x with z up, an optical frame along z with y down
SENSOR_IN_OPTICAL = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{round(float(v), 7) + 0.0:.7g}" for v in values)


def _add(parent: ET.Element, tag: str, text: object | None = None, **attributes: str
         ) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    if text is not None:
        element.text = (_numbers(text) if isinstance(text, (tuple, list, np.ndarray))
                        else _numbers([text]) if isinstance(text, float) else str(text))
    return element


def _pose(parent: ET.Element, pose: Pose) -> None:
    if np.allclose(pose.position, 0) and np.allclose(pose.quaternion, (0, 0, 0, 1)):
        return
    _add(parent, "pose", np.concatenate([pose.position, pose.quaternion]),
         rotation_format="quat_xyzw")


def _geometry(parent: ET.Element, geom: Geom) -> None:
    shape = _add(_add(parent, "geometry"), geom.shape)
    size = geom.size
    if geom.shape == "box":
        _add(shape, "size", size)
    elif geom.shape == "ellipsoid":
        _add(shape, "radii", size)
    else:
        _add(shape, "radius", size[0])
        if geom.shape != "sphere":
            _add(shape, "length", size[1])


def _visual(link: ET.Element, geom: Geom, number: int) -> None:
    visual = _add(link, "visual", name=geom.name or f"visual_{number}")
    _pose(visual, Pose.of(geom.position, geom.quaternion))
    _geometry(visual, geom)
    material, look = _add(visual, "material"), geom.material
    _add(material, "ambient", look.rgba)
    _add(material, "diffuse", look.rgba)
    _add(material, "specular", (look.specular,) * 3 + (1.0,))
    if look.emission > 0:
        _add(material, "emissive", tuple(look.emission * c for c in look.rgba[:3]) + (1.0,))


def collision_shapes(geom: Geom) -> list[Geom]:
    """What stands in for a geom in Gazebo's physics, or the geom itself.

    It makes a coarse mesh of an ellipsoid, and a capsule on a plane has a single contact at a
    time, on which it sinks in.
    """
    if geom.shape == "capsule":
        radius, length = geom.size
        return [replace(geom, shape="cylinder"), *_balls(geom, radius, 0.5 * length, 2, 2)]
    if geom.shape != "ellipsoid":
        return [geom]
    along = int(np.argmax(geom.size))
    others = [geom.size[i] for i in range(3) if i != along]
    a, b, height = geom.size
    if a == b > height:
        return [replace(geom, shape="cylinder", size=(a, 2.0 * height))]
    if max(others) > 1.1 * min(others):  # flat: as high, and within its outline
        flat = 2.0 * np.array(geom.size) * [1.0 if r == min(geom.size) else 0.8
                                            for r in geom.size]
        return [replace(geom, shape="box", size=tuple(float(v) for v in flat))]
    return _balls(geom, min(others), geom.size[along] - min(others), along, 3)


def _balls(geom: Geom, radius: float, reach: float, along: int, count: int) -> list[Geom]:
    """Balls in a row along one of the geom's axes, the outer ones ``reach`` from its middle."""
    pose = Pose.of(geom.position, geom.quaternion)
    row = np.linspace(-reach, reach, count)[:, None] * np.eye(3)[along]
    places = (pose.apply(place) for place in row)
    return [replace(geom, shape="sphere", size=(radius,),
                    position=(float(x), float(y), float(z))) for x, y, z in places]


def _collision(link: ET.Element, geom: Geom, name: str) -> None:
    collision = _add(link, "collision", name=name)
    _pose(collision, Pose.of(geom.position, geom.quaternion))
    _geometry(collision, geom)
    friction = _add(_add(collision, "surface"), "friction")
    ode = _add(friction, "ode")
    _add(ode, "mu", 0.8)
    _add(ode, "mu2", 0.8)


def link_name(body: Body) -> str:
    """A moving part's link may not be named like its joint."""
    return f"{body.name}_link" if body.joint is not None else body.name


def _link(model: ET.Element, body: Body, pose: Pose, weighty: bool) -> None:
    link = _add(model, "link", name=link_name(body))
    _pose(link, pose)
    if weighty:
        center, inertia = inertial(body)
        element = _add(link, "inertial")
        _pose(element, Pose.of(center))
        _add(element, "mass", body.mass)
        tensor = _add(element, "inertia")
        for i, j, name in ((0, 0, "ixx"), (0, 1, "ixy"), (0, 2, "ixz"), (1, 1, "iyy"),
                           (1, 2, "iyz"), (2, 2, "izz")):
            # what is left of zero by rounding differs from processor to processor
            _add(tensor, name, f"{round(float(inertia[i, j]), 13) + 0.0:.6g}")
    for number, geom in enumerate(body.geoms):
        if geom.collide:
            for i, shape in enumerate(collision_shapes(geom)):
                _collision(link, shape, f"collision_{number}" + (f"_{i}" if i else ""))
        if geom.visible:
            _visual(link, geom, number)


def _joint(model: ET.Element, joint: Joint, parent: str, child: str) -> None:
    element = _add(model, "joint", name=joint.name,
                   type="revolute" if joint.kind == "hinge" else "prismatic")
    _pose(element, Pose.of(joint.position))
    _add(element, "parent", parent)
    _add(element, "child", child)
    axis = _add(element, "axis")
    _add(axis, "xyz", joint.axis)
    limit = _add(axis, "limit")
    _add(limit, "lower", joint.range[0] - joint.initial)
    _add(limit, "upper", joint.range[1] - joint.initial)
    dynamics = _add(axis, "dynamics")
    _add(dynamics, "damping", joint.damping)
    _add(dynamics, "friction", joint.friction)
    if joint.stiffness > 0:
        _add(dynamics, "spring_reference", joint.spring_reference - joint.initial)
        _add(dynamics, "spring_stiffness", joint.stiffness)


def joint_motion(joint: Joint) -> Pose:
    """Where the joint's initial value moves the body, in the body's frame at zero."""
    if joint.kind == "slide":
        return Pose.of(np.array(joint.axis) * joint.initial)
    anchor = np.array(joint.position)
    turn = Pose.of(np.zeros(3), quaternion_from_rotvec(np.array(joint.axis) * joint.initial))
    return Pose(anchor - turn.apply(anchor), turn.quaternion)


def _furniture(world: ET.Element, furniture: Furniture) -> None:
    body = furniture.body
    model = _add(world, "model", name=furniture.name)
    if not body.children:
        _add(model, "static", "true")
    _pose(model, body.pose)
    if not body.children:
        _link(model, body, Pose.identity(), weighty=False)
        return
    # a fixed base with weight: static models cannot have moving parts
    heavy = Body(body.name, body.position, body.quaternion, body.geoms, mass=5.0)
    _link(model, heavy, Pose.identity(), weighty=True)
    fixed = _add(model, "joint", name=f"{body.name}_mount", type="fixed")
    _add(fixed, "parent", "world")
    _add(fixed, "child", body.name)
    for child in body.children:
        assert child.joint is not None
        _link(model, child, child.pose.compose(joint_motion(child.joint)), weighty=True)
        _joint(model, child.joint, body.name, link_name(child))


def _marks(world: ET.Element, marks: tuple[Geom, ...]) -> None:
    if marks:
        model = _add(world, "model", name="stain")
        _add(model, "static", "true")
        link = _add(model, "link", name="stain")
        for number, mark in enumerate(marks):
            _visual(link, mark, number)


def sensor_pose(optical: Pose) -> Pose:
    """Pose of a sensor whose optical frame is given."""
    return Pose.of(optical.position,
                   quaternion_from_rotation(optical.rotation() @ SENSOR_IN_OPTICAL))


def _camera(world: ET.Element, camera: Camera) -> None:
    model = _add(world, "model", name=f"{camera.name}_camera")
    _add(model, "static", "true")
    optical = Pose.of(camera.position, camera.quaternion)
    _pose(model, sensor_pose(optical))
    sensor = camera_sensor(camera, "rgbd_camera", camera.name)
    _add(model, "link", name="link").append(sensor)


def camera_sensor(camera: Camera, kind: str, name: str) -> ET.Element:
    """A camera's sensor; topics are below <name>_camera/, the frame as ROS knows it."""
    sensor = ET.Element("sensor", name=f"{name}_camera", type=kind)
    # an RGB-D camera adds the pictures' names itself
    _add(sensor, "topic", f"{name}_camera" + ("" if kind == "rgbd_camera" else "/image"))
    _add(sensor, "update_rate", RATE)
    _add(sensor, "always_on", "true")
    element = _add(sensor, "camera")
    _add(element, "horizontal_fov", camera.fovy)
    image = _add(element, "image")
    _add(image, "width", PICTURE)
    _add(image, "height", PICTURE)
    _add(image, "format", "R8G8B8")
    clip = _add(element, "clip")
    _add(clip, "near", 0.02)
    _add(clip, "far", 10.0)
    _add(element, "optical_frame_id", f"{name}_camera_optical_frame")
    return sensor


def _light(world: ET.Element, light: Light, number: int) -> None:
    element = _add(world, "light", name=f"light_{number}", type="directional")
    _pose(element, Pose.of(light.position))
    _add(element, "cast_shadows", "true" if light.shadow else "false")
    _add(element, "diffuse", (*light.diffuse, 1.0))
    _add(element, "specular", (0.15, 0.15, 0.15, 1.0))
    _add(element, "direction", light.direction)


def world_xml(scene: Scene) -> str:
    """The scene as an SDF world; the same scene gives the same text."""
    root = ET.Element("sdf", version=VERSION)
    root.append(ET.Comment(
        " generated by python -m wm_ros.sim.write_worlds from config/rooms: edit there "))
    world = _add(root, "world", name=scene.room)
    physics = _add(world, "physics", name="default", type="ode")
    _add(physics, "max_step_size", TIMESTEP)
    _add(physics, "real_time_factor", 1.0)
    for file, name in PLUGINS:
        plugin = _add(world, "plugin", filename=file, name=name)
        if name.endswith("Sensors"):
            _add(plugin, "render_engine", "ogre2")
    _add(world, "gravity", (0.0, 0.0, -9.81))
    look = _add(world, "scene")
    _add(look, "ambient", (scene.ambient,) * 3 + (1.0,))
    _add(look, "background", (0.75, 0.82, 0.88, 1.0))
    _add(look, "shadows", "true")
    _add(look, "grid", "false")
    for number, light in enumerate(scene.lights):
        _light(world, light, number)
    for furniture in scene.furnishings:
        _furniture(world, furniture)
    for thing in scene.objects:
        model = _add(world, "model", name=thing.name)
        _pose(model, thing.body.pose)
        _link(model, thing.body, Pose.identity(), weighty=True)
    _marks(world, scene.marks)
    for camera in scene.cameras:
        if not camera.on_hand and camera.name != "overview":
            _camera(world, camera)
    gui = scene.camera("overview")
    optical = Pose.of(gui.position, gui.quaternion)
    add_window(world, sensor_pose(optical))
    ET.indent(root, " ")
    return '<?xml version="1.0"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
