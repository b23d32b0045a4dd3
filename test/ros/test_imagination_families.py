# SPDX-License-Identifier: Apache-2.0
"""Families without a policy of their own propose through the imagination node as well."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from wm_ros.nodes.imagination_node import ImaginationNode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "world_model"))
from tiny_checkpoint import PHRASES, make_checkpoint, observation  # noqa: E402
from tiny_jepa import make_jepa  # noqa: E402

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@pytest.fixture
def node(ros: None) -> Iterator[Any]:
    made = ImaginationNode()
    told: list[str] = []
    made.on_problem = told.append  # type: ignore[method-assign]

    def configure(**values: str) -> Any:
        made.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        return made.trigger_configure()
    made.try_with, made.told = configure, told
    yield made
    made.stop()
    made.destroy_node()


@pytest.mark.parametrize(("family", "helper"), [("scene3d", "proposer"), ("jepa", "dreamer")])
def test_another_family_helps_one_that_cannot_act_on_words_alone(
        node: Any, tmp_path: Path, family: str, helper: str) -> None:
    tiny = make_checkpoint(tmp_path / "video")
    folder = "scene3d" if family == "scene3d" else str(make_jepa(tmp_path / "jepa"))
    assert node.try_with(checkpoint=folder, **{helper: str(tiny)}) == SUCCESS, node.told
    decision = node._with_model(node._decider.decide, observation(), PHRASES[0])
    assert np.isfinite(decision.chunks.position).all()
    assert node._info.family == family


def test_a_helper_that_the_family_does_not_know_is_said_in_one_sentence(
        node: Any, tmp_path: Path) -> None:
    tiny = str(make_checkpoint(tmp_path / "video"))
    assert node.try_with(checkpoint=tiny, proposer=tiny) == FAILURE
    assert "family video have no option 'proposer'" in node.told[-1]
