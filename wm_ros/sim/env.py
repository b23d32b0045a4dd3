# SPDX-License-Identifier: Apache-2.0
"""A task in a simulated room, one control step of 0.1 s at a time. No ROS, no learning."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Pose, top_down
from wm_ros.robot import RobotConfig, load_robot
from wm_ros.sim.experts.moves import Action, Expert, down, yaw_of
from wm_ros.sim.randomize import randomize
from wm_ros.sim.rooms import load_room
from wm_ros.sim.schema import Scene
from wm_ros.sim.simulator import Simulator
from wm_ros.sim.tasks import Task, task_class
from wm_ros.sim.tasks.base import Judge

DT = 0.1  # s, one control step
START = np.array([0.42, 0.0, 0.28])  # m, middle of the start positions
START_SPREAD = np.array([0.12, 0.12, 0.07])
START_YAW = 0.4
WIDE = 0.03  # m of opening from which on fingers count as open
PAUSE = 15  # control steps without a new disturbance after one
TWIST = 1.2  # rad, the most that a disturbance turns an open hand
ARRIVED = 0.006  # m of a step across: the hand stands over where it was going
REACH = (np.array([0.15, -0.65, 0.004]), np.array([0.85, 0.65, 0.70]))  # where targets may be


@dataclass(frozen=True)
class Obs:
    """What the robot senses at one time; poses in the base frame, cameras' frames optical.

    scene_rgb, wrist_rgb (H, W, 3) uint8; scene_depth (H, W) m; scene_K (3, 3); q, dq (J,) of the
    arm's joints, rad, rad/s; gripper opening m; wrench (6,) N, N m that the environment exerts on
    the hand, in the hand's frame.
    """

    time: float
    scene_rgb: np.ndarray
    scene_depth: np.ndarray
    wrist_rgb: np.ndarray
    scene_K: np.ndarray
    scene_pose: Pose
    q: np.ndarray
    dq: np.ndarray
    tcp: Pose
    gripper: float
    wrench: np.ndarray


def make_scene(task: str, seed: int, split: str = "train") -> tuple[Task, Scene]:
    """Return the task and its randomised scene; the same seed gives the same of both.

    :raises UserError: when there is no such task.
    """
    made = task_class(task)(seed, split)
    return made, randomize(load_room(made.room), seed, split, made.requirements())


def start_posture(kinematics: Kinematics, rng: np.random.Generator) -> np.ndarray:
    """Return random joint angles (J,) from which an episode starts, the hand pointing down."""
    home = np.asarray(kinematics.robot.home, float)
    for _ in range(50):
        position = START + rng.uniform(-1, 1, 3) * START_SPREAD
        q = kinematics.ik(top_down(position, rng.uniform(-START_YAW, START_YAW)), home)
        if q is not None and float(np.abs(q - home).max()) < 1.2:
            return q
    return home


class Disturbance:
    """Pushes the executed action off the expert's, so that data shows how to come back.

    The recorded action stays the expert's (DART, arXiv 1703.09327). In an episode that is
    disturbed, every few seconds the hand drifts by 2 to 5 cm within a few steps; or open fingers
    close on nothing and the hand lifts as if it held something: the commonest mistake of those
    who learn to grasp. On most of its ways to a thing it arrives without the turn that the expert
    would have made meanwhile, and is then twisted up to three times: from afar the cameras do not
    tell how a thing lies, so a learner arrives like this, and an expert alone never does.
    """

    def __init__(self, rng: np.random.Generator, probability: float = 0.5) -> None:
        self.rng = rng
        self.active = bool(rng.random() < probability)
        self.left = 0
        self.pause = 0
        self.offset: np.ndarray = np.zeros(3)
        self.turn = 0.0
        self.kind = "drift"
        self.opened = self.unturned = False
        self.twists = 0  # still to come

    def __call__(self, action: Action, tcp: Pose) -> Action:
        """Return the action to execute instead of the expert's."""
        if not self.active:
            return action
        opened = action.width > WIDE
        if opened and not self.opened:
            self.unturned = bool(self.rng.random() < 0.7)
        self.opened = opened
        if self.left == 0:
            self.pause -= 1
            if self.pause <= 0 and self.rng.random() < 0.06:
                self._begin("slip" if opened and self.rng.random() < 0.5 else "drift", tcp)
        pose = action.pose
        if self.unturned and np.hypot(*(pose.position - tcp.position)[:2]) < ARRIVED:
            self.unturned, self.twists = False, int(self.rng.integers(0, 4))
        if self.left == 0 and self.twists and opened:
            self.twists -= 1
            self._begin("twist", tcp)
        if self.left == 0:
            return self._unturned(action, tcp)
        self.left -= 1
        if self.kind == "slip" and self.left > 3:  # closing takes a while; lift then
            return Action(pose, 0.0)
        if self.kind == "slip":
            return Action(Pose(tcp.position + 2 * self.offset, pose.quaternion), 0.0)
        yaw = yaw_of((tcp if self.kind == "twist" else pose).quaternion) + self.turn
        return self._unturned(Action(
            Pose(tcp.position + 0.3 * (pose.position - tcp.position) + self.offset, down(yaw)),
            action.width), tcp)

    def _unturned(self, action: Action, tcp: Pose) -> Action:
        if not (self.unturned and self.opened):
            return action
        return Action(Pose(action.pose.position, down(yaw_of(tcp.quaternion))), action.width)

    def _begin(self, kind: str, tcp: Pose) -> None:
        rng, self.kind, self.pause = self.rng, kind, PAUSE
        self.left, turn = int(rng.integers(3, 7)), rng.uniform(-0.25, 0.25)
        way = rng.normal(size=3)
        way *= rng.uniform(0.02, 0.05) / np.linalg.norm(way)
        way[2] = abs(way[2]) if tcp.position[2] < 0.12 else way[2]
        if kind == "slip":
            self.left = int(rng.integers(6, 12))
            way = np.array([0.0, 0.0, rng.uniform(0.0, 0.1)])
        elif kind == "twist":
            self.left = int(rng.integers(6, 12))
            # back towards the middle: wrists have an end
            turn = -np.copysign(rng.uniform(-0.3, TWIST), np.sin(yaw_of(tcp.quaternion)))
        self.offset, self.turn = way / self.left, turn / self.left


class TaskEnv:
    """One episode of a task.

    :param task: name of the task.
    :param seed: chooses scene, variant, start posture and words.
    :param split: ``"train"`` or ``"held_out"`` layouts, or ``"novel"``: new looks and words too.
    :param render: whether :meth:`observe` renders the cameras (else images are black).
    :raises UserError: when there is no such task.
    """

    def __init__(self, task: str, seed: int, split: str = "train", robot: str = "panda",
                 image_size: int = 96, render: bool = True) -> None:
        self.robot: RobotConfig = load_robot(robot)
        self.task, self.scene = make_scene(task, seed, split)
        self.rng = np.random.default_rng((seed, split != "train", 7))
        self.instruction = self.task.instruction(self.rng, held_out=split == "novel")
        self.render = render
        self.image_size = image_size
        self.kinematics = _kinematics(robot)
        self.sim = Simulator(self.scene, self.robot, image_size)
        self.sim.set_arm(start_posture(self.kinematics, self.rng))
        self.judge = Judge(self.task, self.sim)
        self._others: list[Judge] = []
        self.target = self.sim.q.copy()
        self.steps = 0

    def expert(self) -> Expert:
        """Return the task's expert for this episode."""
        return self.task.expert(self.sim, self.rng)

    def observe(self) -> Obs:
        """Return what the robot senses now."""
        sim, size = self.sim, self.image_size
        if self.render:
            scene, wrist = sim.render("scene", depth=True), sim.render("wrist")
            rgb, depth, wrist_rgb, k, pose = scene.rgb, scene.depth, wrist.rgb, scene.K, scene.pose
        else:
            rgb = wrist_rgb = np.zeros((size, size, 3), np.uint8)
            depth, k, pose = np.zeros((size, size), np.float32), np.eye(3), Pose.identity()
        assert depth is not None
        return Obs(sim.time, rgb, depth, wrist_rgb, k, pose, sim.q.copy(), sim.dq.copy(),
                   sim.tcp_pose(), float(sim.gripper_width), sim.wrench())

    def step(self, action: tuple[Pose, float]) -> None:
        """Move towards the action's pose for 0.1 s; joints stay within speed and range.

        An action that cannot be reached holds the arm where it is.
        """
        pose, width = action
        q = self.kinematics.ik(_limit(pose), self.target)
        start = self.target
        if q is not None and np.isfinite(q).all():
            most = float((np.abs(q - start) / (self.robot.velocity_limits * DT)).max())
            self.target = start + (q - start) / max(most, 1.0)
        self.sim.set_gripper_target(self.robot.gripper.clamp(float(width)))
        self.sim.set_arm_target(self.target, over=DT)
        self.sim.advance(DT)
        self.steps += 1
        for judge in (self.judge, *self._others):
            judge.update()

    def success(self) -> bool:
        """Whether the task is done and has stayed so for long enough."""
        return self.judge.succeeded

    def progress(self) -> float:
        """Return how far the task has come, 0 to 1."""
        return self.judge.progress()

    def watch_others(self) -> list[Judge]:
        """From now on judge too whether the same is done with another thing than was named."""
        self._others = [Judge(task, self.sim) for task in self.task.others(self.scene)]
        return self._others

    @property
    def max_steps(self) -> int:
        """Control steps that an episode may take."""
        return round(self.task.max_seconds / DT)

    def close(self) -> None:
        """Give back what the simulator holds."""
        self.sim.close()


_KINEMATICS: dict[str, Kinematics] = {}


def _kinematics(robot: str) -> Kinematics:
    if robot not in _KINEMATICS:
        _KINEMATICS[robot] = Kinematics(load_robot(robot))
    return _KINEMATICS[robot]


def _limit(pose: Pose) -> Pose:
    return Pose(np.clip(pose.position, *REACH), pose.quaternion)
