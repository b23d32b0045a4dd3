# SPDX-License-Identifier: Apache-2.0
"""First pass over a bag: when what was recorded, and which moments are complete."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wm_ros.bridge import times
from wm_ros.bridge.joints import JointStates
from wm_ros.bridge.perception import sensor_names
from wm_ros.bridge.recorded import decode
from wm_ros.data.any_bag import AnyBag, Fingerprint
from wm_ros.data.bag import Raw
from wm_ros.data.topic_map import TopicMap
from wm_ros.errors import UserError

LEADER = "scene_color"
STREAMS = ("scene_color", "wrist_color", "joint_states", "scene_depth", "wrench", "action",
           "executed_action", "tcp_pose", "progress")
NANO = 1_000_000_000
JUST_AFTER = 1e-6  # s


@dataclass
class Index:
    """What a bag holds.

    :param stamps: role -> stamps (s) of its messages in the order of recording; NaN where one is
        damaged, or where joint states are not about the arm or not yet those of all joints
    :param damaged: role -> why messages of it could not be read
    :param instructions: (time (s), words): after which scene image they were heard; a bag may
        be written by another clock than that of its stamps
    :param mapped: role -> messages;  ``unmapped`` topic -> (type, messages)
    :param about: what the recorder said about the episode (role ``episode``), or empty
    """

    fingerprint: str = ""
    stamps: dict[str, list[float]] = field(default_factory=lambda: {s: [] for s in STREAMS})
    damaged: dict[str, Counter[str]] = field(default_factory=dict)
    instructions: list[tuple[float, str]] = field(default_factory=list)
    mapped: Counter[str] = field(default_factory=Counter)
    unmapped: dict[str, tuple[str, int]] = field(default_factory=dict)
    about: str = ""
    seen_until: float = -np.inf  # newest stamp of a scene image so far

    @property
    def images(self) -> int:
        """Images of the scene camera, damaged ones too."""
        return self.mapped[LEADER]

    def instruction_at(self, moment: float) -> str:
        """The words that counted at a moment (s)."""
        i = bisect.bisect_right([t for t, _ in self.instructions], moment)
        return self.instructions[i - 1][1] if i else ""

    def sensors(self) -> list[str]:
        """Streams that an observation of this bag consists of; the leader first."""
        return sensor_names(*(bool(self.stamps[s]) for s in ("scene_depth", "wrench",
                                                             "joint_states")))


def stamp_of(role: str, message: Any, log_time: int) -> float:
    """The moment (s) that a message is about."""
    if role in ("action", "executed_action"):  # its header says when the pose is due
        return times.seconds(message.observation_stamp)
    if role == "progress":
        return log_time / NANO
    return times.seconds(message.header.stamp)


def build(bag: AnyBag, topics: TopicMap, report: Callable[[int], None] | None = None) -> Index:
    """Read the whole bag once.

    :param report: called with the number of messages read, now and then
    :raises UserError: a needed topic lacks
    """
    index, roles, mark = Index(), topics.roles, Fingerprint()
    states = JointStates(topics.robot.joints)
    counts: Counter[str] = Counter()
    types: dict[str, str] = {}
    for number, raw in enumerate(bag.messages()):
        counts[raw.topic] += 1
        types[raw.topic] = raw.type
        role = roles.get(raw.topic)
        if role is None:
            continue
        mark.add(raw)
        index.mapped[role] += 1
        _look_at(index, role, raw, states)
        if report is not None and number % 200 == 0:
            report(number)
    found = {topic: (types[topic], count) for topic, count in counts.items()}
    topics.check(found, bag.name)
    index.unmapped = {t: v for t, v in found.items() if t not in roles}
    index.fingerprint = str(mark)
    return index


def _look_at(index: Index, role: str, raw: Raw, states: JointStates | None = None) -> None:
    try:
        message = decode(raw)
    except UserError as error:
        index.damaged.setdefault(role, Counter())[str(error)] += 1
        if role in index.stamps:
            index.stamps[role].append(np.nan)  # keeps the numbering; matches nothing
        return
    if role == "joint_states" and states is not None:
        message = states.add(message)  # arm and hand may be published apart
    if message is None:
        index.stamps[role].append(np.nan)
    elif role in index.stamps:
        stamp = stamp_of(role, message, raw.log_time)
        index.stamps[role].append(stamp)
        if role == LEADER:
            index.seen_until = max(index.seen_until, stamp)
    elif role == "instruction":
        index.instructions.append((index.seen_until + JUST_AFTER, str(message.data).strip()))
    elif role == "episode" and not index.about:
        index.about = str(message.data)
