# SPDX-License-Identifier: Apache-2.0
"""The closed loop over real middleware: what a user would miss first."""
from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from wm_ros.motion.kinematics import Kinematics
from wm_ros.nodes.timing import timing
from wm_ros.report.run_log import RunLog

pytestmark = [pytest.mark.ros, pytest.mark.timeout(180)]


def test_words_move_the_arm_to_the_place_they_name(system: Any) -> None:
    system.ready()
    result = system.do("go left")
    assert result.success, result.message
    q = system.history()[-1][1]
    tool = Kinematics(system.robot).fk(q).position
    assert np.linalg.norm(tool - [0.45, 0.25, 0.30]) < 0.03
    assert result.chunks_executed >= 1


def test_images_turn_into_motion_soon_and_the_arm_does_not_stop_between_chunks(
        system: Any, tmp_path: Any) -> None:
    def measured() -> tuple[float, float]:
        system.ready()
        system.do("go left")
        log = RunLog(tmp_path)
        system.client.keep(log)
        result = system.do("go right")
        assert result.success, result.message
        figures = timing(system.client.traces, system.client.accepted, log)
        print(figures, log._stages)
        assert figures["segments"] >= 2
        return figures["latency_ms"]["p95"], figures["rest_ms"]["p50"]

    # The bars are 250 ms and 150 ms on two quiet cores; a busy test machine gets some air.
    for _ in range(3):
        latency, rest = measured()
        if latency < 500.0 and rest < 300.0:
            return
    pytest.fail(f"{latency} ms from image to motion, {rest} ms between motions")


def test_gripper_is_closed_when_the_chunk_says_so_and_only_there(system: Any) -> None:
    system.ready()
    assert system.do("go left").success
    begin, gripper = system.history()[-1][0], system.robot.gripper
    result = system.do("close middle")
    assert result.success, result.message
    widths = system.widths(begin)
    assert widths[0][0] > gripper.open_width - 0.006 and widths[-1][0] < 0.006
    kinematics = Kinematics(system.robot)
    away = [np.linalg.norm(kinematics.fk(q).position - [0.42, 0.0, 0.30])
            for width, q in widths if width < gripper.open_width - 0.006]
    assert max(away) < 0.05, "of a way of 0.25 m"
    assert system.do("go middle").success
    assert system.widths(begin)[-1][0] > gripper.open_width - 0.006


def test_dry_run_plans_but_moves_nothing(system: Any) -> None:
    system.ready()
    system.do("go right")
    before = system.history()[-1][1]
    result = system.do("go left", dry_run=True)
    assert result.success, result.message
    assert "dry run" in result.message
    time.sleep(0.3)
    assert np.abs(system.history()[-1][1] - before).max() < 2e-3


def test_newer_instruction_takes_the_place_of_the_running_one(system: Any) -> None:
    system.ready()
    system.do("go left")
    first = system.moving("go right")
    second = system.do("go left")
    assert second.success, second.message
    result = first.result(system.client.stop_flag, 5.0, "no result")[1]
    assert not result.success
    assert "newer instruction" in result.message.lower()


def test_cancel_stops_the_arm_at_once(system: Any, long_segments: None) -> None:
    def cancel() -> float:
        system.ready()
        system.do("go left")
        goal = system.moving("go right")
        cancelled = time.time()
        goal.cancel()
        held = system.held(cancelled)
        result = goal.result(system.client.stop_flag, 5.0, "no result")[1]
        assert "cancel" in result.message.lower()
        return float(held)
    system.holds_soon(cancel)


def test_a_stop_at_the_controller_ends_the_instruction(system: Any, long_segments: None) -> None:
    """RViz's stop button and MoveGroupInterface.stop() come to the same."""
    from action_msgs.srv import CancelGoal

    from wm_ros.nodes.clients import cancel_all
    system.ready()
    arm = f"/{system.robot.controllers.arm}/follow_joint_trajectory/_action/cancel_goal"
    controller = system.client.create_client(CancelGoal, arm)
    assert controller.wait_for_service(5.0)

    def stop() -> float:
        system.do("go left")
        goal = system.moving("wander left")
        limit = time.monotonic() + 5.0
        while not goal.done and time.monotonic() < limit:  # it may find the arm between motions
            cancel_all(controller)
            time.sleep(0.2)
        result = goal.result(system.client.stop_flag, 5.0, "no result")[1]
        assert not result.success and "Somebody stopped the motion" in result.message
        return float(system.held(time.time()))
    system.holds_soon(stop)
    assert system.do("go left").success


def test_person_can_stop_the_arm_and_must_resume_it(system: Any, long_segments: None) -> None:
    from std_srvs.srv import Trigger

    from wm_ros.nodes.clients import call
    ask = {name: system.client.create_client(Trigger, f"/wm/{name}")
           for name in ("stop", "resume")}

    def tell(name: str) -> Any:
        return call(ask[name], Trigger.Request(), system.client.stop_flag, 5.0)

    def stop() -> float:
        system.ready()
        system.do("go left")
        goal = system.moving("go right")
        asked = time.time()
        threading.Thread(target=tell, args=("stop",), daemon=True).start()
        held = system.held(asked)
        assert not goal.result(system.client.stop_flag, 5.0, "no result")[1].success
        assert "give the instruction anew" in tell("stop").message
        refused = system.do("go left")
        assert not refused.success
        assert "resume" in refused.message
        assert tell("resume").success
        return float(held)
    system.holds_soon(stop)
    system.ready()
    assert system.do("go left").success


def test_imagination_can_be_looked_at_before_anything_moves(system: Any) -> None:
    from wm_ros.action import Imagine
    from wm_ros.nodes.action_client import ActionClient
    from wm_ros.nodes.clients import send
    system.ready()
    before = system.history()[-1][1]
    client = ActionClient(system.client, Imagine, "/wm/imagine")
    stop = system.client.stop_flag
    own = send(client, Imagine.Goal(instruction="go left", n_candidates=3), "imagine", stop,
               5.0).result(stop, 10.0, "no result")[1]
    assert own.success, own.message
    assert len(own.chunks) == len(own.rollouts) == 3
    assert all(len(rollout.frames) == 2 for rollout in own.rollouts)
    assert [r.chunk_id for r in own.rollouts] == [c.id for c in own.chunks]
    given = send(client, Imagine.Goal(instruction="go left", chunks=own.chunks[:1]), "imagine",
                 stop, 5.0).result(stop, 10.0, "no result")[1]
    assert given.success, given.message
    assert given.rollouts[0].chunk_id == own.chunks[0].id
    unknown = send(client, Imagine.Goal(instruction="frobnicate"), "imagine", stop,
                   5.0).result(stop, 10.0, "no result")[1]
    assert not unknown.success
    assert "No task is known" in unknown.message
    assert np.abs(system.history()[-1][1] - before).max() < 2e-3
