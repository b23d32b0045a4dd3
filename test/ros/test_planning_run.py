# SPDX-License-Identifier: Apache-2.0
"""What the planning node makes of good chunks, without ROS: late images, trims, grips, rests.

A perfect model (the task's expert, rolled out from the state of the image) stands in for the
world model; time is the simulator's, so every run is the same.
"""
from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from action_msgs.msg import GoalStatus

from wm_ros import moveit_config
from wm_ros.bridge import chunks, furniture, joints, moveit
from wm_ros.errors import UserError
from wm_ros.motion.errors import ErrorCode
from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.plan import Request
from wm_ros.motion.planner import Planner
from wm_ros.motion.pose import Pose
from wm_ros.motion.trajectory import make_path
from wm_ros.nodes.clients import SUCCEEDED, StopFlag, Stopped
from wm_ros.nodes.planning_run import Run, Segment, Settings, _whole
from wm_ros.robot import load_robot
from wm_ros.sim.controllers import ArmController, GripperController, Outcome, Tolerances
from wm_ros.sim.env import TaskEnv
from wm_ros.sim.tasks import TASKS

EXECUTION = moveit_config.controllers(load_robot())["trajectory_execution"]
DT = 0.01
FRAME = 0.1  # s between images
THINKING = 0.12  # s from an image to its chunk
SETTINGS = Settings(
    time_limit=40.0, candidates=1, dry_run=False, horizon=8, lead=0.14, retries=4,
    margin_fraction=0.03, back_off=0.02, max_excess=0.05, gripper_change=0.006,
    success_threshold=0.7, progress_threshold=0.8,
    still_path=0.015,
    still_count=4, follow_timing=True, bounds=np.array([[0.1, 0.9], [-0.75, 0.75], [-0.02, 0.9]]),
    max_pose_step=0.08, max_jump=0.12, max_age=0.6)


class SimulatedBody:
    """The robot, the planner and the perfect model, all in simulated time."""

    def __init__(self, task: str, seed: int) -> None:
        self.env = TaskEnv(task, seed, "held_out", render=False)
        self.other = TaskEnv(task, seed, "held_out", render=False)  # where futures are rolled out
        self.sim, self.robot = self.env.sim, self.env.robot
        self.kinematics = Kinematics(self.robot)
        self.planner = Planner(self.robot, 0.008)
        scene = furniture.from_scene(self.env.scene, self.robot.base_link, 0.003)
        for item in scene.world.collision_objects:
            self.planner.add_object(moveit.from_object(item, lambda _: Pose.identity()))
        self.arm = ArmController(self.robot, self.sim.q)
        self.gripper = GripperController(self.robot, self.sim.gripper_width, 0.003, 0.0015, 0.15)
        self.width = float(self.sim.gripper_width)
        self.stop = SimulatedStop(self)
        self.arm_outcome: Outcome | None = None
        self.grip_ended = False
        self.rests: list[float] = []
        self.rested = 0.0
        self.done_at: float | None = None
        self.touches = 0

    def step(self) -> None:
        now = float(self.sim.time)
        self.sim.set_arm_target(self.arm.sample(now + DT))
        self.sim.set_gripper_target(self.gripper.sample(DT), self.gripper.effort)
        self.sim.advance(DT)
        self.arm_outcome = self.arm.judge(now + DT, self.sim.q) or self.arm_outcome
        width = float(self.sim.gripper_width)
        self.grip_ended |= self.gripper.judge(width, DT) is not None
        self.touches += int(self.sim.robot_furniture_contacts())
        if round(now / DT) % 10 == 0 and self.env.judge.update() and self.done_at is None:
            self.done_at = now

    def until(self, moment: float) -> None:
        while self.sim.time < moment - 1e-9:
            self.step()

    def now(self) -> float:
        return 1000.0 + float(self.sim.time)

    def propose(self, _words: str, _count: int, newer_than: float,
                _stop: Any) -> list[chunks.Chunk]:
        """A chunk of what the expert would do from the next image on, after thinking."""
        first = max(newer_than - 1000.0, float(self.sim.time) - FRAME)
        self.until(np.ceil(first / FRAME - 1e-6) * FRAME)
        seen = float(self.sim.time)
        self.other.sim.set_state(self.sim.state())
        self.other.target = self.sim.q.copy()
        expert = self.other.expert()
        way, widths = [], []
        for _ in range(16):
            action = expert.act()
            way.append(action[0])
            widths.append(float(action[1]))
            self.other.step(action)
        self.until(seen + THINKING)
        return [chunks.Chunk(f"{seen:.2f}", 1000.0 + seen + FRAME, 1000.0 + seen, FRAME, way,
                             np.array(widths), 0.6, 0.9, 0.0)]

    def plan(self, start: np.ndarray, waypoints: list[Pose], _stop: Any,
             check: bool = True) -> tuple[joints.JointPath | None, float, str]:
        plan = self.planner.plan_cartesian(start, waypoints, check, 0.02, Request(0.9, 0.9))
        self.until(self.sim.time + 0.02)
        t = plan.trajectory
        if not len(t):
            return None, 0.0, f"not planned: {plan.error_code}"
        return joints.JointPath(self.robot.arm_joints, t.times, t.positions, t.velocities,
                                t.accelerations), plan.fraction, f"{plan.error_code}"

    def execute(self, path: joints.JointPath, _stop: Any) -> Any:
        self.until(self.sim.time + 0.02)
        if self.rested:
            self.rests.append(float(self.sim.time) - self.rested)
        self.arm_outcome = None
        made = make_path(path.times, path.positions, path.velocities, self.arm.command)
        self.arm.start(made, Tolerances(np.full(7, 0.1), np.full(7, 0.02), 1.0), self.sim.time)
        return SimulatedGoal(self)

    def grip(self, width: float, _stop: Any) -> None:
        self.gripper.start(width, 0.0)
        self.grip_ended = False
        limit = self.sim.time + 3.0
        while not self.grip_ended:
            self.step()
            if self.sim.time > limit:
                raise UserError("The gripper did not finish in time.")
        self.rested = 0.0

    def joints_now(self) -> np.ndarray:
        return np.array(self.arm.command)

    def heard(self) -> float:
        return float(self.sim.time)

    def tool(self, q: np.ndarray) -> Pose:
        return self.kinematics.fk(q)

    def width_now(self) -> float:
        return float(self.sim.gripper_width)

    def trace(self, _entry: dict) -> None:
        """Nobody looks."""


class SimulatedStop(StopFlag):
    """Waiting lets simulated time pass; a task that is done for long enough ends the run."""

    def __init__(self, body: SimulatedBody) -> None:
        super().__init__()
        self.body = body

    def sleep(self, seconds: float) -> None:
        self.body.until(self.body.sim.time + max(seconds, DT))

    def check(self) -> None:
        done = self.body.done_at
        if done is not None and self.body.sim.time - done > 1.0:
            self.set("done")
        super().check()


class SimulatedGoal:
    """A running path."""

    def __init__(self, body: SimulatedBody) -> None:
        self.body = body

    def result(self, _stop: Any, timeout: float, late: str, _now: Any) -> tuple[int, Any]:
        body = self.body
        limit = body.sim.time + timeout
        while body.arm_outcome is None:
            body.step()
            if body.sim.time > limit:
                raise UserError(late)
        body.until(body.sim.time + 0.015)
        body.rested = float(body.sim.time)

        class Code:
            val = int(ErrorCode.SUCCESS if body.arm_outcome is Outcome.DONE
                      else ErrorCode.CONTROL_FAILED)
            message = str(body.arm_outcome)

        class Result:
            error_code = Code
        return 4, Result


def perform(task: str, seed: int) -> tuple[SimulatedBody, str]:
    """Let the perfect model do a task; the body and how the run ended."""
    body = SimulatedBody(task, seed)
    run = Run(body, SETTINGS, task, body.stop, lambda _: None)
    try:
        return body, run.execute()
    except (UserError, Stopped) as error:
        return body, str(error)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_good_chunks_do_the_task_although_they_come_late(task: str) -> None:
    body, ended = perform(task, 100)
    assert body.done_at is not None, ended
    assert ended == "done" or ended.startswith("Done")
    assert body.touches == 0
    assert max(body.rests, default=0.0) < 0.15
    assert (np.abs(body.arm.peak) <= body.robot.acceleration_limits * 1.01).all()


class TwoWays:
    """A body in front of an obstacle on the left; of each way it says how much is free."""

    def __init__(self, free: dict[float, float]) -> None:
        self.free, self.present = free, Pose(np.array([0.4, 0.0, 0.3]), np.array([1.0, 0, 0, 0]))

    def now(self) -> float:
        return 1000.0

    def width_now(self) -> float:
        return 0.08

    def heard(self) -> float:
        return time.monotonic()

    def tool(self, _q: np.ndarray) -> Pose:
        return self.present

    def plan(self, _start: np.ndarray, waypoints: list[Pose], _stop: Any,
             check: bool = True) -> tuple[joints.JointPath | None, float, str]:
        side = float(np.sign(waypoints[-1].position[1]))
        whole = 1.0 if len(waypoints) < SETTINGS.horizon else self.free[side]
        if not whole:
            return None, 0.0, "blocked"
        zero = np.zeros((2, 7))
        path = joints.JointPath(tuple("abcdefg"), np.array([0.0, 0.5]), zero, zero, zero)
        return path, whole, ""


def sideways(name: str, side: float) -> chunks.Chunk:
    way = [Pose(np.array([0.4, side * 0.02 * (i + 1), 0.3]), np.array([1.0, 0, 0, 0]))
           for i in range(16)]
    return chunks.Chunk(name, 1000.0, 999.9, 0.1, way, np.full(16, 0.08), 0.6, 0.9, 0.0)


@pytest.mark.parametrize(("left", "right", "taken"), [
    (1.0, 1.0, "best"), (0.4, 1.0, "second"), (0.0, 1.0, "second"), (0.4, 0.8, "second"),
    (0.8, 0.4, "best")])
def test_a_candidate_whose_way_is_blocked_gives_place_to_the_next(left, right, taken) -> None:
    run = Run(TwoWays({1.0: left, -1.0: right}), SETTINGS, "go", StopFlag(), lambda _: None)
    segment = run._choose([sideways("best", 1.0), sideways("second", -1.0)], np.zeros(7), 0.0)
    assert segment.chunk.id == run.report.chunk_id == taken


def test_where_all_candidates_are_blocked_the_best_ones_reason_is_told() -> None:
    run = Run(TwoWays({1.0: 0.0, -1.0: 0.0}), SETTINGS, "go", StopFlag(), lambda _: None)
    with pytest.raises(UserError, match="blocked"):
        run._choose([sideways("best", 1.0), sideways("second", -1.0)], np.zeros(7), 0.0)


PATH = joints.JointPath(tuple("abcdefg"), np.array([0.0, 0.5]), np.zeros((2, 7)), None, None)


def ended(code: int = ErrorCode.SUCCESS, status: int = SUCCEEDED) -> Any:
    """A goal that ends so at once."""
    result = SimpleNamespace(error_code=SimpleNamespace(val=int(code), message=""))
    return SimpleNamespace(result=lambda *_: (status, result))


class Touching(TwoWays):
    """In front of a wall on both sides; after a way back one side is free.

    :param touch: the arm touches something where it is: nothing begins that is checked
    :param behind: something stands behind it: not even the way back is free
    """

    def __init__(self, touch: bool = True, behind: bool = False, helps: bool = True) -> None:
        super().__init__({1.0: 0.0, -1.0: 0.0})
        self.touch, self.behind, self.helps = touch, behind, helps
        self.unchecked: list[Pose] = []
        self.driven = 0

    def propose(self, *_: Any) -> list[chunks.Chunk]:
        return [sideways("a", 1.0)]

    def joints_now(self) -> np.ndarray:
        return np.zeros(7)

    def plan(self, start: np.ndarray, waypoints: list[Pose], stop: Any,
             check: bool = True) -> tuple[joints.JointPath | None, float, str]:
        way = waypoints[-1].position - self.present.position
        if way[2] <= 0.0:  # not back
            return super().plan(start, waypoints, stop, check)
        if not check:
            self.unchecked += waypoints
        elif self.touch or (self.behind and way[2] > 2e-3):
            return None, 0.0, "blocked"
        return PATH, 1.0, ""

    def execute(self, _path: joints.JointPath, _stop: Any) -> Any:
        self.driven += 1
        if self.helps:
            self.free[1.0] = 1.0
        return ended()

    def trace(self, _entry: dict) -> None:
        """Nobody looks."""


def blocked_run(body: Touching | None = None, **changes: Any) -> tuple[Run, Touching]:
    body = body or Touching()
    return Run(body, replace(SETTINGS, **changes), "go", StopFlag(), lambda _: None), body


def test_out_of_a_touch_the_arm_goes_a_little_back_along_the_hand_and_looks_again() -> None:
    run, body = blocked_run()
    assert run._next(np.zeros(7), 0.0) is not None
    (way,) = body.unchecked
    back = way.position - body.present.position
    np.testing.assert_allclose(back, [0.0, 0.0, SETTINGS.back_off], atol=1e-9)  # the hand is down


def test_a_way_back_that_is_free_is_driven_as_it_was_checked() -> None:
    run, body = blocked_run(Touching(touch=False))
    assert run._next(np.zeros(7), 0.0) is not None
    assert body.driven == 1 and not body.unchecked


def test_who_touches_nothing_does_not_go_back_into_what_is_behind() -> None:
    run, body = blocked_run(Touching(touch=False, behind=True))
    with pytest.raises(UserError, match="the way back is not free"):
        run._next(np.zeros(7), 0.0)
    assert body.driven == 0 and not body.unchecked


def test_a_second_unchecked_step_needs_a_checked_motion_before_it() -> None:
    run, body = blocked_run(Touching(helps=False))
    with pytest.raises(UserError, match="stuck between obstacles"):
        run._next(np.zeros(7), 0.0)
    assert body.driven == len(body.unchecked) == 1
    run._finish = lambda *_: True  # type: ignore[method-assign]
    run._next = run._sleep_until = lambda *_: None  # type: ignore[method-assign]
    run._drive(Segment(sideways("a", 1.0)._replace(observation_stamp=body.now()), PATH, None))
    run._back_off()
    assert len(body.unchecked) == 2


def test_the_way_back_does_not_leave_the_work_space() -> None:
    body = Touching()
    run, _ = blocked_run(body, bounds=np.array([[0.1, 0.9], [-0.75, 0.75], [-0.02, 0.31]]))
    with pytest.raises(UserError, match="leaves the work space"):
        run._next(np.zeros(7), 0.0)
    assert body.driven == 0 and not body.unchecked


@pytest.mark.parametrize(("code", "status"), [
    (ErrorCode.PREEMPTED, GoalStatus.STATUS_ABORTED),
    (ErrorCode.CONTROL_FAILED, GoalStatus.STATUS_CANCELED)])
def test_a_motion_that_somebody_else_stopped_ends_the_instruction(code: int, status: int) -> None:
    run, body = blocked_run()
    body.execute = lambda *_: ended(code, status)  # type: ignore[method-assign]
    body.propose = Mock()  # type: ignore[method-assign]
    with pytest.raises(Stopped, match="Somebody stopped the motion"):
        run._drive(Segment(sideways("a", 1.0), PATH, 0.0))
    assert not body.propose.called


def test_who_stopped_the_motion_may_say_why_a_moment_later() -> None:
    run, _ = blocked_run()
    threading.Timer(0.1, run.stop.set, args=("The arm was stopped by the monitor.",)).start()
    with pytest.raises(Stopped, match="by the monitor"):
        run._finish(ended(ErrorCode.PREEMPTED), run.body.now() + 0.5, 0.5)


class Following(Touching):
    """Everything is free, each look takes a second, and the arm ends its motions so.

    :param code: of every motion
    """

    def __init__(self, code: int) -> None:
        super().__init__(touch=False)
        self.free, self.code, self.time = {1.0: 1.0, -1.0: 1.0}, code, 1000.0

    def now(self) -> float:
        return self.time

    def propose(self, *_: Any) -> list[chunks.Chunk]:
        self.time += 1.0
        return [sideways("a", 1.0)._replace(observation_stamp=self.time, stamp=self.time + 0.1)]

    def execute(self, _path: joints.JointPath, _stop: Any) -> Any:
        self.driven += 1
        return ended(self.code)


def test_a_run_that_is_not_done_in_time_ends() -> None:
    run, body = blocked_run(Following(ErrorCode.SUCCESS), time_limit=7.0)
    run._sleep_until = lambda _: None  # type: ignore[method-assign]
    with pytest.raises(UserError, match="Not done within 7 s"):
        run.execute()
    assert 5 <= body.driven <= 8


def test_an_arm_that_does_not_follow_ends_the_run_after_some_tries() -> None:
    run, body = blocked_run(Following(ErrorCode.CONTROL_FAILED))
    run._sleep_until = lambda _: None  # type: ignore[method-assign]
    with pytest.raises(UserError, match="could not follow its trajectory"):
        run.execute()
    assert body.driven == SETTINGS.retries + 1


def test_an_arm_that_follows_now_and_then_is_looked_after_anew() -> None:
    run, _ = blocked_run()
    for _ in range(3):
        for _ in range(SETTINGS.retries):
            assert not run._finish(ended(ErrorCode.CONTROL_FAILED), run.body.now(), 0.5)
        assert run._finish(ended(), run.body.now(), 0.5)


@pytest.mark.parametrize("changes", [{"back_off": 0.0}, {"dry_run": True}])
def test_no_unchecked_motion_where_it_is_switched_off_or_nothing_may_move(
        changes: dict[str, Any]) -> None:
    run, body = blocked_run(**changes)
    with pytest.raises(UserError, match="No executable motion was found in 5 tries"):
        run._next(np.zeros(7), 0.0)
    assert not body.unchecked


def test_moveits_fraction_counts_lines_and_not_metres() -> None:
    assert [_whole(f, 3) for f in (0.3, 1 / 3, 0.66, 2 / 3, 1.0, -0.03)] == [0, 1, 1, 2, 3, 0]


@pytest.mark.parametrize("ahead", [0.05, 0.3, 3.0])
def test_images_from_the_future_are_refused_since_their_age_is_not_known(ahead: float) -> None:
    run = Run(TwoWays({1.0: 1.0}), SETTINGS, "go", StopFlag(), lambda _: None)
    chunk = sideways("a", 1.0)._replace(observation_stamp=1000.0 + ahead, stamp=1000.1 + ahead)
    if ahead > 0.1:
        with pytest.raises(UserError, match="in the future; synchronise the camera's clock"):
            run._segment(chunk, np.zeros(7), 0.0)
    else:
        assert run._segment(chunk, np.zeros(7), 0.0).path is not None
    assert len(run._ahead(chunk, run.body.tool(np.zeros(7)), 1000.0)) == len(chunk.poses)


@pytest.mark.parametrize(("damage", "words"), [
    ({}, ""),
    # its last poses are near, but what is due now is not
    ({"poses": sideways("a", 1.0).poses[::-1]}, "starts 0.280 m away from the arm"),
    # still valid by its own stamp
    ({"observation_stamp": 999.2}, "images that are 0.80 s old")],
    ids=["sound", "far", "old"])
def test_a_chunk_that_is_far_or_old_is_not_driven(damage: dict[str, Any], words: str) -> None:
    run = Run(TwoWays({1.0: 1.0}), SETTINGS, "go", StopFlag(), lambda _: None)
    chunk = sideways("a", 1.0)._replace(**damage)
    if not damage:
        assert run._segment(chunk, np.zeros(7), 0.0).path is not None
        return
    with pytest.raises(UserError, match=words):
        run._segment(chunk, np.zeros(7), 0.0)


class Gripping(TwoWays):
    """Everything is free; the clock goes on as the test says, and grips are counted."""

    def __init__(self, driving: float) -> None:
        super().__init__({1.0: 1.0, -1.0: 1.0})
        self.time, self.driving, self.grips, self.looks = 1000.0, driving, 0, 0

    def now(self) -> float:
        return self.time

    def joints_now(self) -> np.ndarray:
        return np.zeros(7)

    def propose(self, *_: Any) -> list[chunks.Chunk]:
        """The run looks again: that is all the test wants to know."""
        self.looks += 1
        raise Stopped("looked again")

    def execute(self, _path: joints.JointPath, _stop: Any) -> Any:
        def result(*_: Any) -> tuple[int, Any]:
            self.time += self.driving
            return 4, type("R", (), {"error_code": type("Code", (), {"val": 1})})
        return SimpleNamespace(result=result)

    def grip(self, _width: float, _stop: Any) -> None:
        self.grips += 1

    def trace(self, _entry: dict) -> None:
        """Nobody looks."""


@pytest.mark.parametrize(("path", "driving", "age", "grips"), [
    (None, 0.0, 0.3, 1), (None, 0.0, 0.7, 0), (PATH, 0.5, 0.3, 1), (PATH, 1.5, 0.3, 0),
    (PATH, 0.5, 0.7, 0)])
def test_the_gripper_does_not_act_on_old_images(path: Any, driving: float, age: float,
                                                grips: int) -> None:
    """An age of the images that was planned, since the way to the thing takes time, is right."""
    body = Gripping(driving)
    run = Run(body, SETTINGS, "go", StopFlag(), lambda _: None)
    chunk = sideways("a", 1.0)._replace(observation_stamp=body.time - age)
    with pytest.raises(Stopped, match="looked again"):
        run._drive(Segment(chunk, path, 0.0))
    assert (body.grips, body.looks) == (grips, 1)


class Braking(TwoWays):
    """Told of its joints only at every fourth look; the arm comes to rest at 0.9 rad."""

    def __init__(self, states: list[float]) -> None:
        super().__init__({1.0: 1.0})
        self.states, self.looks = states, 0

    def heard(self) -> float:
        return float(min(self.looks // 4, len(self.states) - 1))

    def joints_now(self) -> np.ndarray:
        return np.full(7, self.states[int(self.heard())])


class Looks(StopFlag):
    """Waiting is one more look."""

    def __init__(self, body: Braking) -> None:
        super().__init__()
        self.body = body

    def sleep(self, seconds: float) -> None:
        self.body.looks += 1


def test_a_joint_state_that_is_read_twice_does_not_tell_of_an_arm_at_rest() -> None:
    body = Braking([0.0, 0.5, 0.8, 0.9, 0.9])
    run = Run(body, SETTINGS, "go", Looks(body), lambda _: None)
    assert run._at_rest()[0] == 0.9


def test_an_arm_whose_joint_states_have_stopped_is_not_at_rest() -> None:
    body = Braking([0.5])
    run = Run(body, SETTINGS, "go", Looks(body), lambda _: None)
    with pytest.raises(UserError, match="No joint states come any more"):
        run._at_rest()


def test_a_motion_may_take_as_long_as_moveit_allows_it() -> None:
    waited = []

    def result(_stop: Any, timeout: float, *_: Any) -> tuple[int, Any]:
        waited.append(timeout)
        return 4, type("R", (), {"error_code": type("Code", (), {"val": 1})})

    run = Run(TwoWays({1.0: 1.0}), SETTINGS, "go", StopFlag(), lambda _: None)
    assert run._finish(SimpleNamespace(result=result), run.body.now() + 4.0, 4.0)  # type: ignore[arg-type]
    scaling, margin = (EXECUTION[f"allowed_{name}"] for name in
                       ("execution_duration_scaling", "goal_duration_margin"))
    assert scaling * 4.0 + margin < waited[0] < scaling * 4.0 + margin + 2.0
