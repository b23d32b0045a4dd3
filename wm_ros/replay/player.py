# SPDX-License-Identifier: Apache-2.0
"""Plays a bag through perception, imagination and planning in one process.

The observations come from the perception node's own code, the chunks and futures from the calls
that the imagination node makes, the plans from the motion node's planner. Time is the stamps of
the recording; nothing depends on how long anything takes. A look is held back until its future has
been heard, and only then shown to the model: what keeps a map would else imagine with what it saw
after the look.
"""
from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from wm_ros.bridge import observations, proposals
from wm_ros.bridge.chunks import Chunk
from wm_ros.bridge.commands import SILENT, Commands
from wm_ros.bridge.joints import JointStates
from wm_ros.bridge.perception import Assembler, Perception, sensor_names
from wm_ros.bridge.recorded import Heard, Undecoded, given_transforms, heard
from wm_ros.data.any_bag import AnyBag
from wm_ros.data.topic_map import TopicMap
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose
from wm_ros.nodes.parameters import IMAGINATION
from wm_ros.replay.futures import compare
from wm_ros.replay.plans import WouldBe, difference, recorded_chunk
from wm_ros.report.run_log import RunLog
from wm_ros.world_model import Observation as Input
from wm_ros.world_model.deciding import doubted, rank

NEAR = 0.051  # s between an imagined image and the recorded one that it is compared with
UNJUDGED = "No commands were recorded for the whole future of a look; it is not judged."
NO_IMAGE = "No image was recorded near the moment of one that was imagined."
_NODE = {p.name: p.default for p in IMAGINATION}
VALIDITY, SURPRISE = _NODE["validity"], _NODE["surprise_threshold"]  # s; 1 is the limit
ROLES = ("scene_color", "scene_info", "scene_depth", "wrist_color", "wrist_info", "joint_states",
         "wrench", "tf", "tf_static", "instruction", "commands", "furniture", "action",
         "executed_action")


@dataclass(frozen=True)
class Settings:
    """How a bag is replayed; all of it belongs to the metrics.

    :param every: s of the recording between two looks of the model
    :param candidates: chunks proposed at each look
    :param rate: observations a second at most;  ``tolerance`` between stamps of one, s
    :param instruction: instead of the recorded one
    :param rectified: see :class:`wm_ros.bridge.perception.Assembler`
    """

    every: float = 0.4
    candidates: int = 1
    seed: int = 0
    rate: float = 10.0
    tolerance: float = 0.03
    instruction: str = ""
    plan: bool = True
    rectified: bool = False


@dataclass
class Outcome:
    """What a replay gave: rows of looks, counts, and how long things took (ms)."""

    looks: list[dict[str, Any]] = field(default_factory=list)
    observations: int = 0
    images: int = 0  # of the scene camera
    first: float = 0.0  # s, stamps of the observations
    last: float = 0.0
    reach: float = 0.0  # s after a look that have to be recorded for it to be judged
    source: str = ""
    before: float = 0.0  # s of runs before the clock was set back
    troubles: Counter[str] = field(default_factory=Counter)
    latency: dict[str, list[float]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long was recorded, s."""
        return self.before + self.last - self.first


@dataclass
class _Look:
    """A moment at which the model is to look; it does so once what then happened is known.

    :param furniture: what is heard of it between this look and the next one
    """

    seen: Input
    instruction: str
    furniture: list[Any] = field(default_factory=list)


class _Foreseen(NamedTuple):
    """What a look gave: the model's state, its best chunk, and that alone as it proposed it."""

    row: dict[str, Any]
    state: Any
    chunk: Chunk
    proposed: Any


class Player:
    """Replays one bag with one model; use each player once.

    :param model: a world model, see `wm_ros.world_model.interface.WorldModel`
    :param log: gets images, futures and surprise for the report
    :param pace: called with the time of each message (s) before it is played
    """

    def __init__(self, model: Any, topics: TopicMap, settings: Settings,
                 log: RunLog | None = None, pace: Callable[[float], None] | None = None) -> None:
        self.model, self.topics, self.settings = model, topics, settings
        self.log, self.pace = log, pace
        self.outcome = Outcome()
        self.robot = topics.robot
        self._assembler = Assembler(self.robot, int(model.spec.image_size), settings.tolerance,
                                    topics.names(), settings.rectified)
        self._assembler.add_transforms(given_transforms(topics), static=True)
        self._assembler.instruction = settings.instruction
        self._commands = Commands(self._assembler.kinematics)
        # what the arm was told, where bags made from data sets say so beside what was wanted of it
        self._executed = Commands(self._assembler.kinematics)
        self._tracks = [self._commands]  # those that a look waits for
        self._states = JointStates(self.robot.joints)
        self._failed = (-np.inf, "")  # the last moment that gave no observation, and why
        self._would_be = WouldBe(self.robot) if settings.plan else None
        self._pending: deque[_Look] = deque()
        self._recent: deque[Input] = deque()
        self._due = -np.inf

    def play(self, bag: AnyBag, found: dict[str, tuple[str, int]] | None = None) -> Outcome:
        """The whole bag.

        :param found: its topics, where they are known already
        :raises UserError: a needed topic or an instruction lacks
        """
        found = bag.topics() if found is None else found
        self.topics.check(found, bag.name)
        has = {role for role, topic in self.topics.topics.items() if topic in found}
        self._perception = Perception(
            self._assembler, sensor_names("scene_depth" in has, "wrench" in has),
            self.settings.tolerance, self.settings.rate)
        if "executed_action" in has:
            self._tracks.append(self._executed)
        for item in heard(bag, self.topics, ROLES):
            if self.pace is not None:
                self.pace(item.time * 1e-9)
            if isinstance(item, Undecoded):
                self.outcome.troubles[item.reason] += 1
                continue
            self._hear(item)
            self._judge_ready()
        self._judge_ready(ended=True)
        self.outcome.reach = self._reach
        self.outcome.source = self._commands.source
        self._check()
        return self.outcome

    def _check(self) -> None:
        out = self.outcome
        if not out.observations:
            why = f" ({out.troubles.most_common(1)[0][0]})" if out.troubles else (
                "; their stamps may be further apart than --tolerance")
            raise UserError(f"No moment of the recording has all sensors together{why}.")
        if not out.looks:
            raise UserError("The recording does not say what the arm was asked to do: give "
                            "--instruction \"...\".")

    # --- what is heard, in the order of recording
    def _hear(self, item: Heard) -> None:
        role, message = item.role, item.message
        if role in ("scene_info", "wrist_info"):
            self._assembler.calibrate(role.removesuffix("_info"), message)
        elif role in ("tf", "tf_static"):
            self._assembler.add_transforms(message, static=role == "tf_static")
        elif role == "instruction":
            if not self.settings.instruction:
                self._assembler.instruction = message.data
        elif role == "furniture":
            self._furnish(message)
        elif role in ("action", "commands"):
            self._commands.add(role, message)
        elif role == "executed_action":
            self._executed.add("action", message)
        elif role == "joint_states":
            state = self._states.add(message)  # arm and hand may be published apart
            if state is not None:
                self._commands.add(role, state)
                self._sense(role, state)
        else:
            self._sense(role, message)

    def _furnish(self, message: Any) -> None:
        """The looks that wait are planned among the furniture of their own time."""
        if self._pending:
            self._pending[-1].furniture.append(message)
        elif self._would_be is not None:
            self._would_be.furniture(message)

    def _sense(self, role: str, message: Any) -> None:
        self.outcome.images += role == "scene_color"
        self._perception.add(role, message)
        started = time.perf_counter()
        observation = self._perception.next()
        if observation is None:
            failed = (self._perception.failed_at, self._perception.trouble)
            if failed[1] and failed != self._failed:  # each moment counts once
                self.outcome.troubles[failed[1]] += 1
                self._failed = failed
            return
        self._took("perceive", started)
        seen = Input(**observations.fields(observation, self.robot))
        if seen.stamp < self.outcome.last - 1.0:  # the clock was set back
            self.outcome.troubles.update([UNJUDGED] * len(self._pending))
            while self._pending:
                self._look(self._pending.popleft())
            self._recent.clear()
            self._due = -np.inf
            self.outcome.before += self.outcome.last - self.outcome.first
            self.outcome.first = seen.stamp
        self._keep(seen)
        if observation.instruction and seen.stamp >= self._due:
            self._due = seen.stamp + self.settings.every - 1e-6
            self._pending.append(_Look(seen, observation.instruction))

    def _keep(self, seen: Input) -> None:
        out = self.outcome
        out.first = seen.stamp if not out.observations else out.first
        out.observations, out.last = out.observations + 1, seen.stamp
        self._recent.append(seen)
        needed = min(self._pending[0].seen.stamp if self._pending else np.inf, seen.stamp)
        while self._recent[0].stamp < needed:
            self._recent.popleft()
        if self.log is not None:
            self.log.add_real_frame(seen.stamp, seen.scene_rgb)
            self.log.add_tcp(seen.stamp, seen.tcp_position)

    @property
    def _reach(self) -> float:
        """How far a chunk reaches into the future (s)."""
        spec = self.model.spec
        return float(spec.dt) * max(spec.horizon, *spec.frame_steps)

    # --- the model looks
    def _look(self, look: _Look) -> _Foreseen:
        """Propose and plan, as the nodes would have done at that moment."""
        seen, instruction, count = look.seen, look.instruction, self.settings.candidates
        with self._timed("propose"):
            state = self.model.observe(seen)
            proposed = self.model.act(state, instruction, count)
        futures = None
        if count > 1:
            with self._timed("imagine"):
                futures = self.model.imagine(state, proposed, instruction, render=False)
        best = rank(proposed, futures, doubted(self.model, state, proposed, futures,
                                               instruction))[0]
        chunk = proposals.chunk(proposed, best, f"look {len(self.outcome.looks) + 1}", seen.stamp,
                                VALIDITY)
        row: dict[str, Any] = {
            "t": round(self.outcome.before + seen.stamp - self.outcome.first, 6),
            "instruction": instruction,
            "predicted_success": chunk.success, "predicted_progress": chunk.progress,
            "uncertainty": chunk.uncertainty}
        if self._would_be is not None:
            present = Pose(seen.tcp_position, seen.tcp_quaternion)
            with self._timed("plan"):
                row["plan"] = self._would_be.plan(chunk, np.asarray(seen.q), present)
            for message in look.furniture:
                self._would_be.furniture(message)
        self.outcome.looks.append(row)
        return _Foreseen(row, state, chunk, proposals.only(proposed, best))

    # --- and later: what then happened
    def _judge_ready(self, ended: bool = False) -> None:
        while self._pending:
            until = self._pending[0].seen.stamp + self._reach + 2 * NEAR
            seen = self._recent[-1].stamp if self._recent else -np.inf
            told = min(track.newest for track in self._tracks)
            known = seen >= until and told >= until - NEAR
            if not (ended or known or seen >= until + SILENT):
                return
            self._judge(self._pending.popleft())

    def _judge(self, look: _Look) -> None:
        """Look, compare the plan with what was wanted of the arm, and the future under what it was
        told with what was seen."""
        row, state, chunk, proposed = self._look(look)
        spec = self.model.spec
        recorded = recorded_chunk(self._commands, look.seen.stamp, spec.horizon, spec.dt)
        if recorded is None:  # often because the recording ends before
            self.outcome.troubles[UNJUDGED] += 1
            return
        row["commands"] = difference(chunk, recorded)
        told = recorded_chunk(self._executed, look.seen.stamp, spec.horizon, spec.dt) or recorded
        given = proposals.from_given([chunk._replace(poses=told[0], gripper=told[1])], proposed)
        with self._timed("imagine"):
            future = self.model.imagine(state, given, look.instruction, render=True)
        frames = [None] * len(future.times) if future.frames is None else future.frames[0]
        row["futures"] = [self._compare(look.seen, state, image, float(after))
                          for image, after in zip(frames, future.times, strict=True)]
        first = row["futures"][0]
        if self.log is not None and future.frames is not None:
            if "surprise" in first:
                self.log.add_surprise(look.seen.stamp + first["after"], first["surprise"],
                                      SURPRISE)
            self.log.add_imagined(chunk.id, look.seen.stamp, np.asarray(future.times),
                                  future.frames[0], chunk.success, chunk.uncertainty)

    def _compare(self, seen: Input, state: Any, image: np.ndarray | None, after: float
                 ) -> dict[str, Any]:
        entry: dict[str, Any] = {"after": round(after, 6)}
        moment = seen.stamp + after
        later = min(self._recent, key=lambda o: abs(o.stamp - moment))
        if abs(later.stamp - moment) > NEAR:
            self.outcome.troubles[NO_IMAGE] += 1
            return entry
        with self._timed("surprise"):
            entry["surprise"] = float(self.model.surprise(state, later))
        if image is not None:
            entry |= compare(seen.scene_rgb, image, later.scene_rgb)
        return entry

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._took(stage, started)

    def _took(self, stage: str, started: float) -> None:
        seconds = time.perf_counter() - started
        self.outcome.latency.setdefault(stage, []).append(1000.0 * seconds)
        if self.log is not None:
            self.log.add_stage(stage, seconds)
