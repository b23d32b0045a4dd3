# SPDX-License-Identifier: Apache-2.0
"""Gazebo's window: the room from where it is seen best, and the usual panels.

Gazebo opens on its own place, behind the room's back wall, unless the 3D view's plugin names a
pose; and where a world names plugins of the window, they take the place of the default set
(gz-sim 8, src/gui/gui.config).
"""
from __future__ import annotations

import xml.etree.ElementTree as ET

from wm_ros.motion.pose import Pose, rpy_from_rotation

#: plugins that only work in the background
HIDDEN = (("GzSceneManager", "Scene Manager"), ("InteractiveViewControl", "View control"),
          ("CameraTracking", "Camera Tracking"), ("SelectEntities", "Select Entities"))
#: plugin, its name, where it lies in the view, its height, what it shows
CORNERS = (
    ("WorldControl", "World control", "left", 72, ("play_pause", "step", "use_event")),
    ("WorldStats", "World stats", "right", 110,
     ("sim_time", "real_time", "real_time_factor", "iterations")))
SIDE = (("EntityTree", "Entity tree"), ("ComponentInspector", "Component inspector"))


def add_window(world: ET.Element, camera: Pose) -> None:
    """Add ``<gui>``; ``camera`` looks along x, with z up, as SDF's do."""
    gui = ET.SubElement(world, "gui", fullscreen="0")
    view = _plugin(gui, "MinimalScene", "3D View", state="docked")
    numbers = (*camera.position, *rpy_from_rotation(camera.rotation()))
    for tag, text in (("engine", "ogre2"), ("scene", "scene"), ("ambient_light", "0.4 0.4 0.4"),
                      ("background_color", "0.8 0.8 0.8"),
                      ("camera_pose", " ".join(f"{n:.4f}" for n in numbers))):
        ET.SubElement(view, tag).text = text
    for file, name in HIDDEN:
        _plugin(gui, file, name, resizable=False, width=5.0, height=5.0, state="floating")
    for file, name, side, height, shown in CORNERS:
        plugin = _plugin(gui, file, name, resizable=False, height=float(height), z=1.0,
                         state="floating")
        anchors = ET.SubElement(plugin[0], "anchors", target="3D View")
        for edge in (side, "bottom"):
            ET.SubElement(anchors, "line", own=edge, target=edge)
        for tag in shown:
            ET.SubElement(plugin, tag).text = "true"
    for file, name in SIDE:
        _plugin(gui, file, name, state="docked_collapsed")


def _plugin(gui: ET.Element, file: str, name: str, **properties: bool | float | str
            ) -> ET.Element:
    plugin = ET.SubElement(gui, "plugin", filename=file, name=name)
    look = ET.SubElement(plugin, "gz-gui")
    ET.SubElement(look, "title").text = name
    for key, value in {"showTitleBar": False, **properties}.items():
        kind = {bool: "bool", float: "double", str: "string"}[type(value)]
        entry = ET.SubElement(look, "property", key=key, type=kind)
        entry.text = str(value).lower() if isinstance(value, bool) else f"{value}"
    return plugin
