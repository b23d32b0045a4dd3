# SPDX-License-Identifier: Apache-2.0
"""Second pass over a bag: the chosen rows as episodes of a data set."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, deque
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState

from wm_ros.bridge import gripper, observations, poses, times
from wm_ros.bridge.commands import SILENT, SOURCES, Commands
from wm_ros.bridge.joints import JointStates
from wm_ros.bridge.perception import Assembler
from wm_ros.bridge.recorded import Undecoded, given_transforms, heard
from wm_ros.convert.index import LEADER, Index
from wm_ros.convert.rows import NO_COMMAND, PERIOD, SHORT, UNUSABLE, Choice, Row
from wm_ros.data.any_bag import AnyBag
from wm_ros.data.episode import (
    STATE_NAMES,
    Episode,
    action_vector,
    camera_vector,
    depth_to_mm,
    state_vector,
)
from wm_ros.data.rollout import TAIL
from wm_ros.data.topic_map import TopicMap
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose

LATE = 0.15  # s of commands that must have been read before a row is made
LONGEST = 3000  # rows; what is longer becomes several episodes
MOST = 1_000_000_000  # bytes of images that an episode may hold: it is made in memory
SEEDS = 2**63  # a data set's column holds no greater ones
PIXEL = 3 + 3 + 2  # bytes of both cameras' colours and of depth
OPENING = STATE_NAMES.index("gripper")  # column of `state`
STILL = 0.003  # m that a hand at rest may move
WIDTH = 7  # column of `action`
NOTHING = action_vector(Pose.identity(), 0.0)  # an action that is not known
# what a row may lack -> what is said where zeros stand for it
ZEROS = {"joint_states": "arm: nothing; name this set with `wm train --video`",
         "scene_depth": "depth: zeros, for no topic gave it; `video` and `scene3d` need it",
         "wrench": "wrench: zeros, for no topic gave it"}


def at_rest(state: np.ndarray) -> int:
    """How many rows of ``state``, the last one included, show the hand as it is at the end; as
    many as `wm collect` records of a task that is done, at most."""
    place = slice(OPENING, OPENING + 4)  # opening and position of the tool, m
    moves = (np.abs(state[:, place] - state[-1, place]) > STILL).any(1)
    return min(int(np.argmax(moves[::-1])) or len(state), TAIL)


@dataclass(frozen=True)
class Labels:
    """What a recording may not tell: task and room by name, and whether it went well."""

    task: str = ""
    room: str = ""
    success: bool = True


@dataclass
class Made:
    """What making episodes gave besides them."""

    unusable: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)  # of actions -> rows
    assumed: set[str] = field(default_factory=set)


class Maker:
    """Makes the episodes of one bag.

    :param image_size: side of the stored images, px
    :param shortest: rows that an episode has at least
    :param report: called for each row
    :param taken: (task, seed) of other bags' episodes: what bears one of them gets another seed
    :param rectified: see :class:`wm_ros.bridge.perception.Assembler`
    """

    def __init__(self, topics: TopicMap, index: Index, choice: Choice, labels: Labels,
                 image_size: int, tolerance: float, shortest: int,
                 report: Callable[[], None] | None = None,
                 taken: Container[tuple[str, int]] = (), rectified: bool = False) -> None:
        self.index, self.choice, self.labels = index, choice, labels
        self.shortest, self.report, self.made, self.taken = shortest, report, Made(), taken
        self.topics, robot = topics, topics.robot
        self._longest = longest(image_size)
        self._runs = _runs([row.instruction for row in choice.rows])
        self._assembler = Assembler(robot, image_size, tolerance, topics.names(), rectified)
        self._assembler.add_transforms(given_transforms(topics), static=True)
        self._commands = Commands(self._assembler.kinematics)
        self._states = JointStates(robot.joints)
        self._nowhere = {  # what stands for the arm where images alone are used
            "joint_states": JointState(name=list(robot.joints),
                                       position=[0.0] * len(robot.joints)),
            "tcp_pose": PoseStamped(pose=poses.to_pose(Pose.identity()))}
        self._infos: dict[str, deque[Any]] = {c: deque(maxlen=60) for c in ("scene", "wrist")}
        self._about = _about(index.about)
        self._number = 0
        self._kept: list[dict[str, Any]] = []
        self._kept_row: Row | None = None
        self._first = 0  # number of the first row that is kept
        self._reached = -np.inf  # s, newest scene image
        self._hand: tuple[float, float] | None = None  # m, measured and told at the last row

    def episodes(self, bag: AnyBag) -> Iterator[Episode]:
        """Read the bag again; each piece without gaps gives an episode."""
        wanted: dict[str, dict[int, list[int]]] = {}
        for i, row in enumerate(self.choice.rows):
            for role, number in row.messages.items():
                wanted.setdefault(role, {}).setdefault(number, []).append(i)
        numbers: Counter[str] = Counter()
        found: dict[int, dict[str, Any]] = {}
        complete: set[int] = set()
        turn = 0  # rows are made in their order, whatever order their messages came in
        for item in heard(bag, self.topics):
            number = numbers[item.role]
            numbers[item.role] += 1
            if isinstance(item, Undecoded):
                continue
            message = item.message
            if item.role == "joint_states":
                message = self._states.add(message)  # of arm and hand, as the index counted them
            if message is None:
                continue
            self._hear(item.role, message)
            for i in wanted.get(item.role, {}).get(number, ()):
                found.setdefault(i, {})[item.role] = message
                if len(found[i]) == len(self.choice.rows[i].messages):
                    complete.add(i)
            while turn in complete and self._told_until(self.choice.rows[turn].stamp + LATE):
                yield from self._add(turn, found.pop(turn))
                turn += 1
        for i in range(turn, len(self.choice.rows)):
            yield from self._add(i, found.pop(i))
        yield from self._finish(len(self.choice.rows))

    def _told_until(self, moment: float) -> bool:
        """Whether the commands until a moment (s) have been read, or will not come any more."""
        return self._commands.newest >= moment or self._reached >= moment + SILENT

    def _hear(self, role: str, message: Any) -> None:
        if role == LEADER:
            self._reached = max(self._reached, times.seconds(message.header.stamp))
        elif role in ("scene_info", "wrist_info"):
            self._infos[role.removesuffix("_info")].append(message)
        elif role in ("tf", "tf_static"):
            self._assembler.add_transforms(message, static=role == "tf_static")
        elif role in ("commands", "joint_states"):
            self._commands.add(role, message)

    def _add(self, i: int, found: dict[str, Any]) -> Iterator[Episode]:
        """One more row; the episodes that it ends."""
        row = self.choice.rows[i]
        if self.report is not None:
            self.report()
        try:
            made = self._make(row, found)
        except UserError as error:
            self.made.unusable[str(error)] += 1
            self.choice.dropped[UNUSABLE] += 1
            yield from self._finish(i + 1)
            return
        if made is None:
            self.choice.dropped[NO_COMMAND] += 1
            yield from self._finish(i + 1)
            return
        before = self._kept_row
        if (before is not None and before.piece != row.piece) or len(self._kept) >= self._longest:
            yield from self._finish(i)
        if not self._kept:
            self._first = i
        self._kept.append(made)
        self._kept_row = row

    def _make(self, row: Row, found: dict[str, Any]) -> dict[str, Any] | None:
        for camera, infos in self._infos.items():
            if infos:  # rows are made late: the calibration of their own moment counts
                self._assembler.calibrate(camera, min(infos, key=lambda m: abs(
                    times.seconds(m.header.stamp) - row.stamp)))
        images_only = "joint_states" not in found
        if images_only:
            found = found | self._nowhere
        seen = observations.fields(self._assembler.assemble(row.stamp, found),
                                   self._assembler.robot)
        action, executed = (NOTHING, NOTHING) if images_only else self._actions(row, found)
        if action is None or executed is None:
            return None
        tcp = Pose(seen["tcp_position"], seen["tcp_quaternion"])
        if "tcp_pose" in found:
            tcp = _raw_pose(found["tcp_pose"].pose)
        eye = Pose(seen["scene_position"], seen["scene_quaternion"])
        progress = found["progress"].data if "progress" in found else None
        numbers = {"state": state_vector(seen["q"], 0.0 if images_only else seen["gripper"], tcp),
                   "wrench": np.asarray(seen["wrench"], np.float32),
                   "camera": camera_vector(seen["scene_K"], eye),
                   "action": action, "executed": executed}
        for name, values in {**numbers, "progress": np.array(progress or 0.0)}.items():
            if not np.isfinite(values).all():
                raise UserError(f"{name} is not finite")
        return {"scene": seen["scene_rgb"], "wrist": seen["wrist_rgb"],
                "depth": depth_to_mm(seen["scene_depth"]), **numbers,
                "recorded": images_only or "action" in found, "progress": progress}

    def _actions(self, row: Row, found: dict[str, Any]
                 ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """What was asked of the arm from this row to the next, and what it was told."""
        if "action" in found:
            action = _raw_action(found["action"])
            self.made.sources[SOURCES[0]] += 1
            told = found.get("executed_action")
            return action, action if told is None else _raw_action(told)
        commanded = self._commands.at(row.stamp + PERIOD)
        if commanded is None:
            return None, None
        self.made.sources[self._commands.source_at(row.stamp + PERIOD)] += 1
        action = action_vector(*commanded)
        return action, action

    def _finish(self, following: int) -> Iterator[Episode]:
        """The rows so far as an episode, if they are enough.

        :param following: number of the next row that may be in one; where it is under the same
            words, what was done in these goes on
        """
        kept, row = self._kept, self._kept_row
        self._kept, self._kept_row = [], None
        if row is None:
            return
        self._tell_hand(kept)
        if len(kept) < self.shortest:
            self.choice.dropped[SHORT] += len(kept)
            return
        # popped: images that are already in the episode are not held twice
        rows: dict[str, Any] = {name: np.stack([entry.pop(name) for entry in kept]) for name in
                ("scene", "wrist", "depth", "state", "wrench", "camera", "action", "executed")}
        about = self._label(row)
        self.made.assumed |= {note for role, note in ZEROS.items() if role not in row.messages}
        progress = [entry["progress"] for entry in kept]
        if any(value is None for value in progress):
            self.made.assumed.add("progress: it rises evenly in episodes that went well, up to "
                                  "the rest at their end, else 0")
            run = self._runs[self._first]
            done = (self._first - run.start) / len(run)
            until = done + len(kept) / len(run) if following < run.stop else 1.0
            rest = at_rest(rows["state"]) if until == 1.0 else 1
            rising = np.linspace(done, until, len(kept) + 1 - rest)
            progress = list(np.append(rising, np.ones(rest - 1)) * about["success"])
        images = {"scene": rows.pop("scene"), "wrist": rows.pop("wrist")}
        self._number += 1
        yield Episode(images=images, progress=np.asarray(progress, np.float32), **rows, **about)

    def _tell_hand(self, kept: list[dict[str, Any]]) -> None:
        """Where no action was recorded, the gripper's column becomes what the hand was told."""
        opening = [float(entry["state"][OPENING]) for entry in kept]
        last = kept[-1]
        # without a recorded action its column still holds what was measured at the row's end
        opening.append(opening[-1] if last["recorded"] else float(last["action"][WIDTH]))
        known = [] if self._hand is None else [self._hand[0]]
        told = gripper.told(np.array([*known, *opening]), self.topics.robot.gripper.closed_width,
                            None if self._hand is None else self._hand[1])[len(known):]
        for entry, width in zip(kept, told, strict=True):
            if not entry["recorded"]:
                self.made.assumed.add("gripper commands: read off its measured opening")
                entry["action"][WIDTH] = entry["executed"][WIDTH] = width
        self._hand = opening[-2], float(last["action"][WIDTH])

    def _label(self, row: Row) -> dict[str, Any]:
        """Task, instruction, seed and the rest: as recorded, else as the user says."""
        about: dict[str, Any] = {
            "task": self.labels.task or slug(row.instruction) or "task",
            "room": self.labels.room, "seed": _seed(self.index.fingerprint, self._number),
            "success": self.labels.success, "perturbed": False, "deliberate_failure": False,
            "practised": False}
        if "success" not in self._about:
            self.made.assumed.add(f"outcome: {'success' if self.labels.success else 'failure'}")
        about |= self._about
        # the recorder meant the whole; its pieces need numbers of their own
        if self._number or (about["task"], about["seed"]) in self.taken:
            about["seed"] = _seed(self.index.fingerprint, self._number)
        about["instruction"] = row.instruction
        return about


def _runs(instructions: list[str]) -> list[range]:
    """For each row those that are under the same words around it, gaps or not."""
    out: list[range] = []
    for _, group in groupby(instructions):
        run = range(len(out), len(out) + sum(1 for _ in group))
        out += [run] * len(run)
    return out


def longest(image_size: int) -> int:
    """Rows that an episode may have, given the side of its images in px."""
    return min(LONGEST, MOST // (PIXEL * image_size**2))


def _about(text: str) -> dict[str, Any]:
    """What the recorder said about the episode; empty when that is nothing."""
    try:
        given = json.loads(text) if text else {}
        kinds = {"task": str, "room": str, "seed": int, "success": bool, "perturbed": bool,
                 "deliberate_failure": bool, "practised": bool}
        about = {name: kind(given[name]) for name, kind in kinds.items() if name in given}
    except (ValueError, TypeError, OverflowError):
        return {}
    return about if 0 <= about.get("seed", 0) < SEEDS else {}


def _raw_pose(message: Any) -> Pose:
    """The numbers as they are: a unit quaternion stays what it was to the last bit."""
    p, q = message.position, message.orientation
    return Pose(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


def _raw_action(message: Any) -> np.ndarray:
    if not (len(message.poses) and len(message.gripper_width)):
        raise UserError("an action has no pose or no gripper width")
    return action_vector(_raw_pose(message.poses[0]), message.gripper_width[0])


def slug(words: str) -> str:
    """Words as a name for files; empty stays empty."""
    return re.sub(r"\W+", "_", words.lower()).strip("_")[:60]


def _seed(fingerprint: str, number: int) -> int:
    """A number that the same episode of the same recording always gets."""
    digest = hashlib.sha256(f"{fingerprint} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1
