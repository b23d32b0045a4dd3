# SPDX-License-Identifier: Apache-2.0
"""What a recorder said about its episode, where a row cannot hold it."""
from __future__ import annotations

import pytest

from wm_ros.convert.episodes import _about


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"seed": Infinity}', '{"seed": 1e40}',
                                  '{"seed": -1}', '{"seed": "many"}',
                                  '{"seed": 9223372036854775808}'])
def test_what_cannot_be_kept_counts_as_nothing(text: str) -> None:
    assert _about(text) == {}


def test_what_was_said_is_kept() -> None:
    assert _about('{"task": "open_door", "seed": 7, "success": true, "other": 1}') == {
        "task": "open_door", "seed": 7, "success": True}
