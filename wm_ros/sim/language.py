# SPDX-License-Identifier: Apache-2.0
"""Instructions in words: templates with slots, paraphrases, and some never trained on.

A template is a sentence with slots in braces (``"press the {color} button"``). In a training
instruction, words of :data:`SYNONYMS` may be exchanged and a polite opening added; the held-out
templates of a task and the held-out openings are kept for evaluation.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

OPENINGS = ("", "", "", "", "please ", "now ", "could you ", "can you ")
HELD_OUT_OPENINGS = ("", "would you ", "go ahead and ")
SYNONYMS: Mapping[str, Sequence[str]] = {
    "put": ("put", "put", "place", "set"),
    "pick up": ("pick up", "pick up", "grab", "take", "lift"),
    "close": ("close", "close", "shut"),
    "open": ("open", "open", "pull open"),
    "press": ("press", "press", "push"),
    "wipe": ("wipe", "wipe", "clean"),
    "throw": ("throw", "throw", "toss"),
}


def fill(template: str, slots: Mapping[str, str]) -> str:
    """Return the template with its slots filled.

    :raises KeyError: when a slot has no word.
    """
    return template.format(**slots)


def paraphrase(template: str, slots: Mapping[str, str], rng: np.random.Generator) -> str:
    """Return a training instruction: slots filled, a few words exchanged, maybe an opening."""
    words = template
    for word, choices in SYNONYMS.items():
        if words.startswith(word + " "):
            words = str(rng.choice(choices)) + words[len(word):]
    return _open(str(rng.choice(OPENINGS)), fill(words, slots))


def held_out(template: str, slots: Mapping[str, str], rng: np.random.Generator) -> str:
    """Return an instruction from a held-out template and opening."""
    return _open(str(rng.choice(HELD_OUT_OPENINGS)), fill(template, slots))


def _open(opening: str, sentence: str) -> str:
    """No opening goes with a sentence that asks for nothing ("the mug belongs on the tray")."""
    return sentence if sentence.startswith(("the ", "i ")) else opening + sentence
