# SPDX-License-Identifier: Apache-2.0
"""The demo's own node: sends the instruction, follows what happens, keeps it for the report."""
from __future__ import annotations

import json
import threading
import time
from typing import Any

import rclpy
from action_msgs.msg import GoalStatusArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Bool, String

from wm_ros.action import ExecuteInstruction
from wm_ros.bridge import images, rollouts, times
from wm_ros.errors import UserError
from wm_ros.msg import ImaginedRollout, ModelStatus, NodeStatus, Observation, Surprise
from wm_ros.nodes import qos
from wm_ros.nodes.action_client import ActionClient
from wm_ros.nodes.clients import Goal, StopFlag, call, send
from wm_ros.report.run_log import RunLog
from wm_ros.robot import RobotConfig
from wm_ros.srv import ResetSimulation, TaskStatus


class DemoClient(Node):
    """Spins in a thread of its own; its methods block and belong in the main thread.

    :param robot: names the arm controller whose acceptances are the end of the latency
    """

    def __init__(self, robot: RobotConfig) -> None:
        super().__init__("demo", start_parameter_services=False)
        self.model = ModelStatus()
        self.feedback = ExecuteInstruction.Feedback()
        self.traces: list[dict[str, Any]] = []
        self.accepted: list[float] = []  # when the arm controller accepted trajectories (s)
        self.stopped = False
        self.stop_flag = StopFlag()
        self._log: RunLog | None = None
        self._states: dict[str, tuple[str, float]] = {}
        self._processes: dict[str, tuple[str, int]] = {}
        self._seen: set[bytes] = set()
        self._actor = ActionClient(self, ExecuteInstruction, "/wm/execute_instruction")
        self._reset = self.create_client(ResetSimulation, "/wm/reset_simulation")
        self._truth = self.create_client(TaskStatus, "/wm/task_status")

        def listen(kind: Any, topic: str, callback: Any, profile: Any) -> None:
            self.create_subscription(kind, topic, callback, profile,
                                     event_callbacks=qos.UNWATCHED_IN)
        listen(NodeStatus, "/wm/heartbeat", self._beat, qos.EVENT)
        listen(ModelStatus, "/wm/model_status", self._hear_model, qos.LATCHED)
        listen(Observation, "/wm/observation", self._see, qos.SENSOR)
        listen(ImaginedRollout, "/wm/imagined_rollout", self._imagined, qos.EVENT)
        listen(Surprise, "/wm/surprise", self._surprised, qos.EVENT)
        listen(String, "/wm/trace", self._trace, qos.EVENT)
        listen(Bool, "/wm/stopped", self._hear_stopped, qos.LATCHED)
        listen(GoalStatusArray,
               f"/{robot.controllers.arm}/follow_joint_trajectory/_action/status",
               self._accepted, qos.LATCHED)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._thread = threading.Thread(target=self._spin, daemon=True, name="demo client")
        self._thread.start()

    def _spin(self) -> None:
        while rclpy.ok() and not self.stop_flag:
            self._executor.spin_once()

    def close(self) -> None:
        """End the thread."""
        self.stop_flag.set("The demo ended.")
        # something to do ends the wait for it; wake() alone waits on where no node is heard, and
        # a thread that is left in it aborts the process at its end
        self._executor.create_task(lambda: None)
        self._thread.join(10.0)

    def keep(self, log: RunLog | None) -> None:
        """Collect what happens into a report from now on; None: no more."""
        self._log = log
        self.traces, self.accepted = [], []

    # --- what is heard
    def _beat(self, message: NodeStatus) -> None:
        name = message.node.lstrip("/")
        self._states[name] = (message.state, time.monotonic())
        self._processes[name] = (message.host, int(message.pid))

    def _hear_model(self, message: ModelStatus) -> None:
        self.model = message

    def _hear_stopped(self, message: Bool) -> None:
        self.stopped = bool(message.data)

    def _see(self, message: Observation) -> None:
        log = self._log
        if log is None:
            return
        stamp = times.seconds(message.header.stamp)
        log.add_real_frame(stamp, images.from_colour(message.images[0]))
        p = message.tcp_pose.position
        log.add_tcp(stamp, [p.x, p.y, p.z])  # type: ignore[arg-type]

    def _imagined(self, message: ImaginedRollout) -> None:
        if self._log is not None and message.frames:
            future = rollouts.from_message(message)
            self._log.add_imagined(future.chunk_id, future.stamp, future.times, future.frames,
                                   future.success, future.uncertainty)

    def _surprised(self, message: Surprise) -> None:
        if self._log is not None:
            self._log.add_surprise(times.seconds(message.header.stamp), message.value,
                                   message.threshold)

    def _trace(self, message: String) -> None:
        self.traces.append(json.loads(message.data))

    def _accepted(self, message: GoalStatusArray) -> None:
        for status in message.status_list:
            key = bytes(status.goal_info.goal_id.uuid)
            if key not in self._seen:
                self._seen.add(key)
                self.accepted.append(times.seconds(status.goal_info.stamp))

    # --- what is asked
    def missing(self, names: list[str]) -> list[str]:
        """Nodes that are not active now."""
        now = time.monotonic()
        return [name for name in names if self._states.get(name, ("", 0.0))[0] != "active"
                or now - self._states[name][1] > 1.0]

    def process(self, name: str) -> tuple[str, int]:
        """Host and number of a node's process; a node that is started again has another."""
        return self._processes.get(name, ("", 0))

    def failed(self, names: list[str]) -> list[str]:
        """Nodes that say that they cannot start."""
        return [name for name in names if self._states.get(name, ("", 0.0))[0] == "error"]

    def reset(self, room: str, task: str, seed: int, held_out: bool) -> str:
        """Put the simulated room into the state of a seed; returns the task's instruction."""
        request = ResetSimulation.Request(room=room, task=task, seed=seed, held_out=held_out)
        answer = call(self._reset, request, self.stop_flag, 60.0, repeat=15.0)
        if not answer.success:
            raise UserError(answer.message)
        return str(answer.instruction)

    def is_recorded(self) -> bool:
        """Whether the recorder hears what a report needs."""
        return all(any(end.node_name == "wm_recorder"
                       for end in self.get_subscriptions_info_by_topic(topic))
                   for topic in ("/wm/observation", "/wm/action_chunk", "/wm/trace"))

    def truth(self) -> Any:
        """What the simulator knows about the task."""
        return call(self._truth, TaskStatus.Request(), self.stop_flag, 10.0, repeat=3.0)

    def known_truth(self) -> Any:
        """The same, or None where no simulator tells it."""
        return self.truth() if self._truth.service_is_ready() else None

    def instruct(self, instruction: str, time_limit: float, candidates: int = 0,
                 dry_run: bool = False) -> Goal:
        """Send an instruction."""
        goal = ExecuteInstruction.Goal(instruction=instruction, time_limit=float(time_limit),
                                       n_candidates=int(candidates), dry_run=dry_run)
        self.feedback = ExecuteInstruction.Feedback()  # what is there is of the one before

        def heard(message: Any) -> None:
            self.feedback = message.feedback
        return send(self._actor, goal, "/wm/execute_instruction", self.stop_flag, 10.0,
                    feedback_callback=heard)


def init() -> None:
    """Start ROS in this process without taking over its signals."""
    from wm_ros import environment
    environment.prepare()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)


def shutdown() -> None:
    """End ROS in this process."""
    rclpy.try_shutdown()
