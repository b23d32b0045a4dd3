# SPDX-License-Identifier: Apache-2.0
"""What the hand did in episodes of which only images are known: read off them by a network that
learnt it from the others (inverse dynamics; Baker et al. 2022, VPT, arXiv 2206.11795).

Demonstrations that hold nothing but images are imitated then as others are. What they achieved
step by step stays unknown; that they end well is what makes them demonstrations.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import median_filter
from scipy.spatial.transform import Rotation
from torch import Tensor

from wm_ros.data.cache import EpisodeCache
from wm_ros.files import write_json
from wm_ros.progress import Progress
from wm_ros.training import parallel
from wm_ros.training.batches import GRIPPER, POSITION, QUATERNION, Sampler
from wm_ros.training.config import TrainingConfig
from wm_ros.training.fitting import Stage, fit
from wm_ros.training.precision import autocast
from wm_ros.training.reader import Reader, losses, read
from wm_ros.world_model.checkpoint import read_tensors, save_tensors
from wm_ros.world_model.video.inputs import GRIPPER_HALF, Inputs
from wm_ros.world_model.video.parts import POINT_SCALE

RATE = 2e-3
MIDDLE = np.array([0.5, 0.0, 0.2])  # m: where the proprioception counts from
AROUND = 5  # moments whose median counts for the fingers
CHANGE = 0.02  # m: fingers that are told less than this anew are told nothing
READ = "read.safetensors"


def blanked(cache: EpisodeCache, hidden: np.ndarray) -> EpisodeCache:
    """The cache without what is not to be known of the episodes ``hidden`` (E,): where the arm
    was, what it felt, what it was told, how far it came."""
    rows, arrays = hidden[cache.episode_index], dict(cache.arrays)
    for name in ("state", "action", "executed", "wrench", "progress"):
        arrays[name] = np.array(arrays[name])
        arrays[name][rows] = 0
    arrays["state"][rows, QUATERNION.stop - 1] = 1  # unturned
    for name in ("action", "executed"):
        arrays[name][rows, 6] = 1
    return replace(cache, arrays=arrays)


def filled(cache: EpisodeCache, hidden: np.ndarray, hands: np.ndarray) -> EpisodeCache:
    """The cache with what was read of the hand in the episodes ``hidden`` (E,).

    :param hands: (N, 9) of their N rows: tool position m, quaternion xyzw, opening of the fingers
        m, and the opening that they had been told before, m
    """
    arrays = {name: np.array(x) if name in ("state", "action", "executed") else x
              for name, x in cache.arrays.items()}
    rows = np.flatnonzero(hidden[cache.episode_index])
    at = np.full(len(cache), -1)
    at[rows] = np.arange(len(rows))
    told = np.concatenate([steady(hands[at[cache.rows_of(np.array([e]))], 8])
                           for e in np.flatnonzero(hidden)])
    following = at[cache.future(rows, 1)]
    arrays["state"][rows, GRIPPER] = hands[:, 7]
    arrays["state"][rows, POSITION] = hands[:, :3]
    arrays["state"][rows, QUATERNION] = hands[:, 3:7]
    # the arm is where it was told to be one row later
    done = np.concatenate([hands[following, :7], told[following, None]], 1)
    arrays["action"][rows] = arrays["executed"][rows] = done
    return replace(cache, arrays=arrays)


def steady(told: np.ndarray) -> np.ndarray:
    """(T,) openings as read, m -> the same in steps: fingers are told something now and then."""
    told = median_filter(told, AROUND, mode="nearest").clip(0, 2 * GRIPPER_HALF)
    out, now = np.empty_like(told), told[0]
    for row, width in enumerate(told):
        if abs(width - now) > CHANGE:  # where the change ends, not a value on the way
            now = float(np.median(told[row:row + AROUND]))
        out[row] = now
    return out


def hands(reader: Reader, sampler: Sampler, rows: np.ndarray,
          report: Callable[[int], None] = lambda done: None) -> np.ndarray:
    """What is read at ``rows``: (N, 9), see :func:`filled`."""
    parts = []
    for start in range(0, len(rows), 256):
        inputs = sampler.looks(rows[start:start + 256], augment=False).inputs
        with torch.inference_mode(), autocast(inputs.scene.device):
            hand = read(reader, inputs)
        place, rotation, fingers = (x.float().cpu().numpy() for x in hand[1:])
        columns = rotation.reshape(-1, 3, 2)
        third = np.cross(columns[..., 0], columns[..., 1])
        turn = Rotation.from_matrix(np.concatenate([columns, third[..., None]], 2))
        parts.append(np.concatenate([place * POINT_SCALE + MIDDLE, turn.as_quat(),
                                     (fingers + 1) * GRIPPER_HALF], 1, dtype=np.float32))
        report(start + len(parts[-1]))
    return np.concatenate(parts)


def train(reader: Reader, sampler: Sampler, settings: TrainingConfig, state: Path,
          device: torch.device, until: float) -> bool:
    """Fit the reader; see :func:`wm_ros.training.fitting.fit`."""
    def make(n: int) -> tuple[Inputs, Tensor, Tensor]:
        rows = sampler.draw(n)
        told, known = before(sampler.cache, rows)
        return (sampler.looks(rows).inputs, torch.from_numpy(told / GRIPPER_HALF - 1).to(device),
                torch.from_numpy(known).to(device))

    stage = Stage("reader", settings.reader_steps, settings.locator_batch, RATE, settings.seed)
    return fit(reader, stage, sampler, make,
               lambda made: losses(read(reader, made[0]), *made), state, device, until)


def before(cache: EpisodeCache, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B,) what the fingers had been told at the row before, m, and 1 where there is one."""
    known = cache.arrays["frame_index"][rows] > 0
    return cache.executed[rows - known, 7], known.astype(np.float32)


def miss(found: np.ndarray, cache: EpisodeCache, rows: np.ndarray) -> dict[str, float]:
    """How far what was read at ``rows`` is off: medians, and what 95 % stay under."""
    state, (told, known) = cache.state[rows], before(cache, rows)
    turn = Rotation.from_quat(found[:, 3:7]) * Rotation.from_quat(state[:, QUATERNION]).inv()
    off = {"mm": 1000 * np.linalg.norm(found[:, :3] - state[:, POSITION], axis=1),
           "degrees": np.degrees(turn.magnitude()),
           "fingers_mm": 1000 * np.abs(found[:, 7] - state[:, GRIPPER]),
           "told_mm": 1000 * np.abs(found[:, 8] - told)[known > 0]}
    return {f"{name}_{q}": float(np.quantile(each, q / 100))
            for name, each in off.items() for q in (50, 95)}


def read_off(sampler: Sampler, hidden: np.ndarray, held_back: np.ndarray,
             settings: TrainingConfig, out: Path, device: torch.device,
             until: float) -> EpisodeCache | None:
    """Learn to read the hand, and put what is read into the episodes ``hidden`` (E,).

    How far it is off at the rows ``held_back`` is told in ``out``. None where the time is over
    before.

    :param sampler: of rows to learn from; its cache is ``blanked``
    """
    blank = sampler.cache
    if not (out / READ).exists():
        reader = Reader(sampler.config.locator, sampler.config.image_size).to(device)
        parallel.alike(reader)
        if not train(reader, sampler, settings, out / "reader.safetensors", device, until):
            return None
        reader.eval()
        if parallel.rank() == 0:
            off = miss(hands(reader, sampler, held_back), blank, held_back)
            write_json(out / "reader.json", off)
            print(f"reader: {off['mm_50']:.1f} mm, {off['degrees_50']:.1f} degrees off (median)")
            unread = np.flatnonzero(hidden[blank.episode_index])
            with Progress("read", len(unread), unit="frames") as bar:
                found = hands(reader, sampler, unread, bar.update)
            save_tensors({"hands": torch.from_numpy(found)}, out / READ)
        parallel.barrier()
    return filled(blank, hidden, read_tensors(out / READ)["hands"].numpy())
