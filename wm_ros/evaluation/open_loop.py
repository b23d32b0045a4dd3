# SPDX-License-Identifier: Apache-2.0
"""Open loop: what the model foresees of an expert's episode, against what then was seen.

World-model mode is scored on frames (PSNR, also of the pixels that change alone; SSIM, GMSD),
with the task's words and without any, beside *copying the present frame*, and on whether other
actions make the right difference;
inverse dynamics and policy are scored on actions, beside *staying where one is*.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import prewitt
from skimage.metrics import structural_similarity

from wm_ros.evaluation import counterfactual
from wm_ros.evaluation.psnr import psnr
from wm_ros.evaluation.recorded import Recorded, record
from wm_ros.sim.env import TaskEnv
from wm_ros.world_model.interface import new_room
from wm_ros.world_model.video.model import VideoWorldModel

LOOKS = 6  # moments of an episode that are scored
CHANGED = 25  # of 255, in any colour: from then on a pixel counts as changed


def score(model: VideoWorldModel, task: str, seed: int, split: str) -> list[dict[str, Any]]:
    """Let the expert do one episode, and score ``LOOKS`` moments of it."""
    new_room(model)
    env = TaskEnv(task, seed, split, image_size=model.spec.image_size)
    try:
        episode = record(env)
        last = len(episode.seen) - 1 - model.spec.horizon
        if last < 0:
            return []
        starts = np.unique(np.linspace(0, last, LOOKS).round().astype(int)).tolist()
        return [_moment(model, env, episode, t)
                | {"task": task, "seed": seed, "t": round(0.1 * t, 1)} for t in starts]
    finally:
        env.close()


def _moment(model: VideoWorldModel, env: TaskEnv, episode: Recorded, t: int) -> dict[str, Any]:
    """The scores of one start."""
    now, words, true = episode.seen[t], env.instruction, episode.chunk(t, model.spec)
    state = model.observe(now)
    free = model.imagine(model.observe(now), true, "").frames
    imagined = model.imagine(state, true, words)
    assert imagined.frames is not None and free is not None
    real = np.stack([episode.seen[t + k].scene_rgb for k in model.spec.frame_steps])
    frames = {}
    for time, image, wordless, truth in zip(imagined.times, imagined.frames[0], free[0], real,
                                            strict=True):
        changed = (np.abs(truth.astype(int) - now.scene_rgb) > CHANGED).any(-1)
        frames[f"{time:.1f}"] = {which: image_scores(x, truth, changed) for which, x in (
            ("imagined", image), ("task_free", wordless), ("copied", now.scene_rgb))}
    policy = model.act(model.observe(now), words)
    inverse = model.infer_actions(state, model.encode_frames(real)[None], words)
    stay = np.broadcast_to(now.tcp_position, true.position[0].shape)
    other = counterfactual.ask(model, env, now, episode.states[t],
                               episode.commands[max(0, t - 1)].width,
                               np.random.default_rng((t, *words.encode())))
    return {"frames": frames, "other": other, "action_mm": {
        name: 1e3 * float(np.linalg.norm(position - true.position[0], axis=1).mean())
        for name, position in (("inverse", inverse.position[0]), ("policy", policy.position[0]),
                               ("stay", stay))}}


def image_scores(image: np.ndarray, truth: np.ndarray, changed: np.ndarray) -> dict[str, float]:
    """Of two (H, W, 3) uint8 images: PSNR dB and SSIM (higher is better), GMSD (lower).

    :param changed: (H, W) pixels whose PSNR stands alone as ``changed``; NaN where there is none
    """
    return {"psnr": psnr(image, truth),
            "changed": psnr(image, truth, changed) if changed.any() else float("nan"),
            "ssim": float(structural_similarity(truth, image, channel_axis=2)),
            "gmsd": gmsd(truth, image)}


def gmsd(a: np.ndarray, b: np.ndarray, c: float = 170.0) -> float:
    """Gradient magnitude similarity deviation, a perceptual distance without learnt weights
    (Xue et al. 2014); 0 for equal images."""
    def gradients(image: np.ndarray) -> np.ndarray:
        grey = image.astype(np.float64).mean(2)
        small = (grey[::2, ::2] + grey[1::2, ::2] + grey[::2, 1::2] + grey[1::2, 1::2]) / 4
        return np.hypot(prewitt(small, 0), prewitt(small, 1)) / 3
    x, y = gradients(a), gradients(b)
    return float(((2 * x * y + c) / (x * x + y * y + c)).std())


def summarise(moments: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the moments, and how much better than copying (dB, with its deviation)."""
    if not moments:
        return {}
    out: dict[str, Any] = {"moments": len(moments), "horizons": {}}
    for horizon in moments[0]["frames"]:
        rows = [m["frames"][horizon] for m in moments]
        gain = [r["imagined"]["psnr"] - r["copied"]["psnr"] for r in rows]
        out["horizons"][horizon] = {
            which: {key: round(float(np.nanmean([r[which][key] for r in rows])), 4)
                    for key in ("psnr", "changed", "ssim", "gmsd")}
            for which in rows[0]}
        out["horizons"][horizon]["gain_db"] = [round(float(np.mean(gain)), 2),
                                               round(float(np.std(gain)), 2)]
    out["other"] = counterfactual.summarise([m["other"] for m in moments])
    out["action_mm"] = {name: round(float(np.mean([m["action_mm"][name] for m in moments])), 2)
                        for name in ("inverse", "policy", "stay")}
    return out
