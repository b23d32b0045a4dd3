# SPDX-License-Identifier: Apache-2.0
"""What the imagination node does between two proposals, by who looks."""
from __future__ import annotations

import math
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from wm_ros.nodes.imagination import ImaginationNode


def afterwards(node: SimpleNamespace) -> None:
    """One proposal has been made."""
    ImaginationNode._afterwards(node, "state", "chunk", "go", Mock(id="1"),  # type: ignore
                                SimpleNamespace(stamp=10.0))


@pytest.mark.parametrize(("viewers", "judge", "imagined", "drawn"), [
    (0, False, 0, False), (0, True, 1, False), (2, False, 1, True), (2, True, 1, True)])
def test_nothing_is_drawn_that_nobody_looks_at(viewers, judge, imagined, drawn) -> None:
    imagine = Mock(return_value=SimpleNamespace(times=np.array([0.8])))
    out = Mock(get_subscription_count=lambda: viewers)
    node = SimpleNamespace(
        number=lambda _: 1.0, value=lambda _: judge, _rollout_out=out, _shown=-math.inf,
        _compared=-math.inf, _with_model=lambda work, *args: work(*args),
        _decider=SimpleNamespace(imagine=imagine), _rollout=Mock(), _update_speed=Mock(),
        _foretold=None, _show_key_poses=Mock())
    afterwards(node)
    assert imagine.call_count == imagined and out.publish.called == drawn
    if imagined:
        assert imagine.call_args.args[-1] is drawn
    assert (node._foretold is not None) == judge, "surprise needs the future, not its picture"


@pytest.mark.parametrize("viewers", [0, 2])
@pytest.mark.parametrize("rate", [0.0, 10.0])
def test_how_often_is_drawn_decides_nothing_about_being_surprised(viewers, rate) -> None:
    imagine = Mock(return_value=SimpleNamespace(times=np.array([0.8])))
    rates = {"render_rate": rate, "judge_rate": 0.5}
    node = SimpleNamespace(
        number=rates.__getitem__, value=lambda _: True,
        _rollout_out=Mock(get_subscription_count=lambda: viewers), _shown=-math.inf,
        _compared=-math.inf, _with_model=lambda work, *args: work(*args),
        _decider=SimpleNamespace(imagine=imagine), _rollout=Mock(), _update_speed=Mock(),
        _foretold=None, _show_key_poses=Mock())
    afterwards(node)
    first = node._foretold
    assert first is not None
    assert imagine.call_args.args[-1] is bool(viewers and rate)
    node._shown = -math.inf
    afterwards(node)
    assert node._foretold is first, "a newer one would never come true"
    if not (viewers and rate):
        assert imagine.call_count == 1
        node._foretold = None  # reality came
        afterwards(node)
        assert imagine.call_count == 1, "it is not time yet"
        node._compared -= 2.0
        afterwards(node)
        assert imagine.call_count == 2 and node._foretold is not None


@pytest.mark.parametrize("viewers", [0, 1])
def test_key_poses_are_asked_for_only_where_somebody_looks(viewers: int) -> None:
    model = Mock(locate=Mock(return_value=(np.array([[0.5, 0.1, 0.2]]),
                                           np.array([[1.0, 0.0, 0.0, 0.0]]))))
    out = Mock(get_subscription_count=lambda: viewers)
    node = SimpleNamespace(_model=model, _key_out=out, robot=SimpleNamespace(base_link="world"),
                           _with_model=lambda work, *args: work(*args))
    ImaginationNode._show_key_poses(node, "state", "go", 10.0)  # type: ignore[arg-type]
    assert model.locate.call_count == viewers
    if viewers:
        (message,) = out.publish.call_args.args
        assert message.header.frame_id == "world" and message.header.stamp.sec == 10
        assert message.poses[0].position.y == 0.1
