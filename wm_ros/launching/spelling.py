# SPDX-License-Identifier: Apache-2.0
"""Misspelt names in a user's parameter file, which ROS passes over in silence."""
from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from wm_ros.nodes import node_list
from wm_ros.nodes.node_list import NodeSpec
from wm_ros.nodes.parameters import COMMON, DECLARED, SAFETY, TOPICS

NEAR = 0.85  # likeness of two names from which one is the other, misspelt
OF_ROS = {"use_sim_time", "start_type_description_service", "qos_overrides"}
OWN = {name: [p.name for p in parameters] for name, parameters in DECLARED.items()}
ALL = list(dict.fromkeys(key for keys in OWN.values() for key in keys))
#: beginnings of names that nobody else uses
SUITE = {p.name.split(".")[0] for p in (*COMMON, *TOPICS, *SAFETY) if "." in p.name}
OTHERS_TOO = {"", "move_group"}  # groups that drivers, or MoveIt's own move_group, read as well
MODULES = {spec.executable.removesuffix("_node"): spec.name
           for spec in vars(node_list).values() if isinstance(spec, NodeSpec)}


def misspelt(groups: Mapping[str, Any]) -> str:
    """The first name that no node of this suite would read, with the one that is meant, or the
    first group of ours that is none.

    Nodes of others may stand in the file too, so a group is wrong only where its name is nearly
    one of ours. In the groups of our nodes every unknown parameter is wrong; in ``/**`` and in
    ``move_group``, which others read as well, only what is nearly a name of ours, lacks its first
    part (``max_jump``) or begins as only ours do (``safety.``, ``topics.``).

    :param groups: the file: ``/**`` or a node's name, and ``ros__parameters`` in it
    :returns: a part of a sentence; "" where nothing is wrong
    """
    for name, group in groups.items():
        node = str(name).strip("/*")
        if node and node not in OWN:
            bare = node.removesuffix("_node")
            meant = MODULES.get(bare) or _nearest(bare, OWN)
            if meant:
                return f"there is no node {name}, did you mean {meant}?"
            continue
        if not _is_group(group):
            return (f"below {name} there must be `ros__parameters:`, and below that names with "
                    "values (a name such as 3 or on in quotes).")
        for key in _keys(group.get("ros__parameters", {})):
            wrong = _wrong(node, key)
            if wrong:
                return f"{name} has no parameter {key}{wrong}"
    return ""


def _is_group(group: Any) -> bool:
    """Whether there are mappings alone above the parameters, and no names but text."""
    return (isinstance(group, dict) and all(isinstance(part, dict) for part in group.values())
            and all(isinstance(key, str) for part in (group, *group.values()) for key in part))


def _wrong(node: str, key: str) -> str:
    """What is said of a parameter that is none, "" where it is one or somebody else's."""
    known, first = OWN[node] if node else ALL, key.split(".")[0]
    if key in known or first in OF_ROS:
        return ""
    meant = next((k for k in known if k.endswith(f".{key}")), "") or _nearest(key, known)
    if meant:
        return f", did you mean {meant}?"
    if node in OTHERS_TOO and first not in SUITE:
        return ""
    homes = [name for name, keys in OWN.items() if key in keys]
    return (f"; it is one of {' and '.join(homes)}." if homes
            else "; docs/ros_names.md lists all that there are.")


def _nearest(name: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, list(known), 1, NEAR)), "")


def _keys(tree: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Names with dots, as ROS reads the nested ones of a file."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{before}{key}.")
        else:
            yield before + str(key)
