# SPDX-License-Identifier: Apache-2.0
"""The UR5's files with changes, as somebody's own robot."""
from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from wm_ros.paths import config

Element = ElementTree.Element


def fixed(urdf: Element, parent: str, child: str, **origin: str) -> None:
    """One more fixed joint."""
    joint = ElementTree.SubElement(urdf, "joint", name=f"{parent}_{child}", type="fixed")
    ElementTree.SubElement(joint, "origin", origin)
    ElementTree.SubElement(joint, "parent", link=parent)
    ElementTree.SubElement(joint, "child", link=child)


def mount(urdf: Element, root: str = "world") -> None:
    """The base on a stand beside the root: 0.3, 0.1, 0.8 m, turned by a quarter."""
    ElementTree.SubElement(urdf, "link", name=root)
    fixed(urdf, root, "base_link", xyz="0.3 0.1 0.8", rpy="0 0 1.5707963267948966")


def drop_tool(urdf: Element) -> None:
    """No link at the tool centre point."""
    for tag, name in (("link", "hand_tcp"), ("joint", "hand_tcp_joint")):
        found = urdf.find(f"{tag}[@name='{name}']")
        assert found is not None
        urdf.remove(found)


def write(folder: Path, *changes: Callable[[Element], None], **entries: Any) -> str:
    """The robot's file.

    :param changes: of the URDF
    :param entries: of the YAML file that become others
    """
    own = config("robots", "ur5.yaml")
    urdf = ElementTree.fromstring(own.with_suffix(".urdf").read_text())
    for change in changes:
        change(urdf)
    (folder / "ur5.urdf").write_text(ElementTree.tostring(urdf, encoding="unicode"))
    (folder / "ur5.srdf").write_text(own.with_suffix(".srdf").read_text())
    (folder / "ur5.yaml").write_text(yaml.safe_dump(yaml.safe_load(own.read_text()) | entries))
    return str(folder / "ur5.yaml")
