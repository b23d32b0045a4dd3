# SPDX-License-Identifier: Apache-2.0
"""One list of nodes: every program, file and parameter that it names exists."""
from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from parameter_tree import flat

from wm_ros.nodes import parameters
from wm_ros.nodes.node_list import GAZEBO, nodes
from wm_ros.nodes.parameters import DECLARED
from wm_ros.paths import config


@pytest.mark.parametrize("spec", [*nodes("home", view=True, rviz=True), GAZEBO],
                         ids=lambda spec: spec.name)
def test_node_can_be_started(spec: Any) -> None:
    module = importlib.import_module(f"wm_ros.nodes.{spec.executable}")
    assert callable(module.main)
    assert all(Path(path).is_file() for path in spec.files())


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_parameters_in_the_yaml_files_exist_and_are_in_range(name: str) -> None:
    known = {p.name: p for p in DECLARED[name]}
    values = yaml.safe_load(config("nodes.yaml").read_text()).get(name, {}).get(
        "ros__parameters", {})
    for key, value in values.items():
        parameter = known[key]
        assert isinstance(value, type(parameter.default)), key
        if parameter.low is not None and parameter.high is not None:
            assert parameter.low <= value <= parameter.high


@pytest.mark.parametrize("file", ["nodes.yaml", "motion.yaml", "safety.yaml", "topics.yaml"])
def test_defaults_that_docs_and_describe_tell_are_those_of_the_files(file: str) -> None:
    for name, group in yaml.safe_load(config(file).read_text()).items():
        shared = (*parameters.COMMON, *parameters.TOPICS, *parameters.SAFETY)
        known = {p.name: p.default for p in (*shared, *DECLARED.get(name, ()))}
        for key, value in flat(group["ros__parameters"]).items():
            assert value == known[key], f"{file}: {name} {key}"


@pytest.mark.parametrize("file", ["topics.yaml", "safety.yaml"])
def test_shared_yaml_files_name_known_parameters_only(file: str) -> None:
    known = {p.name for p in (*parameters.COMMON, *parameters.TOPICS, *parameters.SAFETY)}
    values = yaml.safe_load(config(file).read_text())["/**"]["ros__parameters"]
    assert set(flat(values)) <= known


def test_every_parameter_is_explained() -> None:
    for group in DECLARED.values():
        for parameter in group:
            assert parameter.description.endswith("."), parameter.name


def test_monitor_watches_what_is_started() -> None:
    for room, moveit in (("home", False), (None, False), (None, True)):
        chosen = nodes(room, moveit=moveit)
        watched = next(s for s in chosen if s.name == "monitor").parameters["safety.nodes"]
        assert set(watched) == {s.name for s in chosen} - {"monitor"}
