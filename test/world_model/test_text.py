# SPDX-License-Identifier: Apache-2.0
"""New words are taken for the trained phrase that they come nearest to, or refused."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from wm_ros.errors import UserError
from wm_ros.world_model.text import DIM, TextEncoder

PHRASES = ["turn the lamp on", "turn the lamp off", "close the drawer"]


def embedding(*numbers: float) -> torch.Tensor:
    return F.pad(F.normalize(torch.tensor(numbers), dim=0), (0, DIM - len(numbers)))


@pytest.fixture
def text(monkeypatch: pytest.MonkeyPatch) -> TextEncoder:
    """On and off lie close, as they do for real encoders; "off" is the nearer one to the lamp."""
    given = {"flick the lamp on": embedding(1.0, 0.15, 0.0),
             "get the drawer closed": embedding(0.3, 0.0, 1.0),
             "sing a song": embedding(0.1, 0.1, 0.1, 1.0)}
    made = TextEncoder(PHRASES, torch.stack([embedding(1.0, 0.0, 0.0), embedding(1.0, 0.2, 0.0),
                                             embedding(0.0, 0.0, 1.0)]))
    monkeypatch.setattr(made, "_forward", lambda sentences: torch.stack(
        [given[s] for s in sentences]))
    return made


def test_a_trained_phrase_is_itself_however_it_is_written(text: TextEncoder) -> None:
    assert torch.equal(text.understand("  Turn the LAMP off."), text.known[1])


def test_new_words_are_taken_for_the_nearest_trained_phrase(text: TextEncoder) -> None:
    assert torch.equal(text.understand("get the drawer closed"), text.known[2])


def test_common_words_decide_where_meanings_lie_close(text: TextEncoder) -> None:
    assert (text.known @ text.encode(["flick the lamp on"])[0]).argmax() == 1
    assert torch.equal(text.understand("flick the lamp on"), text.known[0])


@pytest.mark.parametrize("words", ["sing a song", " .!"])
def test_words_that_resemble_no_task_are_refused(text: TextEncoder, words: str) -> None:
    with pytest.raises(UserError, match="I do not know how|is empty"):
        text.understand(words)
