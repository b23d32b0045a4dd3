# SPDX-License-Identifier: Apache-2.0
"""Camera poses that the map of topics gives for a recording."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from wm_ros.bridge.recorded import given_transforms
from wm_ros.data.topic_map import load_map
from wm_ros.errors import UserError

WHOLE = {"parent": "base", "position": [1.0, 0.0, 0.5], "quaternion": [0.0, 0.0, 0.0, 2.0]}


def given(entry: Any) -> Any:
    return given_transforms(replace(load_map(), camera_poses={"eye": entry}))


def test_a_whole_entry_becomes_a_static_transform() -> None:
    [transform] = given(WHOLE).transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("base", "eye")
    moved, turned = transform.transform.translation, transform.transform.rotation
    np.testing.assert_array_equal([moved.x, moved.y, moved.z, turned.w], [1.0, 0.0, 0.5, 1.0])


@pytest.mark.parametrize("wrong", [
    {"position": [1, 2]}, {"position": [1, 2, 3, 4]}, {"position": 1}, {"position": "here"},
    {"position": None}, {"quaternion": [0, 0, 1]},
    {"quaternion": [0, 0, 0, 0]}, {"quaternion": 1}])
def test_an_entry_of_another_shape_is_said_in_one_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="camera_poses of eye needs"):
        given({**WHOLE, **wrong})


@pytest.mark.parametrize("entry", [None, [1, 2], {"position": [1, 2, 3]}])
def test_an_entry_that_lacks_something_is_said_in_one_sentence(entry: Any) -> None:
    with pytest.raises(UserError, match="camera_poses of eye needs"):
        given(entry)
