# SPDX-License-Identifier: Apache-2.0
"""Definitions and hashes of message types, read from the interface packages on this machine."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from wm_ros.paths import prefixes

_FIELD = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?\s*(?:\[.*?\])?\s+[A-Za-z]\w*")
_BASIC = {
    "bool", "byte", "char", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32",
    "uint32", "int64", "uint64", "string", "wstring",
}
_RULE = "=" * 80


def find(name: str, suffix: str) -> Path | None:
    """File of a type such as `sensor_msgs/msg/Image` with the given suffix, or None."""
    package, kind, base = name.split("/")
    for prefix in prefixes():
        path = prefix / "share" / package / kind / (base + suffix)
        if path.is_file():
            return path
    return None


@cache
def definition(name: str) -> str:
    """The text of a message type and of all that it uses, as rosbag2 stores it (`ros2msg`).

    Empty when the package with the definition is not installed.
    """
    path = find(name, ".msg")
    if path is None:
        return ""
    text = path.read_text()
    parts, seen, queue = [text.strip()], {name}, list(_uses(name, text))
    while queue:
        used = queue.pop(0)
        if used in seen:
            continue
        seen.add(used)
        path = find(used, ".msg")
        if path is None:
            return ""
        text = path.read_text()
        package, _, base = used.split("/")
        parts.append(f"{_RULE}\nMSG: {package}/{base}\n{text.strip()}")
        queue += _uses(used, text)
    return "\n".join(parts) + "\n"


@cache
def type_hash(name: str) -> str:
    """The RIHS01 hash of a message type (REP 2011), empty when it is not known here."""
    path = find(name, ".json")
    if path is None:
        return ""
    for entry in json.loads(path.read_text()).get("type_hashes", []):
        if entry["type_name"] == name:
            return str(entry["hash_string"])
    return ""


def _uses(name: str, text: str) -> list[str]:
    """The message types that a definition names."""
    package = name.split("/")[0]
    used = []
    for line in text.splitlines():
        found = _FIELD.match(line.split("#")[0])
        if found is None or found[1] in _BASIC:
            continue
        words = found[1].split("/")
        if words == ["Header"]:
            words = ["std_msgs", "Header"]
        elif len(words) == 1:
            words = [package, *words]
        used.append(f"{words[0]}/msg/{words[-1]}")
    return used
