# SPDX-License-Identifier: Apache-2.0
"""Serves ExecuteInstruction: asks the imagination what to do and MoveIt's interfaces to do it."""
from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from moveit_msgs.msg import PlanningScene
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from std_msgs.msg import Bool, String

from wm_ros.action import ExecuteInstruction
from wm_ros.bridge.furniture import laid_out
from wm_ros.errors import UserError
from wm_ros.msg import Surprise
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode, run_node
from wm_ros.nodes.clients import StopFlag, Stopped
from wm_ros.nodes.goal_end import end
from wm_ros.nodes.moveit_body import MoveItBody, make_body
from wm_ros.nodes.planning_run import Report, Run, Settings
from wm_ros.nodes.watch import HeartbeatWatch


class PlanningNode(WmNode):
    """Executes instructions; the newest one replaces the one before."""

    def __init__(self) -> None:
        super().__init__("planning")
        self._run_lock = threading.Lock()  # held by the run that moves the arm
        self._stop: StopFlag | None = None  # of the run that moves the arm
        self._newest: StopFlag | None = None  # of the instruction that came last
        self._has_monitor = False  # the run has found it, and must not lose it any more
        self._began = math.inf  # when the run took the room for its own (s); inf without one
        self._order = threading.Lock()

    # --- life cycle
    def configure(self) -> None:
        """Create the clients and the server."""
        self.body: MoveItBody = make_body(self)
        self._stopped = False
        self._surprise = math.nan
        self._watch = HeartbeatWatch(self, ["monitor"], self._monitor_lost)
        self._words_out = self.create_publisher(String, "/wm/instruction", qos.LATCHED)
        self.create_subscription(Bool, "/wm/stopped", self._hear_stopped, qos.LATCHED)
        self.create_subscription(Surprise, "/wm/surprise", self._hear_surprise, qos.EVENT)
        self.create_subscription(PlanningScene, "/wm/furniture", self._hear_room, qos.LATCHED)
        self._server = ActionServer(
            self, ExecuteInstruction, "/wm/execute_instruction", execute_callback=self._wanted,
            goal_callback=lambda _: GoalResponse.ACCEPT if self.is_active else GoalResponse.REJECT,
            cancel_callback=lambda _: CancelResponse.ACCEPT)
        self._words_out.publish(String(data=""))  # what a killed one was told is over

    def activate(self) -> None:
        """Watch the monitor, and take the place of a planning node before this one."""
        self._timer = self.create_timer(0.1, self._look, clock=self.steady)
        self.worker(self.body.take_over)

    def deactivate(self) -> None:
        """Stop the arm."""
        self.destroy_timer(self._timer)
        self._halt("The planning node was deactivated.")

    def cleanup(self) -> None:
        """Watch nobody."""
        self._watch.close()

    def at_work(self) -> bool:
        """Whether a run has yet to come to its end."""
        return self._run_lock.locked()

    # --- what is heard
    def _hear_stopped(self, message: Bool) -> None:
        self._stopped = bool(message.data)
        if self._stopped:
            self._halt("The arm was stopped by the monitor; see /diagnostics for the reason.")

    def _hear_surprise(self, message: Surprise) -> None:
        self._surprise = float(message.value)

    def _hear_room(self, message: PlanningScene) -> None:
        """The words were not meant for another room; that of before the run may be told late."""
        if laid_out(message) > self._began:
            self._end_run("The room was laid out anew: give the instruction again.")

    def _look(self) -> None:
        """Without its monitor the arm must not move; a run that still waits for it moves none."""
        if (self._stop is not None and self._has_monitor and self.value("safety.require_monitor")
                and not self._watch.present(["monitor"],
                                            self.number("safety.heartbeat_timeout"))):
            self._monitor_lost(["monitor"])

    def _monitor_lost(self, _names: list[str]) -> None:
        if self.value("safety.require_monitor"):
            self._halt("The arm was stopped because the monitor node was lost.")

    def _halt(self, reason: str) -> None:
        """Stop whatever moves, at the controller itself, and end the run and what waits for it."""
        waiting = self._newest
        if waiting is not None:
            waiting.set(reason)
        self._end_run(reason)

    def _end_run(self, reason: str) -> None:
        running = self._stop
        if running is not None:
            running.set(reason)
            self.body.cancel_motion()

    # --- the action
    async def _wanted(self, handle: Any) -> ExecuteInstruction.Result:
        return await self.in_worker(self._body, handle)

    def _body(self, handle: Any) -> ExecuteInstruction.Result:
        """Run one instruction in a worker thread, after the one before has come to rest."""
        started = self.now()
        if why := self._cannot_run(handle.request):  # and so takes nobody's place
            end(handle, False)
            return ExecuteInstruction.Result(message=why)
        stop = StopFlag()
        with self._order:
            self._halt("A newer instruction took its place.")
            self._newest = stop
        threading.Thread(target=self._watch_cancel, args=(handle, stop), daemon=True).start()
        with self._run_lock:
            self._stop = stop
            report, success, self.body.touched = Report(), False, False
            try:
                stop.check()
                if not self.is_active:
                    raise UserError("The planning node is not active.")
                run = self._prepared_run(handle, stop)
                report = run.report
                message, success = run.execute(), True
            except (UserError, Stopped) as error:
                message = str(error)
            except Exception as error:
                self.get_logger().error(f"{type(error).__name__}: {error}")
                message = "Planning failed; see the planning node's log."
            finally:
                stop.set("ended")
                try:
                    if not success and self.body.touched:  # what others drive is not this run's
                        self.body.rest()
                finally:
                    self._stop, self._has_monitor, self._began = None, False, math.inf
                    self._words_out.publish(String(data=""))
        result = ExecuteInstruction.Result(
            success=success, message=message, stage=report.stage,
            chunks_executed=int(report.chunks), duration=self.now() - started,
            predicted_success=float(report.predicted))
        end(handle, success)
        return result

    def _cannot_run(self, request: Any) -> str:
        """Why a goal cannot become a run; empty if it can."""
        if not self.is_active:
            return "The planning node is not active."
        if not str(request.instruction).strip():
            return "The instruction is empty; say what to do."
        return ""

    def _watch_cancel(self, handle: Any, stop: StopFlag) -> None:
        while not stop:
            if handle.is_cancel_requested:
                stop.set("Cancelled on request.")
                if self._stop is stop:  # it may still wait for the one before it
                    self.body.cancel_motion()
                return
            time.sleep(0.02)

    def _prepared_run(self, handle: Any, stop: StopFlag) -> Run:
        request = handle.request
        if self._stopped:
            raise UserError("The arm is stopped; look at /diagnostics, then call /wm/resume.")
        timeout = self.number("safety.heartbeat_timeout")
        if self.value("safety.require_monitor"):  # who was just set up, or hung, has to hear it
            stop.until(lambda: self._watch.present(["monitor"], timeout), timeout,
                       "The monitor node is missing or not active; without it the arm does not "
                       "move.")
        self._has_monitor = True
        self.body.wait_for_joints(stop)
        self._began = self.now()
        self.body.apply_furniture(stop)
        self.body.look_around(stop)
        self._words_out.publish(String(data=str(request.instruction)))

        def tell(report: Report) -> None:
            handle.publish_feedback(ExecuteInstruction.Feedback(
                stage=report.stage, imagined_success=float(report.predicted),
                surprise=float(self._surprise), chunk_id=report.chunk_id,
                progress=float(report.progress)))
        return Run(self.body, self._settings(request), str(request.instruction), stop, tell)

    def _settings(self, request: Any) -> Settings:
        low, high = (np.array(self.value(f"safety.workspace_{side}"), dtype=float)
                     for side in ("min", "max"))
        limit = float(request.time_limit)
        return Settings(
            time_limit=limit if limit > 0 else self.number("time_limit"),  # also where it is NaN
            candidates=int(request.n_candidates) or int(self.value("n_candidates")),
            dry_run=bool(request.dry_run), horizon=int(self.value("horizon")),
            lead=self.number("lead"), retries=int(self.value("retries")),
            margin_fraction=self.number("margin_fraction"), back_off=self.number("back_off"),
            gripper_change=self.number("gripper_change"),
            success_threshold=self.number("success_threshold"),
            progress_threshold=self.number("progress_threshold"),
            still_path=self.number("still_path"), still_count=int(self.value("still_count")),
            follow_timing=bool(self.value("follow_timing")),
            bounds=np.stack([low, high], axis=1),
            max_excess=self.number("safety.max_excess"),
            max_pose_step=self.number("safety.max_pose_step"),
            max_jump=self.number("safety.max_jump"),
            max_age=self.number("safety.max_observation_age"))


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(PlanningNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
