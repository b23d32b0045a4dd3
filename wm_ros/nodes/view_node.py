# SPDX-License-Identifier: Apache-2.0
"""A page in the browser: robot and room, cameras, imagined frames, planned path, instruction."""
from __future__ import annotations

import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray
from moveit_msgs.msg import PlanningScene
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from wm_ros import environment
from wm_ros.action import ExecuteInstruction
from wm_ros.bridge import images, markers, observations, poses, rollouts, solids
from wm_ros.errors import UserError
from wm_ros.motion.kinematics import Kinematics
from wm_ros.msg import ActionChunk, ImaginedRollout, Observation, Surprise
from wm_ros.nodes import qos
from wm_ros.nodes.action_client import ActionClient
from wm_ros.nodes.base import begin, leave_with_supervisor
from wm_ros.nodes.parameters import DECLARED, declare
from wm_ros.nodes.shown import Candidates, Obstacles, Words, tool_way
from wm_ros.robot import load_robot
from wm_ros.view.page import Buttons, Page

PERIOD = 0.15  # s between two updates of the page; it must not slow the loop
STATES = 50  # joint states between two updates; arm and hand may tell theirs apart
CLOUD_PERIOD = 0.6  # s between two updates of what the camera sees in 3D
MAX_PATHS, PATH_POINTS, COMPLAINTS = 16, 30, 4


class Heard(NamedTuple):
    """A topic of which the newest messages are kept as they came, until somebody looks."""

    kind: Any
    draw: Callable[[Any], None]
    raw: deque[bytes]

    def keep(self, message: bytes) -> None:
        """Called with each message."""
        self.raw.append(message)


class ViewNode(Node):
    """Keeps the newest of everything; a slow timer draws it while somebody looks."""

    def __init__(self) -> None:
        super().__init__("view")
        declare(self, DECLARED["view"])
        self._robot = load_robot(self._text("robot"))
        self._kinematics = Kinematics(self._robot)
        self._candidates, self._obstacles = Candidates(self._robot), Obstacles()
        self._words, self._answer = Words(), ""
        self._cloud_at, self._paths_changed = 0.0, False
        self._posture: dict[str, float] = {}  # what was told since the last update
        self._drawn: list[bytes] = []
        self._heard: list[Heard] = []
        self._actor = ActionClient(self, ExecuteInstruction, "/wm/execute_instruction")
        stopper = self.create_client(Trigger, "/wm/stop")
        resumer = self.create_client(Trigger, "/wm/resume")
        self._page = Page(self._text("host"), int(self._text("port")), self._robot, Buttons(
            self._do, lambda: self._ask(stopper), lambda: self._ask(resumer)))
        self._listen()
        # the page tells that a simulator's clock stands still, too
        self.steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(PERIOD, self._draw, clock=self.steady)
        self.get_logger().info(
            f"The page is on http://{self._text('host')}:{self._text('port')} .")

    def _text(self, name: str) -> str:
        return str(self.get_parameter(name).value)

    def close(self) -> None:
        """End the page."""
        self._page.close()

    # --- what is asked by the page, in its threads
    def _do(self, words: str, dry_run: bool) -> None:
        if not self._actor.server_is_ready():
            self._answer = "Nobody takes instructions; is the planning node running?"
            return
        self._answer = ""
        goal = ExecuteInstruction.Goal(instruction=words, dry_run=dry_run)
        self._actor.send_goal_async(goal).add_done_callback(self._accepted)

    def _accepted(self, future: Any) -> None:
        handle = future.result()
        if not handle.accepted:
            self._answer = "The planning node is not active yet."
            return
        handle.get_result_async().add_done_callback(self._ended)

    def _ended(self, future: Any) -> None:
        self._answer = str(future.result().result.message)

    def _ask(self, client: Any) -> None:
        if not client.service_is_ready():
            self._answer = f"Nobody serves {client.srv_name}; is the monitor node running?"
            return
        client.call_async(Trigger.Request()).add_done_callback(self._answered)

    def _answered(self, future: Any) -> None:
        self._answer = str(future.result().message)

    # --- what is heard
    def _listen(self) -> None:
        newest = qos.profile(1, reliable=False)
        for topic, kind, draw, profile in (
                (self._text("topics.joint_states"), JointState, self._hear_joints,
                 qos.profile(STATES, reliable=False)),
                (self._text("topics.scene_color"), Image, self._draw_scene, newest),
                (self._text("topics.wrist_color"), Image, self._draw_wrist, newest),
                ("/wm/observation", Observation, self._draw_cloud, newest),
                ("/wm/action_chunk", ActionChunk, self._draw_chunk, qos.EVENT),
                ("/wm/imagined_rollout", ImaginedRollout, self._draw_imagined, qos.EVENT),
                ("/wm/key_poses", PoseArray, self._draw_key_poses, qos.EVENT),
                ("/wm/planned_trajectory", JointTrajectory, self._draw_plan, qos.EVENT),
                ("/wm/furniture", PlanningScene, self._obstacles.hear, qos.LATCHED),
                ("/monitored_planning_scene", PlanningScene, self._obstacles.hear, qos.EVENT),
                ("/wm/surprise", Surprise, self._words.hear_surprise, qos.EVENT),
                ("/wm/instruction", String, self._hear_words, qos.LATCHED),
                ("/wm/stopped", Bool, self._words.hear_stopped, qos.LATCHED),
                ("/diagnostics", DiagnosticArray, self._hear_diagnostics, qos.EVENT)):
            heard = Heard(kind, draw, deque(maxlen=profile.depth))
            self._heard.append(heard)
            # unpacked only when it is drawn
            self.create_subscription(kind, topic, heard.keep, profile, raw=True)

    # --- drawing
    def _draw(self) -> None:
        if not self._page.watched:
            return
        for heard in self._heard:
            while heard.raw:
                try:
                    heard.draw(deserialize_message(heard.raw.popleft(), heard.kind))
                except UserError as error:
                    self.get_logger().warning(str(error), throttle_duration_sec=10.0)
        self._draw_posture()
        self._draw_paths()
        self._draw_obstacles()
        self._page.flush()
        lines = [*self._words.lines(self._candidates.success, time.monotonic(), COMPLAINTS)]
        self._page.say([*lines, *filter(None, [self._answer])])

    def _hear_joints(self, message: JointState) -> None:
        self._posture |= zip(message.name, message.position, strict=False)

    def _draw_posture(self) -> None:
        if self._posture:
            self._page.move(self._posture)
            self._posture = {}

    def _draw_scene(self, message: Image) -> None:
        self._page.camera("scene", images.from_colour(message))

    def _draw_wrist(self, message: Image) -> None:
        self._page.camera("wrist", images.from_colour(message))

    def _draw_cloud(self, message: Observation) -> None:
        if time.monotonic() - self._cloud_at < CLOUD_PERIOD:
            return
        self._cloud_at = time.monotonic()
        seen = observations.cloud(message)
        if seen is not None:
            self._page.cloud(*seen)

    def _draw_chunk(self, message: ActionChunk) -> None:
        self._candidates.hear_chunk(message)
        self._paths_changed = True

    def _draw_imagined(self, message: ImaginedRollout) -> None:
        rollout = rollouts.from_message(message)
        self._candidates.hear_rollout(rollout)
        if len(rollout.frames):
            self._page.film(rollout.frames)
        self._paths_changed = True

    def _draw_paths(self) -> None:
        if not self._paths_changed:
            return
        self._paths_changed = False
        self._page.paths([(np.array([pose.position for pose in path]),
                           solids.rgb(markers.success_colour(success)), success)
                          for path, success in self._candidates.paths(MAX_PATHS)])

    def _draw_key_poses(self, message: PoseArray) -> None:
        self._page.key_poses([poses.from_pose(pose) for pose in message.poses])

    def _draw_plan(self, message: JointTrajectory) -> None:
        way = tool_way(message, self._kinematics, PATH_POINTS)
        self._page.plan(np.array([pose.position for pose in way]))

    def _draw_obstacles(self) -> None:
        """The planning scene is told again and again; meshes are made when it has changed."""
        free, held = self._obstacles.free, self._obstacles.held
        now = [bytes(serialize_message(item)) for item in (*free, *held)]
        if now != self._drawn:
            self._drawn = now
            self._page.solids([*solids.from_objects(free), *solids.from_objects(held, held=True)])

    def _hear_words(self, message: String) -> None:
        if message.data and message.data != self._words.instruction:
            self._answer = ""
        self._words.hear_instruction(message)
        if not message.data:
            self._candidates.forget()
            self._paths_changed = True

    def _hear_diagnostics(self, message: DiagnosticArray) -> None:
        self._words.hear_diagnostics(message, time.monotonic())


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until a signal."""
    environment.step_back()
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    try:
        begin(args)
        node = ViewNode()
    except UserError as error:
        print(f"[ERROR] [view]: {error}", file=sys.stderr, flush=True)
        ending.wait(5.0)  # not started again in a hurry
        return 2
    node.create_timer(0.5, lambda: leave_with_supervisor(ending), clock=node.steady)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not ending.is_set():
        executor.spin_once()
    node.close()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
