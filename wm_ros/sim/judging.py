# SPDX-License-Identifier: Apache-2.0
"""Which task an instruction means, so that the simulator can judge it; no model sees this."""
from __future__ import annotations

import re
from functools import cache
from string import Formatter

from wm_ros.sim.kinds import kinds
from wm_ros.sim.language import SYNONYMS
from wm_ros.sim.tasks import TASKS
from wm_ros.sim.tasks.base import Task

WORD = re.compile(r"[a-z]+")
FILLERS = {"the", "a", "an", "to", "it", "of", "on", "in", "into", "onto", "please", "now",
           "could", "can", "would", "you", "and", "with", "my"}
HOLDERS = {"tray", "bin", "sink", "drawer"}
VARIANTS = 24  # seeds among which every variant of a task occurs
SEARCH = 200  # seeds looked through for a layout in which the words make sense


def _words(text: str) -> set[str]:
    """The words of a text that tell something; synonyms count as one."""
    text = text.lower()
    for head, choices in SYNONYMS.items():
        for choice in sorted({*choices} - {head}, key=len, reverse=True):
            text = re.sub(rf"\b{choice}\b", head, text)
    return set(WORD.findall(text)) - FILLERS


@cache
def _things() -> set[str]:
    """The words by which things, and what holds them, are called."""
    return HOLDERS | {word for name in kinds() for word in name.split("_")}


def _likeness(words: set[str], template: str, slots: dict[str, str]) -> float:
    """Share of words that an instruction and a filled template have in common; 0 where the
    instruction lacks what fills a slot, or names a thing that the template does not."""
    filled = _words(template.format_map(slots))
    needed = {word for _, slot, _, _ in Formatter().parse(template) if slot
              for word in _words(slots[slot])}
    if not words or needed - words or (words & _things()) - filled:
        return 0.0
    return len(filled & words) / len(filled | words)


def task_for(instruction: str, room: str, seed: int,
             held_out: bool = True) -> tuple[str, int] | None:
    """Task and seed whose scene contains what the instruction speaks of.

    :param seed: preferred; a later one is taken when the words name another variant
    :returns: None when no task of the room is meant
    """
    words = _words(instruction)
    split = "held_out" if held_out else "train"
    best: tuple[float, str] = (0.0, "")
    for name, kind in TASKS.items():
        if kind.room != room:
            continue
        for variant in range(VARIANTS):
            task = kind(variant, split)
            best = max(best, (_task_likeness(words, task), name))
    if best[0] < 0.5:
        return None
    kind = TASKS[best[1]]
    for other in range(seed, seed + SEARCH):
        if _task_likeness(words, kind(other, split)) >= best[0] - 1e-9:
            return best[1], other
    return best[1], seed


def _task_likeness(words: set[str], task: Task) -> float:
    slots = dict(task.slots())
    return max(_likeness(words, template, slots)
               for template in (*task.templates, *task.held_out_templates))
