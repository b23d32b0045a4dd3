# SPDX-License-Identifier: Apache-2.0
"""What the imagination node does between two proposals, by who looks."""
from __future__ import annotations

import math
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from wm_ros.nodes.imagination_node import ImaginationNode


@pytest.mark.parametrize(("viewers", "judge", "imagined", "drawn"), [
    (0, False, 0, False), (0, True, 1, False), (2, False, 1, True), (2, True, 1, True)])
def test_nothing_is_drawn_that_nobody_looks_at(viewers, judge, imagined, drawn) -> None:
    imagine = Mock(return_value=SimpleNamespace(times=np.array([0.8])))
    out = Mock(get_subscription_count=lambda: viewers)
    node = SimpleNamespace(
        number=lambda _: 1.0, value=lambda _: judge, _rollout_out=out, _shown=-math.inf,
        _with_model=lambda work, *args: work(*args), _decider=SimpleNamespace(imagine=imagine),
        _rollout=Mock(), _update_speed=Mock(), _foretold=None)
    ImaginationNode._afterwards(node, "state", "chunk", "go", Mock(id="1"),  # type: ignore
                                SimpleNamespace(stamp=10.0))
    assert imagine.call_count == imagined and out.publish.called == drawn
    if imagined:
        assert imagine.call_args.args[-1] is drawn
    assert (node._foretold is not None) == judge, "surprise needs the future, not its picture"
