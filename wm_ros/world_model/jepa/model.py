# SPDX-License-Identifier: Apache-2.0
"""The jepa family behind the common interface: it acts by searching for a way to a goal image."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wm_ros.errors import UserError
from wm_ros.world_model import checkpoint
from wm_ros.world_model.checks import check, check_chunks, check_image
from wm_ros.world_model.interface import (
    ActionChunks,
    Imagination,
    ModelSpec,
    Observation,
    State,
    new_room,
)
from wm_ros.world_model.jepa import actions as coding
from wm_ros.world_model.jepa import planner
from wm_ros.world_model.jepa.config import JepaConfig
from wm_ros.world_model.jepa.encoder import Encoder, prepare
from wm_ros.world_model.jepa.predictor import Memory, Predictor, roll
from wm_ros.world_model.jepa.surprise import Calibration

DT = 0.1  # s, one control step
LATE = 1.5  # blocks by which looks that are kept may lie apart
FAR = 2  # blocks from the first of two looks to the one that it foretells
SPREAD = (0.5, 0.5, 0.5, 0.3, 0.6)  # of the first candidates around the last plan
METRICS = ("latent", "error")
HAND_WEIGHT = 20.0  # chosen on seeds 200-202
NO_GOAL = ("jepa plans to a goal image and has none: call set_goal(state, observation) before "
           "act, or load it with dreamer=\"video\" to take its goals from words (nodes: the "
           "parameter dreamer of imagination).")


class JepaWorldModel:
    """A trained checkpoint, ready to observe, act and imagine.

    :param folder: checkpoint folder
    :param device: ``cpu`` or a torch device
    :param dreamer: name or folder of a video checkpoint whose imagined last frame becomes the
        goal where none was set
    :param seed: of the candidates; the same calls give the same plans
    :param metric: how far a latent is from the goal: ``latent``, the plain distance, or
        ``error``, in units of usual prediction errors, as surprise is measured, and of the hand
    :param hand_weight: of the hand's way to where the goal's image has it, as the latents tell
        (squared, in units of 5 cm, 0.5 rad and 4 cm of opening); with ``error`` alone
    :param search: settings of the planner, see :class:`wm_ros.world_model.jepa.planner.Search`
    """

    def __init__(self, folder: Path, device: str = "cpu", dreamer: str | None = None,
                 seed: int = 0, metric: str = "error", hand_weight: float = HAND_WEIGHT,
                 **search: Any):
        if metric not in METRICS:
            raise UserError(f"There is no metric {metric!r}; known are {', '.join(METRICS)}.")
        config = checkpoint.read_config(folder)
        self.folder, self.device = Path(folder), torch.device(device)
        self.config = JepaConfig.from_dict(config["network"])
        c = self.config
        self.spec = ModelSpec("jepa", image_size=c.image_size, horizon=c.horizon, dt=DT,
                              frame_steps=tuple(range(c.block, c.horizon + 1, c.block)))
        if unknown := sorted(set(search) - {f.name for f in fields(planner.Search)}):
            raise UserError(f"Models of family jepa have no option {unknown[0]!r}.")
        self.search, self.metric, self.hand_weight = planner.Search(**search), metric, hand_weight
        self.encoder, self.predictor = Encoder(c), Predictor(c)
        self.hand = torch.nn.Linear(c.latent, coding.STEP_DIM, bias=False)
        parts = torch.nn.ModuleDict({"encoder": self.encoder, "predictor": self.predictor,
                                     "hand": self.hand})
        parts.register_buffer("whiten", torch.zeros(c.latent, c.latent))
        checkpoint.load_weights(parts, self.folder / "model.safetensors")
        parts.to(self.device).eval()
        self.calibration = Calibration(parts.get_buffer("whiten"),
                                       float(config["scales"]["surprise"]))
        self.tasks: list[str] = config["tasks"]
        self.card = config
        self.goal: Tensor | None = None
        self._seed, self._generator = seed, torch.Generator(self.device)
        self._dreamer: Any = None
        if dreamer is not None:
            from wm_ros.world_model.loading import load_model

            self._dreamer = load_model(dreamer, device)
        self.forget()

    def forget(self) -> None:
        """Begin the candidates' noise anew: what follows does not hang on the calls before."""
        self._generator.manual_seed(self._seed)
        if self._dreamer is not None:
            new_room(self._dreamer)

    # -- the four calls ------------------------------------------------------------------------
    @torch.inference_mode()
    def observe(self, observation: Observation, state: State | None = None) -> State:
        """Check and encode the newest observation; goal, plan and the last looks stay in memory.

        :raises UserError: if an image has another size or a number is not finite
        """
        self._check(observation)
        memory: dict[str, Any] = {} if state is None else dict(state.memory)
        if state is not None:
            looks = [*memory.get("looks", []), (state.observation, memory["latent"])]
            span = LATE * DT * self.config.block * self.config.context
            memory["looks"] = [look for look in looks
                               if 0 < observation.stamp - look[0].stamp < span]
        for made in ("history", "dreamt"):  # of the look before
            memory.pop(made, None)
        memory["latent"] = self.encode(observation.scene_rgb, observation.wrist_rgb)
        return State(observation, memory)

    @torch.inference_mode()
    def act(self, state: State, instruction: str = "", n: int = 1) -> ActionChunks:
        """The ``n`` best chunks that a search finds on the way to the goal.

        ``success`` is how much nearer to the goal a chunk is foretold to end than where things
        are now (1: at the goal), no probability.

        :raises UserError: if there is no goal
        """
        goal = self._goal(state, instruction)
        knots = self.plan(state, goal, n).sequences[:n]
        o = state.observation
        position, quaternion, width = coding.decode(
            knots, self._tensor(o.tcp_position), self._tensor(o.tcp_quaternion),
            self.config.block)
        success = self._nearer(state, self._roll(state, knots)[:, -1], goal[-1])
        spread = (position - position.mean(0)).norm(dim=-1).mean(1)  # 0 for one
        return ActionChunks(_numpy(position), _numpy(quaternion), _numpy(width), DT, success,
                            success, _numpy(spread))

    @torch.inference_mode()
    def imagine(self, state: State, chunks: ActionChunks, instruction: str = "",
                render: bool = True) -> Imagination:
        """Latents (n, blocks, 1, D) after every block of the chunks; there are no frames.

        Success is as in :meth:`act`; NaN without a goal, which :meth:`act` alone dreams of words.
        """
        check_chunks(chunks, dt=DT)
        if chunks.position.shape[1] < self.config.block:
            raise UserError(f"The chunks have {chunks.position.shape[1]} steps; jepa foresees "
                            f"blocks of {self.config.block}.")
        o = state.observation
        position, quaternion, width, from_position, from_quaternion = (
            self._tensor(x) for x in (chunks.position, chunks.quaternion, chunks.gripper,
                                      o.tcp_position, o.tcp_quaternion))
        blocks = coding.encode_chunk(position, quaternion, width, from_position, from_quaternion,
                                     self.config.block)
        latents = self._roll_blocks(state, blocks)
        goal = self._known_goal(state, instruction)
        success = (np.full(len(chunks), np.nan, np.float32) if goal is None
                   else self._nearer(state, latents[:, -1], goal[-1]))
        times = DT * self.config.block * np.arange(1, latents.shape[1] + 1)
        return Imagination(None, times, _numpy(latents)[:, :, None], success, success,
                           chunks.uncertainty)

    @torch.inference_mode()
    def surprise(self, state: State, observation: Observation) -> float:
        """How far ``observation`` is from what ``state`` foretold for the motion that the hand
        has made since; 95 % of normal episodes stay under 1.

        The motion is read off proprioception: a chunk that was cut, delayed or re-anchored is no
        surprise. 0 where the two are not about one block apart, or two, whose errors count as
        independent.
        """
        blocks = round((observation.stamp - state.observation.stamp) / (DT * self.config.block))
        if not 1 <= blocks <= FAR:
            return 0.0
        self._check(observation)
        actions = self._between(state.observation, observation, blocks)
        foretold = self._roll_blocks(state, actions)[0, -1]
        seen = self.encode(observation.scene_rgb, observation.wrist_rgb)
        return float(self.calibration.distance(foretold - seen)) / blocks**0.5

    # -- goals ---------------------------------------------------------------------------------
    @torch.inference_mode()
    def encode(self, scene_rgb: np.ndarray, wrist_rgb: np.ndarray) -> Tensor:
        """(..., H, W, 3) uint8 images of both cameras -> (..., D) latents."""
        shape = scene_rgb.shape[:-3]
        flat = (torch.from_numpy(np.ascontiguousarray(x).reshape(-1, *x.shape[-3:]))
                .to(self.device) for x in (scene_rgb, wrist_rgb))
        z: Tensor = self.encoder(*prepare(*flat))
        return z.reshape(*shape, -1)

    def set_goal(self, state: State | None,
                 goal: Observation | Sequence[Observation] | np.ndarray | Tensor) -> None:
        """What :meth:`act` shall bring about.

        :param state: kept with it and its followers; None: for all states without one of theirs
        :param goal: an observation (its two images count) or a latent (D,); or several, one for
            the end of every block, of which the last one holds on
        :raises UserError: if it has another size or holds NaN
        """
        if isinstance(goal, Observation):
            goal = [goal]
        if isinstance(goal, Sequence):
            for o in goal:
                check_image("goal's scene", o.scene_rgb, self.config.image_size)
                check_image("goal's wrist", o.wrist_rgb, self.config.image_size)
            z = self.encode(np.stack([o.scene_rgb for o in goal]),
                            np.stack([o.wrist_rgb for o in goal]))
        else:
            z = torch.atleast_2d(torch.as_tensor(goal, dtype=torch.float32, device=self.device))
        if z.dim() != 2 or z.shape[1] != self.config.latent or not len(z):
            raise UserError(f"A goal latent has {self.config.latent} numbers, this one has shape "
                            f"{tuple(z.shape)}.")
        if not torch.isfinite(z).all():
            raise UserError("The goal latent holds NaN: give an observation or a finite latent.")
        if state is None:
            self.goal = z
        else:
            state.memory["goal"] = z

    @torch.inference_mode()
    def goal_from_words(self, state: State, instruction: str) -> Tensor:
        """Latent (1, D) of the last frame that the dreamer imagines for ``instruction``.

        It imagines the scene camera alone: the wrist's view is taken to stay as it is.

        :raises UserError: if no dreamer was loaded, or the words mean nothing to it
        """
        if self._dreamer is None:
            raise UserError(NO_GOAL)
        o = state.observation
        dreamt = self._dreamer.generate(self._dreamer.observe(o), instruction)
        return self.encode(dreamt.frames[0, -1:], o.wrist_rgb[None])

    def distance(self, state: State, goal: Tensor) -> np.ndarray:
        """From where things are to latents (N, D) -> (N,), in units of the surprise's limit:
        under 1 the two differ less than a prediction and what then happens."""
        return _numpy(self.calibration.distance(state.memory["latent"] - goal))

    @torch.inference_mode()
    def plan(self, state: State, goal: Tensor, n: int = 1) -> planner.Plan:
        """Search from the present latent, around the best of three: rest, what is left of the last
        plan, and straight to the goals; ``n`` sequences at least."""
        c, o = self.config, state.observation
        spread = torch.tensor(SPREAD, device=self.device).expand(c.blocks, -1)
        rest = torch.zeros(c.blocks, coding.STEP_DIM, device=self.device)
        rest[:, 4] = o.gripper / coding.WIDTH_HALF - 1
        starts = [rest, self._straight(state, goal)]
        if "plan" in state.memory:
            stamp, old = state.memory["plan"]
            starts.append(planner.shifted(old, (o.stamp - stamp) / (DT * c.block)))

        def cost(knots: Tensor) -> Tensor:
            return self._cost(self._roll(state, knots), goal)

        plan = planner.search(cost, coding.limit, torch.stack(starts), spread, self.search,
                              self._generator, n)
        state.memory["plan"] = (o.stamp, plan.mean)
        return plan

    # -- inside --------------------------------------------------------------------------------
    def _goal(self, state: State, instruction: str) -> Tensor:
        goal = self._known_goal(state, instruction)
        if goal is None and self._dreamer is not None and instruction:
            goal = self.goal_from_words(state, instruction)
            state.memory["dreamt"] = instruction, goal
        if goal is None:
            raise UserError(NO_GOAL)
        return goal

    def _known_goal(self, state: State, instruction: str) -> Tensor | None:
        """The goal that was set, or that was dreamt for these words at this look."""
        words, dreamt = state.memory.get("dreamt", ("", None))
        given: Tensor | None = state.memory.get("goal", self.goal)
        return dreamt if given is None and words == instruction else given

    def _cost(self, latents: Tensor, goal: Tensor) -> Tensor:
        """(N, K, D) foretold latents, goals (G, D) -> (N,): mean squared distance of every
        block's end to its goal. What arrives early is better than what arrives late."""
        goal = goal[torch.arange(latents.shape[1], device=goal.device).clamp(max=len(goal) - 1)]
        gap = latents - goal
        if self.metric == "latent":
            return gap.square().mean((1, 2))
        unusual = (gap @ self.calibration.whiten.T).square().mean((1, 2))
        return unusual + self.hand_weight * self.hand(gap).square().mean((1, 2))

    def _straight(self, state: State, goal: Tensor) -> Tensor:
        """(K, 5) the motion that the hand matrix reads off the present latent and the goals, one
        for each block's end."""
        c = self.config
        ends = goal[torch.arange(c.blocks, device=self.device).clamp(max=len(goal) - 1)]
        way = self.hand(torch.diff(torch.cat([state.memory["latent"][None], ends]), dim=0))
        length = coding.HAND_LENGTH / (coding.STEP_LENGTH * c.block)
        turn = coding.HAND_TURN / (coding.STEP_TURN * c.block)
        width = state.observation.gripper / coding.WIDTH_HALF - 1 + way[:, 4:].cumsum(0)
        return torch.cat([length * way[:, :3], turn * way[:, 3:4], width], 1)

    def _nearer(self, state: State, latents: Tensor, goal: Tensor) -> np.ndarray:
        """(N, D) -> (N,) share of the way to a goal (D,) that is covered, 0..1."""
        now = (state.memory["latent"] - goal).norm()
        return _numpy((1 - (latents - goal).norm(dim=-1) / now.clamp_min(1e-6)).clamp(0, 1))

    def _roll(self, state: State, knots: Tensor) -> Tensor:
        return self._roll_blocks(state, coding.expand(knots, self.config.block))

    def _roll_blocks(self, state: State, blocks: Tensor) -> Tensor:
        """(N, K, block * 5) from the present latent and its history -> (N, K, D)."""
        n = len(blocks)
        memory = [(k.expand(n, -1, -1, -1), v.expand(n, -1, -1, -1))
                  for k, v in self._history(state)]
        return roll(self.predictor, state.memory["latent"].expand(n, -1), blocks, memory or None)

    def _history(self, state: State) -> Memory:
        """The predictor's memory of looks that lie one block apart; made once a state."""
        if "history" not in state.memory:
            state.memory["history"] = self._remember(state)
        made: Memory = state.memory["history"]
        return made

    def _remember(self, state: State) -> Memory:
        block = DT * self.config.block
        chain: list[tuple[Observation, Tensor, Tensor]] = []  # newest first
        now = state.observation
        for past, z in reversed(state.memory.get("looks", [])):
            if len(chain) < self.config.context - 1 and abs(now.stamp - past.stamp - block) < 0.03:
                chain.append((past, z, self._between(past, now, 1)))
                now = past
        memory: Memory | None = None
        for _, z, action in reversed(chain):
            _, memory = self.predictor(z[None, None], self.predictor.modulate(action), memory)
        return memory or []

    def _between(self, before: Observation, after: Observation, blocks: int) -> Tensor:
        """(1, blocks, block * 5): an even motion of the hand from one look to the next."""
        share = torch.linspace(0, 1, blocks * self.config.block + 1, device=self.device)

        def track(a: Any, b: Any) -> Tensor:
            a, b = self._tensor(np.asarray(a)), self._tensor(np.asarray(b))
            return a + share.view(-1, *[1] * a.dim()) * (b - a)

        start, end = (coding.yaw_of(self._tensor(o.tcp_quaternion)) for o in (before, after))
        yaw = start + share * coding.wrap(end - start)
        position = track(before.tcp_position, after.tcp_position)
        width = track(before.gripper, after.gripper)
        begin = slice(0, -1, self.config.block)
        steps = [x[1:].unflatten(0, (blocks, -1)) for x in (position, yaw, width)]
        return coding.encode(steps[0], steps[1], steps[2], position[begin], yaw[begin])[None]

    def _tensor(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(np.asarray(x, np.float32)).to(self.device)

    def _check(self, o: Observation) -> None:
        check(o, self.config.image_size, {
            "tool pose": o.tcp_position, "tool rotation": o.tcp_quaternion,
            "gripper width": o.gripper})


def _numpy(x: Tensor) -> np.ndarray:
    return x.float().cpu().numpy()
