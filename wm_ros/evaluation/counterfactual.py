# SPDX-License-Identifier: Apache-2.0
"""Other actions, other futures: from one moment the hand goes one way or the opposite one, in the
simulator and in the imagination, and each imagined future should resemble its own way's."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wm_ros.errors import UserError
from wm_ros.evaluation.closed_loop import commanded, to_observation
from wm_ros.motion.pose import Pose
from wm_ros.sim.env import TaskEnv
from wm_ros.sim.experts.moves import Action
from wm_ros.world_model.interface import ActionChunks, ModelSpec, Observation, WorldModel

SPEED = 0.125  # m/s, of either way
MOVED = 0.03  # m between a thing's two futures from which on it counts as moved by the hand


class Future(NamedTuple):
    """What is seen at the first imagined time.

    :param bodies: (H, W) number of the body that each pixel shows;  ``things`` by name, (3,) m
    """

    image: np.ndarray
    bodies: np.ndarray
    things: dict[str, np.ndarray]


def ask(model: WorldModel, env: TaskEnv, now: Observation, state: np.ndarray, width: float,
        rng: np.random.Generator) -> dict[str, list[bool]]:
    """Whether each of two imagined futures resembles its own way's more than the other way's.

    :param state: of the simulator when ``now`` was seen;  ``width`` m, commanded to the fingers
    :returns: ``image``, over what differs between the two ways; ``things``, over the pixels of
        things that the hand moved differently (empty where there is none)
    """
    way = level(rng.uniform(0, 2 * np.pi))
    frames, futures = go(model, env, now, state, width, [way, -way])
    differ = (futures[0].image != futures[1].image).any(-1)
    return {"image": _told(frames, futures, differ),
            "things": _told(frames, futures, _moved(env, futures))}


def level(angle: float) -> np.ndarray:
    """(3,) level way at an angle (rad) from straight ahead to the left."""
    return np.array([np.cos(angle), np.sin(angle), 0.0])


def go(model: WorldModel, env: TaskEnv, now: Observation, state: np.ndarray, width: float,
       ways: list[np.ndarray]) -> tuple[np.ndarray, list[Future]]:
    """Each way imagined and done: frames (n, H, W, 3) at the first imagined time, and what was
    seen then.

    :raises UserError: if the model draws nothing
    """
    done = [straight(now, way, width, model.spec) for way in ways]
    each = [commanded(actions, model.spec.dt) for actions in done]
    arrays = {name: np.concatenate([getattr(chunk, name) for chunk in each])
              for name in ("position", "quaternion", "gripper", "success", "progress",
                           "uncertainty")}
    frames = model.imagine(model.observe(now), ActionChunks(dt=model.spec.dt, **arrays),
                           env.instruction).frames
    if frames is None:
        raise UserError(f"The family {model.spec.family} imagines no frames: choose video.")
    ahead = model.spec.frame_steps[0]
    return frames[:, 0], [follow(env, state, actions[:ahead]) for actions in done]


def straight(now: Observation, way: np.ndarray, width: float, spec: ModelSpec) -> list[Action]:
    """The hand goes along ``way`` (3,) as it is, its fingers commanded as they are."""
    return [Action(Pose(now.tcp_position + way * SPEED * spec.dt * (k + 1), now.tcp_quaternion),
                   width) for k in range(spec.horizon)]


def follow(env: TaskEnv, state: np.ndarray, actions: list[Action]) -> Future:
    """Do the actions from ``state`` on."""
    env.sim.set_state(state)
    env.target = env.sim.q.copy()
    for action in actions:
        env.step((action.pose, action.width))
    return Future(to_observation(env.observe()).scene_rgb,
                  env.sim.visible_bodies("scene", env.sim.image_size),
                  {o.name: env.sim.object_pose(o.name).position for o in env.scene.objects})


def _moved(env: TaskEnv, futures: list[Future]) -> np.ndarray:
    """(H, W) whether either future shows a thing there that the ways moved apart."""
    a, b = futures
    numbers = [env.sim.model.body(name).id for name in a.things
               if np.linalg.norm(a.things[name] - b.things[name]) > MOVED]
    return np.isin(a.bodies, numbers) | np.isin(b.bodies, numbers)


def _told(imagined: np.ndarray, futures: list[Future], where: np.ndarray) -> list[bool]:
    """Of (2, H, W, 3) frames; empty where there is nothing to tell."""
    if not where.any():
        return []
    error = [[np.square(frame[where].astype(float) - future.image[where]).mean()
              for future in futures] for frame in imagined]
    return [bool(error[0][0] < error[0][1]), bool(error[1][1] < error[1][0])]


def summarise(answers: list[dict[str, list[bool]]]) -> dict[str, list[int]]:
    """By kind: how many were right, of how many."""
    return {kind: [sum(sum(a[kind]) for a in answers), sum(len(a[kind]) for a in answers)]
            for kind in ("image", "things")}
