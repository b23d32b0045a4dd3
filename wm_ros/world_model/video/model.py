# SPDX-License-Identifier: Apache-2.0
"""The video family behind the common interface."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wm_ros.errors import UserError
from wm_ros.world_model import checkpoint
from wm_ros.world_model.checks import check, check_chunks, check_geometry
from wm_ros.world_model.geometry import (
    point_map,
    quaternion_from_rotvec,
    quaternion_multiply,
)
from wm_ros.world_model.interface import (
    ActionChunks,
    Imagination,
    ModelSpec,
    Observation,
    State,
)
from wm_ros.world_model.precision import NAMES, lower, resolve, weight_bytes
from wm_ros.world_model.text import DIM as TEXT_DIM
from wm_ros.world_model.text import TextEncoder, normalise
from wm_ros.world_model.video import flow
from wm_ros.world_model.video.config import VideoConfig
from wm_ros.world_model.video.exported import ExportedNetwork, prepare, ready
from wm_ros.world_model.video.inputs import ActionCodec
from wm_ros.world_model.video.inputs import prepare as prepare_inputs
from wm_ros.world_model.video.network import ACTION_DIM, Context, VideoNetwork
from wm_ros.world_model.video.parts import POINT_SCALE
from wm_ros.world_model.video.renderer import Renderer, places
from wm_ros.world_model.video.tokeniser import Tokeniser, to_uint8, to_unit
from wm_ros.world_model.video.way import WAY_DIM, tool_way, worst_still

BACKENDS = ("torch", "onnx", "auto")
DREAM_STEPS = 4  # at least, where no action is known: the mean of such futures shows nothing
REST = 0.015  # m that a chunk may move tool or fingers and still count as resting


class VideoWorldModel:
    """A trained checkpoint, ready to observe, act and imagine.

    The same weights answer in five modes, by the noise levels of action and video:
    :meth:`act` (policy), :meth:`imagine` (world model), :meth:`infer_actions` (inverse
    dynamics), :meth:`generate` (video generator) and :meth:`dream` (joint). World model and
    inverse dynamics need no task: they take an empty instruction too.

    :param folder: checkpoint folder
    :param device: ``cpu`` or a torch device
    :param action_steps: Euler steps for actions
    :param video_steps: for frames under given actions. 1: the mean of what may be seen, whose
        error :meth:`surprise` and :meth:`doubt` are in units of; more: a sharper sample of it,
        further from the truth. Where no actions are given it is 4 at least.
    :param seed: of the candidates' noise; the same calls give the same chunks
    :param precision: ``auto``, ``fp32``, ``bf16`` or ``int8`` (see ``world_model/precision.py``)
    :param backend: ``torch``; ``onnx``, the same network run by ONNX Runtime, float32 on a CPU; or
        ``auto``: ``onnx`` where that is possible and ``wm export`` has been run, else ``torch``
    """

    network: VideoNetwork | ExportedNetwork

    def __init__(self, folder: Path, device: str = "cpu", action_steps: int = 2,
                 video_steps: int = 1, seed: int = 0, precision: str = "auto",
                 backend: str = "torch"):
        weights = Path(folder) / "model.safetensors"
        if backend == "auto":
            backend = "onnx" if _suits_onnx(precision, device) and ready(weights) else "torch"
        chosen = _checked(backend, precision, device)
        config = checkpoint.read_config(folder)
        self.folder, self.device = Path(folder), torch.device(device)
        self.config = VideoConfig.from_dict(config["network"])
        self.spec = ModelSpec(family=config["family"], image_size=self.config.image_size,
                              horizon=self.config.horizon,
                              frame_steps=tuple(self.config.frame_steps))
        if action_steps < 1 or video_steps < 1:
            raise UserError("action_steps and video_steps must be at least 1: nothing comes of no "
                            "step.")
        self.action_steps, self.video_steps = action_steps, video_steps
        self._dream_steps = max(DREAM_STEPS, video_steps)
        network = VideoNetwork(self.config)
        checkpoint.load_weights(network, weights)
        network.to(self.device).eval()
        self.tokeniser = load_tokeniser(folder, device)
        self.renderer = Renderer(self.config)
        checkpoint.load_weights(self.renderer, self.folder / "renderer.safetensors")
        self.renderer.to(self.device).eval()
        # the tokeniser stays as it was trained: surprise is measured in its latents
        lower(network, chosen, ("observe", "forward"), linear=("blocks",))
        lower(self.renderer, chosen)
        self.precision, self.backend = NAMES[chosen], backend
        self.bytes = weight_bytes(network, self.tokeniser, self.renderer)
        self.network = (ExportedNetwork(prepare(network, weights), self.config)
                        if backend == "onnx" else network)
        text = checkpoint.read_tensors(self.folder / "text.safetensors")
        self.text = TextEncoder(config["phrases"], text["embeddings"])
        scales = config["scales"]
        self.codec = ActionCodec(torch.tensor(scales["position"]).to(self.device),
                                 torch.tensor(scales["rotation"]).to(self.device))
        self.surprise_scale = float(scales["surprise"])
        self.doubt_scale = float(scales["doubt"]) if "doubt" in scales else None  # m
        #: slope and offset of the log-odds of success, see ``wm calibrate``
        self.calibration: list[float] | None = scales.get("success")
        self.tasks: list[str] = config["tasks"]
        self.card = config
        self._encoded: tuple[np.ndarray, Tensor] | None = None  # newest image, with its latents
        self._seed, self._generator = seed, torch.Generator(self.device)
        self.forget()

    def forget(self) -> None:
        """Begin the noise anew: what follows does not hang on the calls before."""
        self._generator.manual_seed(self._seed)

    @torch.inference_mode()
    def observe(self, observation: Observation, state: State | None = None) -> State:
        """Check and keep the newest observation; the last imagined future stays in memory."""
        self._check(observation)
        memory = {} if state is None else {k: v for k, v in state.memory.items()
                                           if k == "imagined"}
        return State(observation, memory)

    @torch.inference_mode()
    def act(self, state: State, instruction: str, n: int = 1) -> ActionChunks:
        """Propose ``n`` chunks; the first starts without noise.

        :raises UserError: if the words resemble no task the model was trained on
        """
        context, words = self._context(state, instruction)
        # candidate 0 is the mode's best guess; the others spread out
        spread = torch.linspace(0.0, 1.0, n, device=self.device)[:, None, None]
        many, text = context.repeat(n), words.expand(n, -1)
        x = flow.euler(lambda a, t: self.network(many, text, a, t).action,
                       spread * self._noise(n, self.config.horizon, ACTION_DIM),
                       self.action_steps)
        return self._decode(state.observation, many, text, x)

    @torch.inference_mode()
    def locate(self, state: State, instruction: str) -> tuple[np.ndarray, np.ndarray]:
        """Where the tool will next close, open or rest: (K, 3) m and (K, 4) xyzw, base frame."""
        found = self._context(state, instruction)[0].key_poses
        position, quaternion = self._tcp(state.observation, found.refined.shape[1])
        turn = found.turn[0]
        yaw = torch.zeros_like(position)
        yaw[:, 2] = 0.5 * torch.atan2(turn[:, 0], turn[:, 1])
        return (_numpy(position + found.refined[0] * POINT_SCALE),
                _numpy(quaternion_multiply(quaternion_from_rotvec(yaw), quaternion)))

    @torch.inference_mode()
    def imagine(self, state: State, chunks: ActionChunks, instruction: str,
                render: bool = True) -> Imagination:
        """World-model mode: future frames under given actions (their noise level is 0).

        :param instruction: empty: task-free; success and progress are then NaN
        """
        check_chunks(chunks, self.config.horizon, self.spec.dt)
        context, words = self._context(state, instruction, task_free=True)
        o, n = state.observation, len(chunks)
        actions = self._encode(o, chunks)
        many, text = context.repeat(n), words.expand(n, -1)
        way, present = self._way(o, actions), self._present(o).expand(n, -1, -1)
        if self.video_steps == 1:
            latents = foresee(self.network, many, text, actions, present, way)
        else:  # the same noise for all: what differs comes from the actions
            noise = self._noise(1, *self._frames()).expand(n, -1, -1, -1)
            given = actions.new_zeros(n)
            latents = flow.euler(self._frame_flow(many, text, actions, given, present, way), noise,
                                 self.video_steps)
        success, progress = self._outcome(o, many, text, actions)
        return self._remember(state, Imagination(
            None, self._times(), _numpy(latents), success, progress, chunks.uncertainty),
            latents, way, render)

    @torch.inference_mode()
    def generate(self, state: State, instruction: str, n: int = 1) -> Imagination:
        """Video-generator mode: futures of the words alone, no action known (its level is 1)."""
        context, words = self._context(state, instruction)
        o, many, text = state.observation, context.repeat(n), words.expand(n, -1)
        actions, present = self._noise(n, self.config.horizon, ACTION_DIM), self._present(o)
        unknown = actions.new_ones(n)
        latents = flow.euler(
            self._frame_flow(many, text, actions, unknown, present.expand(n, -1, -1)),
            self._noise(n, *self._frames()), self._dream_steps)
        nan = np.full(n, np.nan, np.float32)
        return Imagination(self._draw(o, latents), self._times(), _numpy(latents), nan, nan, nan)

    @torch.inference_mode()
    def infer_actions(self, state: State, latents: np.ndarray, instruction: str) -> ActionChunks:
        """Inverse-dynamics mode: the chunks that lead to given frames (their level is 0).

        As in :meth:`act` the first starts without noise.

        :param latents: (n, F, T, C) of the future frames, see :meth:`encode_frames`
        :param instruction: empty: task-free; success and progress are then NaN
        """
        context, words = self._context(state, instruction, task_free=True)
        video, n = self._tensor(latents), len(latents)
        many, text = context.repeat(n), words.expand(n, -1)
        zero, present = torch.zeros(n, device=self.device), self._present(state.observation)
        spread = torch.linspace(0.0, 0.5, n, device=self.device)[:, None, None]

        def velocity(actions: Tensor, level: Tensor) -> Tensor:
            return self.network(many, text, actions, level, video, zero,
                                present.expand(n, -1, -1)).action

        x = flow.euler(velocity, spread * self._noise(n, self.config.horizon, ACTION_DIM),
                       self.action_steps)
        return self._decode(state.observation, many, text, x)

    @torch.inference_mode()
    def dream(self, state: State, instruction: str,
              n: int = 1) -> tuple[ActionChunks, Imagination]:
        """Joint mode: chunks and their futures from noise together, at the same level."""
        context, words = self._context(state, instruction)
        o, many, text = state.observation, context.repeat(n), words.expand(n, -1)
        present = self._present(o).expand(n, -1, -1)
        x, video = self._noise(n, self.config.horizon, ACTION_DIM), self._noise(n, *self._frames())
        levels = torch.linspace(1, 0, self._dream_steps + 1, device=self.device)
        for now, then in zip(levels[:-1], levels[1:], strict=True):
            out = self.network(many, text, x, now.expand(n), video, now.expand(n), present)
            assert out.video is not None
            x, video = x + (then - now) * out.action, video + (then - now) * out.video
        chunks = self._decode(o, many, text, x)
        return chunks, self._remember(state, Imagination(
            None, self._times(), _numpy(video), chunks.success, chunks.progress,
            chunks.uncertainty), video, self._way(o, x))

    @torch.inference_mode()
    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """(..., H, W, 3) uint8 scene images -> (..., T, C) latents."""
        flat = self._tensor(frames.reshape(-1, *frames.shape[-3:]))
        return _numpy(self.tokeniser.encode(to_unit(flat))).reshape(
            *frames.shape[:-3], self.config.latent_tokens, self.config.latent_channels)

    @torch.inference_mode()
    def surprise(self, state: State, observation: Observation) -> float:
        """Error of the imagined latents nearest in time, where it is largest clear of the tool, in
        units of the calibrated limit; of the first chunk where several were imagined.

        0 where nothing was imagined for about this moment.

        :raises UserError: if the observation has images of another size or numbers not finite
        """
        if "imagined" not in state.memory:
            return 0.0
        stamp, times, latents, way = state.memory["imagined"]
        late = np.abs(times - (observation.stamp - stamp))
        if late.min() > 0.25:
            return 0.0
        self._check(observation)
        frame = slice(int(late.argmin()), int(late.argmin()) + 1)
        error = latents[:1, frame] - self._present(observation)[:, None]
        return float(worst_still(error, way[:1, frame])) / self.surprise_scale

    @torch.inference_mode()
    def doubt(self, state: State, chunks: ActionChunks, imagined: Imagination,
              instruction: str) -> np.ndarray:
        """How little each imagined future looks like the work of its chunk; 1 is the limit.

        Inverse dynamics, asked in one step, reads the tool's way off the imagined frames; the
        doubt is that way's mean distance from the chunk's, in units of what 99 % of the data stay
        under. 0 where the checkpoint names no limit.
        """
        n = len(chunks)
        if self.doubt_scale is None:
            return np.zeros(n)
        context, words = self._context(state, instruction, task_free=True)
        x = read_back(self.network, context.repeat(n), words.expand(n, -1),
                      self._tensor(imagined.latents), self._present(state.observation))
        position = self.codec.decode(x, *self._tcp(state.observation, n))[0]
        away = (position - self._tensor(chunks.position)).norm(dim=-1).mean(1)
        return _numpy(away / self.doubt_scale)

    def _frame_flow(self, context: Context, text: Tensor, actions: Tensor, at: Tensor,
                    present: Tensor, way: Tensor | None = None
                    ) -> Callable[[Tensor, Tensor], Tensor]:
        """Velocity of the frames' flow beside ``actions`` (n, H, 7) at fixed levels (n,)."""
        def velocity(video: Tensor, level: Tensor) -> Tensor:
            out = self.network(context, text, actions, at, video, level, present, way).video
            assert out is not None
            return out
        return velocity

    def _remember(self, state: State, imagined: Imagination, latents: Tensor, way: Tensor,
                  render: bool = True) -> Imagination:
        """Keep an imagined future (n, F, T, C) and the tool's way (n, F, WAY_DIM), to be surprised
        by what then happens; draw it if wanted."""
        o = state.observation
        state.memory["imagined"] = (o.stamp, imagined.times, latents, way)
        imagined.frames = self._draw(o, latents, way) if render else None
        return imagined

    def _times(self) -> np.ndarray:
        return np.asarray(self.config.frame_steps) * self.spec.dt

    def _frames(self) -> tuple[int, int, int]:
        c = self.config
        return len(c.frame_steps), c.latent_tokens, c.latent_channels

    def _noise(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self.device)

    def _encode(self, o: Observation, chunks: ActionChunks) -> Tensor:
        return self.codec.encode(self._tensor(chunks.position), self._tensor(chunks.quaternion),
                                 self._tensor(chunks.gripper), *self._tcp(o, len(chunks)))

    def _way(self, o: Observation, actions: Tensor) -> Tensor:
        """(n, F, WAY_DIM): where chunks (n, H, 7) take the tool in the scene image."""
        n, tcp = len(actions), self._tcp(o, len(actions))
        frames = [k - 1 for k in self.config.frame_steps]
        K, position, quaternion = (self._tensor(x).expand(n, *x.shape) for x in (
            o.scene_K, o.scene_position, o.scene_quaternion))
        tool, turned, width = self.codec.decode(actions, *tcp)
        return tool_way(K, position, quaternion, self.config.image_size, tcp,
                        (tool[:, frames], turned[:, frames], width[:, frames]))

    def _decode(self, o: Observation, context: Context, text: Tensor, x: Tensor) -> ActionChunks:
        """Normalised chunks (n, H, 7), with what they are expected to lead to."""
        position, quaternion, gripper = self.codec.decode(x, *self._tcp(o, len(x)))
        success, progress = self._outcome(o, context, text, x)
        spread = (position - position.mean(0)).norm(dim=-1).mean(1)  # 0 for one
        return ActionChunks(_numpy(position), _numpy(quaternion), _numpy(gripper), self.spec.dt,
                            success, progress, _numpy(spread))

    def _outcome(self, o: Observation, context: Context, text: Tensor,
                 x: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """(n,) success and progress at the end of chunks (n, H, 7); NaN without words: no task."""
        n = len(x)
        if not text.any():
            return np.full(n, np.nan, np.float32), np.full(n, np.nan, np.float32)
        value = self.network(context, text, x, torch.zeros(n, device=self.device)).value.float()
        progress = value[:, 1].clamp(0, 1)
        success = value[:, 0].sigmoid() * progress  # it goes well, and this is its end
        if self.calibration is not None:
            slope, offset = self.calibration
            success = (slope * success.clamp(1e-4, 1 - 1e-4).logit() + offset).sigmoid()
        # a chunk that changes nothing ends as things stand now
        position, _, gripper = self.codec.decode(x, *self._tcp(o, n))
        rests = self._rests(o, position, gripper)
        now = context.now.float()  # bfloat16 has nothing between 0.996 and 1
        success = torch.where(rests, now[:, 0].sigmoid(), success)
        progress = torch.where(rests, now[:, 1].clamp(0, 1), progress)
        return _numpy(success), _numpy(progress)

    def rests(self, state: State, chunks: ActionChunks) -> np.ndarray:
        """(n,) whether a chunk moves neither tool nor fingers."""
        return self._rests(state.observation, self._tensor(chunks.position),
                           self._tensor(chunks.gripper)).cpu().numpy()

    def _rests(self, o: Observation, position: Tensor, gripper: Tensor) -> Tensor:
        tcp = self._tensor(o.tcp_position)
        return (((position - tcp).norm(dim=-1).amax(1) < REST)
                & ((gripper - o.gripper).abs().amax(1) < REST))

    def _context(self, state: State, instruction: str,
                 task_free: bool = False) -> tuple[Context, Tensor]:
        """What is seen under an instruction, and its embedding (1, TEXT_DIM), zero where it is
        empty and ``task_free`` allows that."""
        words = (torch.zeros(TEXT_DIM) if task_free and not normalise(instruction)
                 else self.text.understand(instruction))[None].to(self.device)
        key = f"context of {instruction}"
        if key not in state.memory:
            o = state.observation
            inputs = prepare_inputs(*(self._tensor(x)[None] for x in (
                o.scene_rgb, o.wrist_rgb, o.scene_depth, o.scene_K, o.scene_position,
                o.scene_quaternion, o.tcp_position, o.tcp_quaternion, np.asarray(o.gripper),
                o.wrench)))
            state.memory[key] = self.network.observe(*inputs, words)
        return state.memory[key], words

    def _present(self, o: Observation) -> Tensor:
        """(1, T, C) latents of the scene image."""
        if o.latent is not None and o.latent.shape == (self.config.latent_tokens,
                                                       self.config.latent_channels):
            return self._tensor(o.latent)[None]
        if self._encoded is None or not np.array_equal(self._encoded[0], o.scene_rgb):
            latents = self.tokeniser.encode(to_unit(self._tensor(o.scene_rgb)[None]))
            self._encoded = o.scene_rgb.copy(), latents
        return self._encoded[1]

    def _draw(self, o: Observation, latents: Tensor, way: Tensor | None = None) -> np.ndarray:
        """(n, F, T, C) -> (n, F, H, W, 3) uint8: the present image with what will have changed,
        the tool going its way (n, F, WAY_DIM), where that is known."""
        flat = latents.flatten(0, 1)
        image = to_unit(self._tensor(o.scene_rgb)[None]).expand(len(flat), -1, -1, -1)
        present = self._present(o).expand(len(flat), -1, -1)
        way = latents.new_zeros(*latents.shape[:2], WAY_DIM) if way is None else way
        drawn = self.renderer(flat, present, image, self.tokeniser.decode(flat),
                              way.flatten(0, 1), self._places(o).expand(len(flat), -1, -1, -1))
        return to_uint8(drawn).unflatten(0, latents.shape[:2]).cpu().numpy()

    def _places(self, o: Observation) -> Tensor:
        """(1, PLACE_DIM, H, W) of what the scene image shows."""
        depth, K, camera, turned, tool = (self._tensor(x)[None] for x in (
            o.scene_depth, o.scene_K, o.scene_position, o.scene_quaternion, o.tcp_position))
        return places(point_map(depth, K, camera, turned, tool), tool[:, 2])

    def _tcp(self, o: Observation, n: int) -> tuple[Tensor, Tensor]:
        return (self._tensor(o.tcp_position).expand(n, -1),
                self._tensor(o.tcp_quaternion).expand(n, -1))

    def _tensor(self, x: np.ndarray) -> Tensor:
        x = np.asarray(x)
        return torch.from_numpy(x if x.dtype == np.uint8 else x.astype(np.float32)).to(self.device)

    def _check(self, o: Observation) -> None:
        check(o, self.config.image_size, {
            "joint positions": o.q, "tool pose": o.tcp_position, "gripper width": o.gripper})
        check_geometry(o, self.config.image_size)


def read_back(network: VideoNetwork | ExportedNetwork, context: Context, text: Tensor,
              video: Tensor, present: Tensor) -> Tensor:
    """Normalised chunks (n, H, 7) that lead to frames (n, F, T, C): inverse dynamics in one step.

    From no noise at the highest level, the flow's velocity is minus the mean of what it expects.
    """
    n = len(video)
    nothing = video.new_zeros(n, network.config.horizon, ACTION_DIM)
    level = video.new_zeros(n)
    return -network(context, text, nothing, level + 1, video, level,
                    present.expand(n, -1, -1)).action


def foresee(network: VideoNetwork | ExportedNetwork, context: Context, text: Tensor,
            actions: Tensor, present: Tensor, way: Tensor) -> Tensor:
    """(n, F, T, C) the mean of what is seen under given actions (n, H, 7), in one step."""
    given = actions.new_zeros(len(actions))
    nothing = torch.zeros_like(present[:, None]).expand(-1, way.shape[1], -1, -1)
    out = network(context, text, actions, given, nothing, given + 1, present, way).video
    assert out is not None
    return -out


def _checked(backend: str, precision: str, device: str) -> str:
    """The resolved precision. :raises UserError: if the backend cannot give it"""
    if backend not in BACKENDS:
        raise UserError(f"There is no backend {backend!r}; choose from {', '.join(BACKENDS)}.")
    if backend == "onnx" and not _suits_onnx(precision, device):
        raise UserError("The backend onnx computes in fp32 on the CPU; choose the backend torch "
                        "for another precision or device.")
    return "fp32" if backend == "onnx" else resolve(precision, device)


def _suits_onnx(precision: str, device: str) -> bool:
    return precision in ("auto", "fp32") and torch.device(device).type == "cpu"


def load_tokeniser(folder: Path, device: str = "cpu") -> Tokeniser:
    """Only the image tokeniser of a checkpoint, for nodes that encode but do not predict."""
    tokeniser = Tokeniser(VideoConfig.from_dict(checkpoint.read_config(folder)["network"]))
    checkpoint.load_weights(tokeniser, Path(folder) / "tokeniser.safetensors")
    return tokeniser.to(device).eval()


def _numpy(x: Tensor) -> np.ndarray:
    return x.float().cpu().numpy()
