# SPDX-License-Identifier: Apache-2.0
"""Stands for a robot driver: joint states at 50 Hz, and the arm's and gripper's actions."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import rclpy
from control_msgs.action import FollowJointTrajectory, GripperCommand
from rclpy.action import ActionServer, CancelResponse
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from sensor_msgs.msg import JointState

from wm_ros import environment
from wm_ros.bridge import joints
from wm_ros.robot import load_robot


class FakeController(Node):
    """Follows trajectories perfectly; a cancelled one stops where it is."""

    def __init__(self) -> None:
        super().__init__("fake_controller")
        self.robot = load_robot("panda")
        self.q = np.array(self.robot.home)
        self.width = self.robot.gripper.open_width
        self._states = self.create_publisher(JointState, "/joint_states", 10)
        self.create_timer(0.02, self._tell)
        arm, gripper = self.robot.controllers.arm, self.robot.controllers.gripper
        self._goals: list[object] = []
        self._arm = ActionServer(
            self, FollowJointTrajectory, f"/{arm}/follow_joint_trajectory", self._follow,
            cancel_callback=lambda _: CancelResponse.ACCEPT)
        self._gripper = ActionServer(
            self, GripperCommand, f"/{gripper}/gripper_cmd", self._grip,
            cancel_callback=lambda _: CancelResponse.ACCEPT)

    def _tell(self) -> None:
        finger = self.width * self.robot.gripper.finger_scale
        names = [*self.robot.arm_joints, *self.robot.finger_joints]
        position = np.concatenate([self.q, [finger] * len(self.robot.finger_joints)])
        stamp = self.get_clock().now().to_msg()
        self._states.publish(joints.to_joint_state(stamp, names, position))

    async def _in_thread(self, body: object, *args: object) -> object:
        future = Future()

        def run() -> None:
            future.set_result(body(*args))  # type: ignore[operator]
            self.executor.wake()

        threading.Thread(target=run, daemon=True).start()
        return await future

    async def _follow(self, handle: object) -> object:
        return await self._in_thread(self._drive, handle)

    def _drive(self, handle: object) -> object:
        path = joints.from_trajectory(handle.request.trajectory)
        begin = time.monotonic()
        while (t := time.monotonic() - begin) < path.duration:
            if handle.is_cancel_requested:
                handle.canceled()
                return FollowJointTrajectory.Result()
            self.q = np.array([np.interp(t, path.times, column) for column in path.positions.T])
            time.sleep(0.01)
        self.q = path.positions[-1]
        handle.succeed()
        return FollowJointTrajectory.Result()

    async def _grip(self, handle: object) -> object:
        self.width = float(handle.request.command.position) / self.robot.gripper.command_scale
        handle.succeed()
        return GripperCommand.Result(position=handle.request.command.position, reached_goal=True)


def main() -> None:
    environment.prepare()
    # rclpy's own handler would end the context under a callback or a wait for one.
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    executor.add_node(FakeController())
    while not ending.is_set():
        executor.spin_once()  # its timer ends the wait
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
