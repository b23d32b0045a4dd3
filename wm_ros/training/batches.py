# SPDX-License-Identifier: Apache-2.0
"""Batches for the video family, drawn from the memory-mapped training cache."""
from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wm_ros.data.cache import EpisodeCache
from wm_ros.training.shown import imitable, switches, vain
from wm_ros.world_model.geometry import (
    quaternion_conjugate,
    quaternion_multiply,
    rotvec_from_quaternion,
)
from wm_ros.world_model.video.config import VideoConfig
from wm_ros.world_model.video.inputs import ActionCodec, Inputs, prepare
from wm_ros.world_model.video.locator import Locator
from wm_ros.world_model.video.parts import POINT_SCALE
from wm_ros.world_model.video.renderer import places
from wm_ros.world_model.video.way import tool_way

SHIFT = 4  # px
SIGHT = 0.2 / POINT_SCALE  # from the tool: within it the wrist camera shows how a thing lies
WRONG = 0.25  # rad of turn that is left
GRIPPER, POSITION, QUATERNION = 7, slice(8, 11), slice(11, 15)  # columns of `state`


class Batch(NamedTuple):
    """B training samples.

    :param action: (B, H, 7) the demonstrator's chunk, encoded; ``valid`` (B, H) its trust
    :param executed: (B, H, 7) what was really commanded; ``video`` (B, F, T, C) its future
    :param value: (B, 2) success of the episode, progress after the chunk
    :param now: (B, 2) 1 where the task is done, progress so far
    :param key_position: (B, K, 3) and ``key_turn`` (B, K, 2): see :class:`KeyPoses`; where
        ``key_valid`` (B, K) is 0 there is no such key pose any more
    :param way: (B, F, WAY_DIM) where ``executed`` takes the tool, see :func:`tool_way`
    :param labelled: (B,) 0 where it is not known what was commanded
    :param judged: (B,) 0 where it is not known what was achieved
    :param imitate: (B,) 1 where the episode may be imitated, see `imitable`, 0 for unlabelled ones
    """

    inputs: Inputs
    text: Tensor
    action: Tensor
    valid: Tensor
    executed: Tensor
    present: Tensor
    video: Tensor
    way: Tensor
    value: Tensor
    now: Tensor
    key_position: Tensor
    key_turn: Tensor
    key_valid: Tensor
    labelled: Tensor
    judged: Tensor
    imitate: Tensor


class Looks(NamedTuple):
    """B observations with the key poses that follow them; see :class:`Batch`.

    :param imitate: (B,) as there, but -1 where the next key pose is a grasp in vain, see `vain`
    """

    inputs: Inputs
    text: Tensor
    key_position: Tensor
    key_turn: Tensor
    key_valid: Tensor
    imitate: Tensor


def part(batch: Batch, rows: slice | Tensor) -> Batch:
    """Some rows of a batch."""
    return Batch(Inputs(*(x[rows] for x in batch.inputs)), *(x[rows] for x in batch[1:]))


def together(*batches: Batch) -> Batch:
    """Batches one after another."""
    return Batch(Inputs(*map(torch.cat, zip(*(b.inputs for b in batches), strict=True))),
                 *map(torch.cat, zip(*(b[1:] for b in batches), strict=True)))


def disturbed(cache: EpisodeCache) -> np.ndarray:
    """(N,) True where the executed action was not the demonstrator's."""
    return np.abs(np.asarray(cache.action) - np.asarray(cache.executed)).max(1) > 1e-4


def next_switch(cache: EpisodeCache) -> np.ndarray:
    """(N,) row of the next change of the gripper command, or of the episode's end."""
    rows = np.arange(len(cache))
    last = cache.future(rows, 10**6)
    candidate = np.where(switches(cache) | (rows == last), rows, 10**9)
    # the row itself does not count: a change that is commanded now lies behind
    following = np.minimum.accumulate(candidate[::-1])[::-1]
    return np.minimum(np.append(following[1:], last[-1]), last)


def key_rows(cache: EpisodeCache) -> np.ndarray:
    """(N,) True where a key pose is: the gripper command changes, or the end of an episode in
    which it never does. Where a hand that has let go comes to rest says nothing of any thing."""
    rows, changes = np.arange(len(cache)), switches(cache)
    pushes = np.bincount(cache.episode_index, changes, cache.episodes) == 0
    return changes | ((rows == cache.future(rows, 10**6)) & pushes[cache.episode_index])


def lies_wrong(position: Tensor, turn: Tensor) -> Tensor:
    """(B,) whether the hand is near a key pose, offset (B, 3) and turn (B, 2), but unturned."""
    return (position.norm(dim=1) < SIGHT) & (turn[:, 1] < math.cos(2 * WRONG))


class Sampler:
    """Draws random batches, tasks in equal shares unless weighed otherwise.

    :param rows: rows that may be drawn
    :param latents: (N, T, C) float16 tokeniser latents, or None before they exist
    :param text: (instructions, 384) sentence embeddings
    :param labelled: (E,) False for episodes whose actions are hidden; None: none are
    :param judged: (E,) False for episodes whose progress is hidden; None: as ``labelled``
    :param task_weights: how often a task is drawn, by name; 1 where it is not named
    :param turning: share drawn from where the hand is near its next key pose but has yet to turn:
        an expert turns before it comes near, so they are few, and alone show how a thing lies
    :param device: where samples are made: raw images travel there, and what is computed of them is
        computed there
    :param unknown: how many of a draw, its first ones, may be of hidden actions; None: all
    """

    def __init__(self, cache: EpisodeCache, rows: np.ndarray, config: VideoConfig,
                 codec: ActionCodec, text: Tensor, latents: np.ndarray | None, seed: int,
                 labelled: np.ndarray | None = None, task_weights: dict[str, float] | None = None,
                 turning: float = 0.0, device: torch.device | str = "cpu",
                 unknown: int | None = None, judged: np.ndarray | None = None):
        self.cache, self.config, self.device = cache, config, torch.device(device)
        self.codec = ActionCodec(codec.position_scale.to(device), codec.rotation_scale.to(device))
        self.text, self.latents = text.to(device), latents
        self.random = np.random.default_rng(seed)
        self.torch_random = torch.Generator().manual_seed(seed)
        self._labelled = np.ones(cache.episodes, bool) if labelled is None else labelled
        self._judged = self._labelled if judged is None else judged
        known = cache.among(rows, self._labelled)
        self._imitable = imitable(cache, known)
        self._vain = vain(cache, cache.among(rows, self._judged))
        self._any, self._known = (self._tasks(some, task_weights or {}) for some in (rows, known))
        self._unknown = unknown
        self._disturbed, self._switch = disturbed(cache), next_switch(cache)
        self._key = key_rows(cache)
        self._turning = self._unturned(known) if turning else rows[:0]
        self._turning_share = turning if len(self._turning) else 0.0

    def _tasks(self, rows: np.ndarray,
               weights: dict[str, float]) -> tuple[list[np.ndarray], np.ndarray]:
        """``rows`` by task, and how often each task is drawn."""
        tasks = np.unique(self.cache.task[rows])
        share = np.array([weights.get(self.cache.tasks[t], 1.0) for t in tasks])
        return [rows[self.cache.task[rows] == t] for t in tasks], share / share.sum()

    def draw(self, n: int) -> np.ndarray:
        """(n,) random rows."""
        # rounded up or down at random: the share holds in the mean, however few a process draws
        few = int(self._turning_share * n + self.random.random()) if self._turning_share else 0
        most = n - few
        free = most if self._unknown is None else min(self._unknown, most)
        return np.concatenate([self._some(*self._any, free), self._some(*self._known, most - free),
                               self.random.choice(self._turning, few)])

    def _some(self, tasks: list[np.ndarray], share: np.ndarray, n: int) -> np.ndarray:
        """(n,) random rows, tasks as often as ``share`` says."""
        drawn = self.random.choice(len(tasks), size=n, p=share) if n else np.empty(0, int)
        return np.array([tasks[g][self.random.integers(len(tasks[g]))] for g in drawn], int)

    def looks(self, rows: np.ndarray, augment: bool = True) -> Looks:
        """The observations at ``rows`` (B,) and their key poses."""
        c, order = self.cache, np.asarray(rows)
        state, camera = self._floats(c.state[order]), self._floats(c.camera[order])
        tcp = state[:, POSITION], state[:, QUATERNION]
        inputs = prepare(self._there(c.scene[order]), self._there(c.wrist[order]),
                         self._floats(c.depth[order]) / 1000,
                         camera[:, :9].view(-1, 3, 3), camera[:, 9:12], camera[:, 12:16],
                         *tcp, state[:, GRIPPER], self._floats(c.wrench[order]))
        if augment:
            scene_seen, points = self._shift(inputs.scene, inputs.points)
            inputs = inputs._replace(scene=self._recolour(scene_seen), points=points,
                                     wrist=self._recolour(inputs.wrist))
        shows = self._floats(self._imitable[c.episode_index[order]])
        return Looks(inputs, self.text[self._there(c.instruction[order].astype(np.int64))],
                     *self.key_poses(order), shows - self._floats(self._vain[order]))

    def batch(self, rows: np.ndarray, augment: bool = True) -> Batch:
        """Assemble the samples that start at ``rows`` (B,)."""
        c, h = self.cache, self.config.horizon
        order = np.asarray(rows)
        looks, state = self.looks(order, augment), self._floats(c.state[order])
        tcp = state[:, POSITION], state[:, QUATERNION]
        steps = c.future(order, np.arange(h))
        # after a disturbance the demonstrator's later targets answer to what was not foreseen
        trusted = np.cumsum(self._disturbed[steps], 1) - self._disturbed[steps] == 0
        last = c.future(order, h)
        value = np.stack([c.success[order], c.progress[last]], 1)
        progress = c.progress[order]
        episode = c.episode_index[order]
        if self.latents is None:
            present = video = way = torch.zeros(0, device=self.device)
        else:
            present = self._floats(self.latents[order])
            frames = np.array(self.config.frame_steps)
            video = self._floats(self.latents[c.future(order, frames)])
            way = self._way(order, np.maximum(c.future(order, frames) - 1, order[:, None]), tcp)
        return Batch(looks.inputs, looks.text,
                     self._encode(c.action[steps], *tcp),
                     self._floats(trusted),
                     self._encode(c.executed[steps], *tcp), present, video, way,
                     self._floats(value),
                     self._floats(np.stack([progress > 0.999, progress], 1)),
                     looks.key_position, looks.key_turn, looks.key_valid,
                     self._floats(self._labelled[episode]), self._floats(self._judged[episode]),
                     looks.imitate.clamp(min=0))

    def _encode(self, actions: np.ndarray, position: Tensor, quaternion: Tensor) -> Tensor:
        x = self._floats(actions)
        return self.codec.encode(x[..., :3], x[..., 3:7], x[..., 7], position, quaternion)

    def _way(self, rows: np.ndarray, steps: np.ndarray, tcp: tuple[Tensor, Tensor]) -> Tensor:
        """Where what was commanded at rows ``steps`` (B, F) takes the tool, seen at ``rows``."""
        camera = self._floats(self.cache.camera[rows])
        then = self._floats(self.cache.executed[steps])
        return tool_way(camera[:, :9].view(-1, 3, 3), camera[:, 9:12], camera[:, 12:16],
                        self.config.image_size, tcp,
                        (then[..., :3], then[..., 3:7], then[..., 7]))

    def places(self, rows: np.ndarray, batch: Batch) -> Tensor:
        """(B, PLACE_DIM, H, W) of the samples at ``rows``, which were not augmented: what the
        renderer is told of their scene images."""
        return places(batch.inputs.points, self._floats(self.cache.state[rows, POSITION][:, 2]))

    def key_poses(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """``key_position``, ``key_turn`` and ``key_valid`` of ``rows``: see :class:`Batch`."""
        state = self._floats(self.cache.state[rows])
        position, quaternion = state[:, POSITION], state[:, QUATERNION]
        following = [self._switch[rows]]
        while len(following) < Locator.COUNT:
            following.append(self._switch[following[-1]])
        target = self._floats(self.cache.action[np.stack(following, 1)])  # (B, K, 8)
        turn = rotvec_from_quaternion(quaternion_multiply(
            target[..., 3:7], quaternion_conjugate(quaternion)[:, None]))[..., 2]
        return ((target[..., :3] - position[:, None]) / POINT_SCALE,
                torch.stack([(2 * turn).sin(), (2 * turn).cos()], -1),
                self._floats(self._key[np.stack(following, 1)]))

    def _unturned(self, rows: np.ndarray) -> np.ndarray:
        """Those of ``rows`` at which a hand that succeeds is near but has yet to turn."""
        rows = self.cache.among(rows, self._imitable)
        position, turn, valid = self.key_poses(rows)
        return rows[(lies_wrong(position[:, 0], turn[:, 0]) & (valid[:, 0] > 0)).cpu().numpy()]

    def _shift(self, scene: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """The camera a little aside (Yarats et al. 2021, DrQ); the points stay true."""
        both = torch.cat([scene, points.permute(0, 3, 1, 2)], 1)
        size = both.shape[-1]
        both = F.pad(both, (SHIFT,) * 4, mode="replicate")
        v, u = torch.randint(2 * SHIFT + 1, (2,), generator=self.torch_random).tolist()
        both = both[..., v:v + size, u:u + size]
        return both[:, :3], both[:, 3:].permute(0, 2, 3, 1)

    def _recolour(self, images: Tensor) -> Tensor:
        """Other light: gain, hue and offset."""
        n, draw = len(images), self.torch_random
        mix = torch.diag_embed(1 + 0.15 * torch.randn(n, 3, generator=draw))
        mix = mix + 0.06 * torch.randn(n, 3, 3, generator=draw)
        offset = 0.08 * torch.randn(n, 3, 1, generator=draw)
        mixed = mix.to(images.device) @ images.flatten(2)
        return (mixed + offset.to(images.device)).view(images.shape)

    def _floats(self, x: np.ndarray) -> Tensor:
        return self._there(np.ascontiguousarray(x, dtype=np.float32))

    def _there(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).to(self.device)
