# SPDX-License-Identifier: Apache-2.0
"""The scene3d family behind the common interface: it sees in 3D and foresees by physics."""
from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wm_ros.errors import UserError
from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Array, Pose
from wm_ros.robot import RobotConfig, load_robot
from wm_ros.sim.schema import Camera
from wm_ros.world_model.checkpoint import read_config
from wm_ros.world_model.checks import check_chunks, check_finite, check_geometry, check_image
from wm_ros.world_model.interface import (
    ActionChunks,
    Imagination,
    ModelSpec,
    Observation,
    State,
    new_room,
)
from wm_ros.world_model.scene3d import perceived
from wm_ros.world_model.scene3d.imagery import Imagery, Picture
from wm_ros.world_model.scene3d.mapper import Mapper
from wm_ros.world_model.scene3d.perceived import PerceivedScene
from wm_ros.world_model.scene3d.surface import LEAST_WEIGHT
from wm_ros.world_model.scene3d.surprise import in_hand, lost, unexplained
from wm_ros.world_model.scene3d.tsdf import Volume
from wm_ros.world_model.scene3d.twin import SQUEEZE, Futures, Twin
from wm_ros.world_model.scene3d.view import View

SEEN_ONCE = 0.1  # weight after one good look, which has to do where there is no scan
LIMIT = 10.0  # differing pixels of a 96 x 96 picture that are one unit of surprise
LATE = 0.25  # s
SHUT = 0.004  # m, opening of fingers that hold nothing
RELEASED = 0.003  # m by which fingers open that let go


class _Foretold(NamedTuple):
    """The future of the first chunk, and what is needed to be surprised by what then happens."""

    stamp: float  # s, when it begins
    times: NDArray[np.floating]  # s after it, of the pictures
    pictures: list[Picture]
    passed: list[Array]  # (N, 3) m each: where the tool, and what it moves, have been by then
    opening: float  # m, of the fingers when it begins
    carried: Array  # (N, 3) m, tool frame, see :meth:`Scene3DWorldModel._carried`


class Scene3DWorldModel:
    """A map, what stands in it, and a twin that foresees.

    :param folder: a scan's folder (``wm scan``), or a checkpoint without a map, which starts
        with what it sees
    :param proposer: name or folder of a model that proposes chunks; scene3d has no policy
    :param threads: for the twin's rollouts
    :param robot: the one that runs; None: the one that the checkpoint names
    :param seed: of the proposer's noise
    """

    def __init__(self, folder: Path, device: str = "cpu", proposer: str | None = None,
                 threads: int = 2, robot: RobotConfig | None = None, seed: int = 0):
        config = read_config(folder)
        self.folder, self.card = Path(folder), config
        self.spec = ModelSpec(family="scene3d", image_size=int(config.get("image_size", 96)))
        self.robot = robot or load_robot(str(config.get("robot", "panda")))
        self.threads = threads
        self.mapper = self._new_map()
        self._scanned = self.mapper.scene is not None
        self._kinematics = Kinematics(self.robot)
        self._proposer: Any = None
        if proposer is not None:
            from wm_ros.world_model.loading import load_model, takes

            own: dict[str, Any] = {"robot": robot, "seed": seed}
            self._proposer = load_model(proposer, device, **{
                key: value for key, value in own.items() if takes(proposer, key)})

    def forget(self) -> None:
        """Back to the map as loaded: the next look may be of another room."""
        self.mapper.close()
        self.mapper = self._new_map()
        if self._proposer is not None:
            new_room(self._proposer)

    def _new_map(self) -> Mapper:
        config, volume = self.card, None
        if config.get("map"):
            volume = Volume.load(self.folder / str(config["map"]))
        mapper = Mapper(self.robot, volume=volume, wrist=_wrist(config))
        if config.get("scene"):
            mapper.scene = perceived.load(self.folder / str(config["scene"]))
        return mapper

    # -- the four calls ------------------------------------------------------------------------
    def observe(self, observation: Observation, state: State | None = None) -> State:
        """Fuses the scene camera's RGB-D and finds the things again.

        :raises UserError: if depth is missing, or numbers or sizes are wrong
        """
        self._check(observation)
        view = _view(observation)
        self.mapper.fuse(view, observation.q, observation.gripper, forget=True)
        first = self.mapper.scene is None
        scene = self.mapper.perceive(
            furniture=first or not self._scanned,
            least_weight=LEAST_WEIGHT if self._scanned else SEEN_ONCE)
        memory = {} if state is None else {k: v for k, v in state.memory.items()
                                           if k == "imagined"}
        return State(observation, {**memory, "scene": scene})

    def act(self, state: State, instruction: str, n: int = 1) -> ActionChunks:
        """What the proposer proposes. :raises UserError: if there is none"""
        if self._proposer is None:
            raise UserError("scene3d foresees but has no policy: load it with proposer=\"video\" "
                            "(nodes: the parameter proposer of imagination), or hand chunks to "
                            "imagine.")
        chunks: ActionChunks = self._proposer.act(
            self._proposer.observe(state.observation), instruction, n)
        return chunks

    def imagine(self, state: State, chunks: ActionChunks, instruction: str = "",
                render: bool = True) -> Imagination:
        """Rolls the chunks out in the twin.

        latents are the poses (n, F, T, 7) of the ``T`` things of ``state.memory["scene"]``;
        predicted success is the chunks' own, less where the arm would touch furniture or cannot
        follow.
        """
        check_chunks(chunks)
        if chunks.position.shape[1] < min(self.spec.frame_steps):
            raise UserError(f"The chunks have {chunks.position.shape[1]} steps; the first frame "
                            f"is imagined after {min(self.spec.frame_steps)}.")
        o = state.observation
        scene: PerceivedScene = state.memory["scene"]
        twin = Twin(scene, self.robot, o.q, o.gripper, self._kinematics, self.threads)
        try:
            futures = twin.roll(chunks.position, chunks.quaternion, chunks.gripper, chunks.dt)
            idle = twin.idle(chunks.position.shape[1], chunks.dt)
            resting = np.stack([twin.poses(state) for state in idle])
            steps = [s for s in self.spec.frame_steps if s <= chunks.position.shape[1]]
            drawer = Imagery(twin, self.mapper.volume, self._masked(o))
            drawn = len(chunks) if render else 1
            pictures = [[drawer.draw(futures.states[i, s], idle[s]) for s in steps]
                        for i in range(drawn)]
        finally:
            twin.close()
        times = np.asarray(steps) * chunks.dt
        frames = np.stack([[p.rgb for p in row] for row in pictures]) if render else None
        tool = np.concatenate([o.tcp_position[None], chunks.position[0]])
        passed = [np.concatenate([tool[:s + 1], futures.moved(0, s, resting)]) for s in steps]
        state.memory["imagined"] = _Foretold(
            o.stamp, times, pictures[0], passed, o.gripper,
            self._carried(o, drawer.present, scene.height))
        return Imagination(frames, times, futures.poses[:, steps].astype(np.float32),
                           _judged(chunks.success, futures), chunks.progress, chunks.uncertainty)

    def surprise(self, state: State, observation: Observation) -> float:
        """How much of the measured depth differs from the foretold one away from the hand, or
        shows that what the hand carried is gone; 1 is the limit. Colours and light play no part.

        0 where nothing was imagined for about this moment.

        :raises UserError: as :meth:`observe`
        """
        if "imagined" not in state.memory:
            return 0.0
        future: _Foretold = state.memory["imagined"]
        late = np.abs(future.times - (observation.stamp - future.stamp))
        if not len(late) or late.min() > LATE:
            return 0.0
        self._check(observation)
        nearest = int(late.argmin())
        told, seen = future.pictures[nearest], self._masked(observation)
        way = np.concatenate([future.passed[nearest], observation.tcp_position[None]])
        pixels = unexplained(told, seen, way)
        if observation.gripper < future.opening + RELEASED:
            tool = Pose.of(observation.tcp_position, observation.tcp_quaternion)
            pixels += max(lost(tool.apply(future.carried), seen),
                          lost(seen.surface(told.depth, told.held & ~told.robot), seen))
        return pixels * (96 / observation.scene_depth.shape[0]) ** 2 / LIMIT

    # -- inside ------------------------------------------------------------------------------
    def _masked(self, o: Observation) -> View:
        return self.mapper.masked(_view(o), o.q, o.gripper)

    def _carried(self, o: Observation, view: View, table: float) -> Array:
        """(N, 3) m, tool frame: what is seen in a hand that is neither open nor shut.

        :param view: of ``o``, the arm's own pixels marked;  ``table`` its height, m
        """
        if not SHUT < o.gripper < self.robot.gripper.open_width - SQUEEZE:
            return np.empty((0, 3))
        return in_hand(view, Pose.of(o.tcp_position, o.tcp_quaternion), o.gripper, table)

    def _check(self, o: Observation) -> None:
        if len(o.q) != self.robot.dof:
            raise UserError(f"The observation tells of {len(o.q)} joints, but scene3d was loaded "
                            f"for the {self.robot.name}, which has {self.robot.dof}: load it with "
                            "the robot that runs.")
        check_finite({"joint positions": o.q, "tool pose": o.tcp_position,
                      "gripper width": o.gripper})
        check_image("scene", o.scene_rgb, self.spec.image_size)
        check_geometry(o, self.spec.image_size)

    def close(self) -> None:
        """Frees the renderer's buffers."""
        self.mapper.close()


def _wrist(config: dict[str, Any]) -> Camera | None:
    """The camera on the hand, as the checkpoint describes it."""
    data = config.get("wrist")
    if not data:
        return None
    x, y, z = (float(v) for v in data["position"])
    a, b, c, d = (float(v) for v in data["quaternion"])
    return Camera("wrist", (x, y, z), (a, b, c, d), float(data["fovy"]), True)


def _view(o: Observation) -> View:
    return View(o.scene_rgb, o.scene_depth, np.asarray(o.scene_K, float),
                Pose.of(o.scene_position, o.scene_quaternion))


def _judged(success: NDArray[np.floating], futures: Futures) -> NDArray[np.floating]:
    """The chunks' own success, where unknown 1, times what physics leaves of it."""
    own = np.nan_to_num(np.asarray(success, float), nan=1.0)
    steps = futures.states.shape[1] - 1
    return np.asarray(own * futures.reached * (1 - futures.touched / (steps + 1)))
