# SPDX-License-Identifier: Apache-2.0
"""stable-worldmodel's LeWM in its own environment, at the size of ours."""
from __future__ import annotations

import contextlib
import io

import gymnasium
import numpy as np
import torch
from stable_worldmodel.policy import PlanConfig
from stable_worldmodel.solver import CEMSolver
from stable_worldmodel.wm.lewm.lewm import LeWM
from stable_worldmodel.wm.lewm.module import MLP, Embedder, Predictor
from stable_worldmodel.wm.loss import SIGReg
from torch import Tensor, nn

from benchmarks.two_room.world import BLOCK, SIZE, Films, ViTConfig, ViTModel
from wm_ros.world_model.jepa import planner

HISTORY = 3  # latents that its predictor sees
BATCH = 64
RATE = 1e-3
REGULARISE = 0.09  # weight of SIGReg in its authors' configuration
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what its images are normalised by


class Bounded(LeWM):
    """Candidates stay within what the environment carries out, as ours do."""

    low: Tensor
    high: Tensor

    def get_cost(self, info_dict: dict, action_candidates: Tensor) -> Tensor:
        """Cost of the candidates, clamped in place."""
        return super().get_cost(info_dict, action_candidates.clamp_(self.low, self.high))


class Peer:
    """ViT encoder, causal predictor, CEM: all of them the peer's own classes.

    Actions are standardised, as in its authors' training and evaluation; sizes are chosen for
    about as many parameters as ours has.
    """

    def __init__(self, search: planner.Search, actions: np.ndarray, width: int = 80,
                 depth: int = 4, latent: int = 128, predictor_depth: int = 2, heads: int = 4,
                 feed: int = 256, patch: int = 8, size: int = SIZE):
        flat = torch.from_numpy(actions.reshape(-1, 2))
        self.mean, self.std = flat.mean(0), flat.std(0)
        encoder = ViTModel(ViTConfig(
            image_size=size, patch_size=patch, hidden_size=width, num_hidden_layers=depth,
            num_attention_heads=4, intermediate_size=4 * width), add_pooling_layer=False)
        norm = nn.BatchNorm1d
        self.model = Bounded(
            encoder, Predictor(num_frames=HISTORY, depth=predictor_depth, heads=heads,
                               mlp_dim=feed, input_dim=latent, hidden_dim=latent,
                               dim_head=latent // heads),
            Embedder(input_dim=2 * BLOCK, emb_dim=latent),
            MLP(width, 2 * latent, latent, norm_fn=norm),
            MLP(latent, 2 * latent, latent, norm_fn=norm))
        self.model.low, self.model.high = (
            ((torch.full((2,), end) - self.mean) / self.std).repeat(BLOCK) for end in (-1.0, 1.0))
        self.sigreg = SIGReg(num_proj=256)
        self.search_by(search)

    def search_by(self, search: planner.Search) -> None:
        """Plan with its own solver at these settings from now on."""
        self.solver = CEMSolver(self.model, num_samples=search.candidates,
                                n_steps=search.iterations, topk=search.elites)
        self.solver.configure(
            action_space=gymnasium.spaces.Box(-1, 1, (1, 2)), n_envs=1,
            config=PlanConfig(horizon=BLOCK, receding_horizon=1, action_block=BLOCK))

    def loss(self, films: Films, random: np.random.Generator) -> Tensor:
        """Next-latent error of a short causal sequence, and SIGReg over its latents."""
        which = random.integers(len(films.frames), size=BATCH)
        span = BLOCK * HISTORY
        first = random.integers(films.actions.shape[1] - span + 1, size=BATCH)
        at = first[:, None] + BLOCK * np.arange(HISTORY + 1)
        steps = films.actions[which[:, None], first[:, None] + np.arange(span)]
        info = self.model.encode({
            "pixels": _images(films.frames[which[:, None], at]),
            "action": ((torch.from_numpy(steps) - self.mean) / self.std).reshape(
                BATCH, HISTORY, 2 * BLOCK)})
        z = info["emb"]
        error = (self.model.predict(z[:, :-1], info["act_emb"]) - z[:, 1:]).square().mean()
        return error + REGULARISE * self.sigreg(z.transpose(0, 1))

    @torch.inference_mode()
    def plan(self, image: np.ndarray, goal: np.ndarray, last: Tensor | None
             ) -> tuple[np.ndarray, Tensor]:
        """(BLOCK, 2) actions, and the plan to go on from."""
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its time
            found = self.solver.solve(
                {"pixels": _images(image[None, None]), "goal": _images(goal[None, None]),
                 "action": torch.zeros(1, 1, 2 * BLOCK)},
                None if last is None else last[:, 1:])
        actions = found["actions"][0, 0].reshape(BLOCK, 2) * self.std + self.mean
        return actions.numpy(), found["actions"]


def _images(frames: np.ndarray) -> Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) normalised."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).float() / 255
    return ((x - torch.tensor(MEAN)) / torch.tensor(STD)).movedim(-1, -3)
