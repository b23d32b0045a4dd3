# SPDX-License-Identifier: Apache-2.0
"""Several families as one model: one proposes, another judges, a third checks geometry.

A checkpoint is a folder with a config.yaml alone::

    format: 1
    family: ensemble
    network: {}
    propose: video        # checkpoints by name or folder; all but `propose` may be left out
    judge: twin           # predicts success of what is proposed
    geometry: scene3d     # rejects what would touch furniture or cannot be reached
    watch: scene3d        # is surprised; `show` likewise draws futures (both: the judge)
    candidates: 8         # proposed at a time, the best are handed on
    least: 0.5            # share of a chunk that geometry must leave possible
"""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wm_ros.errors import UserError
from wm_ros.robot import RobotConfig
from wm_ros.world_model.interface import (
    ActionChunks,
    Finder,
    Imagination,
    ModelSpec,
    Observation,
    Sceptic,
    State,
    WorldModel,
    new_room,
)

ROLES = ("propose", "judge", "geometry", "show", "watch")
ONE_LENGTH = ("video", "twin")  # families that foresee chunks of their own length alone


class Ensemble:
    """Models that work together behind the common interface.

    :param folder: checkpoint folder, see the module's text
    :param precision: of the members that have a network
    :param backend: likewise, see :class:`wm_ros.world_model.video.model.VideoWorldModel`
    :param robot: the one that runs, for members that know its body; None: the one they name
    :param seed: of the members' noise
    """

    def __init__(self, folder: Path, device: str = "cpu", precision: str = "auto",
                 backend: str = "torch", robot: RobotConfig | None = None, seed: int = 0):
        from wm_ros.world_model.checkpoint import read_config
        from wm_ros.world_model.loading import load_model, takes

        config = read_config(Path(folder))
        self.folder, self.card = Path(folder), config
        parts(self.folder, config)  # all of them are there, and none leads back here
        named = {role: str(config[role]) for role in ROLES if config.get(role)}
        if "propose" not in named:
            raise UserError(f"{folder} is an ensemble without a model that proposes: name one "
                            "under `propose` in its config.yaml.")
        judge = named.get("judge", named["propose"])
        self.roles = {"judge": judge, "show": judge, "watch": judge, **named}
        found = {name: _beside(self.folder, name) for name in dict.fromkeys(self.roles.values())}
        options: dict[str, Any] = {"backend": backend, "robot": robot, "seed": seed}
        self.members: dict[str, WorldModel] = {
            name: load_model(path, device, precision if takes(path, "precision") else "auto",
                             **{key: value for key, value in options.items() if takes(path, key)})
            for name, path in found.items()}
        self.candidates, self.least = int(config.get("candidates", 8)), float(
            config.get("least", 0.5))
        if self.candidates < 1 or not 0 <= self.least <= 1:
            raise UserError(f"{folder}: candidates must be at least 1 and least a share of 1.")
        self.spec: ModelSpec = replace(self._member("propose").spec, family="ensemble")
        self._check_fit()
        self.precision = str(getattr(self._member("propose"), "precision", "float32"))

    def forget(self) -> None:
        """Every member that keeps a map starts anew."""
        for member in self.members.values():
            new_room(member)

    def observe(self, observation: Observation, state: State | None = None) -> State:
        """Every member looks."""
        before: dict[str, State] = {} if state is None else state.memory["members"]
        return State(observation, {"members": {
            name: member.observe(observation, before.get(name))
            for name, member in self.members.items()}})

    def act(self, state: State, instruction: str, n: int = 1) -> ActionChunks:
        """The best ``n`` of what is proposed, by the judge's opinion; where geometry leaves any of
        it possible those alone, even if they are fewer.

        :raises UserError: if the words mean no known task
        """
        proposed = self._member("propose").act(self._state(state, "propose"), instruction,
                                               max(n, self.candidates))
        own = np.stack([proposed.success, proposed.progress])
        if self.roles["judge"] != self.roles["propose"]:
            judged = self._judged(state, proposed, instruction)
            # a judge without an opinion, jepa without a goal, leaves the proposer's
            own = np.where(np.isnan(judged), own, judged)
        possible = self._possible(state, proposed, instruction)
        success, progress = own * possible
        order = np.argsort(-np.nan_to_num(success) - np.nan_to_num(progress), kind="stable")
        fit = order[possible[order] >= self.least]
        order = (fit if len(fit) else order)[:n]
        return ActionChunks(
            proposed.position[order], proposed.quaternion[order], proposed.gripper[order],
            proposed.dt, np.nan_to_num(success[order]), progress[order],
            proposed.uncertainty[order])

    def imagine(self, state: State, chunks: ActionChunks, instruction: str,
                render: bool = True) -> Imagination:
        """The futures of the member that shows; the others keep theirs to be surprised by.

        Success and progress are the chunks' own; where unknown (NaN) the judge's, times what
        geometry leaves possible.
        """
        shown = self._imagine("show", state, chunks, instruction, render)
        if self.roles["watch"] != self.roles["show"]:
            self._imagine("watch", state, chunks, instruction)
        own = np.stack([chunks.success, chunks.progress])
        if np.isnan(own[0]).any():
            told = self._judged(state, chunks, instruction)
            own = np.where(np.isnan(own), told * self._possible(state, chunks, instruction), own)
        return replace(shown, success=own[0], progress=own[1])

    def surprise(self, state: State, observation: Observation) -> float:
        """That of the member that watches."""
        return self._member("watch").surprise(self._state(state, "watch"), observation)

    def doubt(self, state: State, chunks: ActionChunks, imagined: Imagination,
              instruction: str) -> np.ndarray:
        """That of the member that shows; 0 where it never doubts."""
        member = self._member("show")
        if not isinstance(member, Sceptic):
            return np.zeros(len(chunks))
        return member.doubt(self._state(state, "show"), chunks, imagined, instruction)

    def locate(self, state: State, instruction: str) -> tuple[np.ndarray, np.ndarray]:
        """The key poses of the member that proposes; none where it names none."""
        member = self._member("propose")
        if not isinstance(member, Finder):
            return np.zeros((0, 3)), np.zeros((0, 4))
        return member.locate(self._state(state, "propose"), instruction)

    def _judged(self, state: State, chunks: ActionChunks, instruction: str) -> np.ndarray:
        """(2, n) success and progress by the judge; NaN where it has no opinion."""
        told = self._asked("judge", state, chunks, instruction)
        return np.stack([told.success, told.progress])

    def _possible(self, state: State, chunks: ActionChunks, instruction: str) -> np.ndarray:
        """(n,) share of each chunk that geometry leaves possible."""
        if "geometry" not in self.roles:
            return np.ones(len(chunks))
        # of chunks whose success is unknown only what bodies in space make of it is left
        unknown = replace(chunks, success=np.full(len(chunks), np.nan))
        return np.asarray(self._asked("geometry", state, unknown, instruction).success)

    def _asked(self, role: str, state: State, chunks: ActionChunks,
               instruction: str) -> Imagination:
        """An opinion: what a member was to be surprised by stays what it was."""
        memory = self._state(state, role).memory
        before = memory.get("imagined")
        told = self._imagine(role, state, chunks, instruction)
        if before is None:
            memory.pop("imagined", None)
        else:
            memory["imagined"] = before
        return told

    def _imagine(self, role: str, state: State, chunks: ActionChunks, instruction: str,
                 render: bool = False) -> Imagination:
        return self._member(role).imagine(self._state(state, role), chunks, instruction, render)

    def _member(self, role: str) -> WorldModel:
        return self.members[self.roles[role]]

    def _state(self, state: State, role: str) -> State:
        own: State = state.memory["members"][self.roles[role]]
        return own

    def _check_fit(self) -> None:
        """:raises UserError: if a member takes other images or actions than the proposer"""
        wanted = self.spec
        for name, member in self.members.items():
            given = member.spec
            steps = given.horizon if given.family in ONE_LENGTH else wanted.horizon
            if ((given.image_size, given.action_space, steps, given.dt)
                    != (wanted.image_size, wanted.action_space, wanted.horizon, wanted.dt)):
                raise UserError(
                    f"{name} takes images of {given.image_size} px and {steps} actions "
                    f"{given.action_space} at {given.dt:g} s, but {self.roles['propose']} gives "
                    f"{wanted.image_size} px and {wanted.horizon} {wanted.action_space} at "
                    f"{wanted.dt:g} s: they cannot work together.")


def parts(folder: Path, config: dict[str, Any]) -> list[Path]:
    """Folders of all that answers for a checkpoint: its own, and its members' if it has any.

    :raises UserError: if a member is an ensemble itself
    """
    from wm_ros.world_model.checkpoint import read_config
    from wm_ros.world_model.loading import find

    if config["family"] != "ensemble":
        return [folder]
    named = dict.fromkeys(str(config[role]) for role in ROLES if config.get(role))
    members = [find(_beside(folder, name)) for name in named]
    for member in members:
        if read_config(member)["family"] == "ensemble":
            raise UserError(f"{folder}: {member.name} is an ensemble itself; name its members.")
    return [folder, *members]


def _beside(folder: Path, name: str) -> str | Path:
    """A member by its folder beside the ensemble's, or as ``load_model`` finds it."""
    beside = folder.parent / name
    return beside if (beside / "config.yaml").is_file() else name
