# SPDX-License-Identifier: Apache-2.0
"""Action servers of the simulated arm and gripper, named and behaving as ros2_control's."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from control_msgs.action import FollowJointTrajectory, GripperCommand
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.task import Future

from wm_ros.bridge import joints, times
from wm_ros.errors import UserError
from wm_ros.motion.trajectory import SPLICE, make_path, refusal
from wm_ros.nodes.base import WmNode
from wm_ros.nodes.goal_end import end
from wm_ros.nodes.simulation_loop import Loop
from wm_ros.sim.controllers import Outcome, Tolerances

Follow = FollowJointTrajectory.Result
OUTCOMES = {
    Outcome.DONE: (Follow.SUCCESSFUL, ""),
    Outcome.PATH_VIOLATED: (Follow.PATH_TOLERANCE_VIOLATED,
                            "The arm could not follow the trajectory; something may block it."),
    Outcome.GOAL_VIOLATED: (Follow.GOAL_TOLERANCE_VIOLATED,
                            "The arm did not reach the end of the trajectory in time."),
}


class Refused(Exception):
    """A trajectory that must not be driven, with FollowJointTrajectory's error code."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.sentence = code, sentence


class Turn:
    """Awaiting it gives the executor one turn."""

    def __await__(self) -> Any:
        yield


class _Server:
    """One goal at a time; a newer one ends the one before. Callbacks run in the executor."""

    def __init__(self, node: WmNode, loop: Loop, kind: Any, name: str) -> None:
        self.node, self.loop = node, loop
        self._running: Future | None = None
        self._server = ActionServer(
            node, kind, name, execute_callback=self.execute, goal_callback=self.wanted,
            cancel_callback=lambda _: CancelResponse.ACCEPT)

    async def execute(self, handle: Any) -> Any:
        """Body of the action."""
        raise NotImplementedError

    def wanted(self, _goal: Any) -> GoalResponse:
        """Accept while the node is active.

        An unsound trajectory is accepted first too: only a result can say in words why not.
        """
        return GoalResponse.ACCEPT if self.node.is_active else GoalResponse.REJECT

    def end(self, *result: Any) -> None:
        """End the running goal, from any thread."""
        self._end(self._running, *result)

    def _end(self, running: Future | None, *result: Any) -> None:
        if running is not None and not running.done():
            running.set_result(result)
            if self.node.executor is not None:
                self.node.executor.wake()

    async def ask(self, work: Callable[[], Any]) -> Any:
        """Run work in the simulation's thread."""
        return await self.node.in_worker(self.loop.ask, work)

    async def take_over(self, running: Future, start: Callable[[], str], *ended: Any) -> str:
        """Let ``running`` take the place of the goal before it, which gets the result ``ended``.

        :param start: begins the motion, in the simulation's thread; returns why it must not
        :returns: the same; the goal before then goes on
        """
        def work() -> tuple[str, Future | None]:
            sentence = start()
            if sentence:
                return sentence, None
            before, self._running = self._running, running
            return "", before
        sentence, before = await self.ask(work)
        self._end(before, *ended)
        return str(sentence)

    async def halt(self, running: Future) -> tuple[Any, ...]:
        """Stop a goal that was cancelled, unless a newer one moves already; its result."""
        raise NotImplementedError

    async def wait(self, handle: Any, running: Future) -> Any:
        """The goal's result."""
        while not running.done():
            if handle.is_cancel_requested:
                self._end(running, *await self.halt(running))
                break
            await Turn()
        return running.result()


class ArmServer(_Server):
    """FollowJointTrajectory: checks, tolerances, braking when it is cancelled."""

    def __init__(self, node: WmNode, loop: Loop) -> None:
        super().__init__(node, loop, FollowJointTrajectory,
                         f"/{node.robot.controllers.arm}/follow_joint_trajectory")

    def ended(self, outcome: Outcome) -> None:
        """The controller is through with its path."""
        self.end(*OUTCOMES[outcome])

    def brake(self) -> None:
        """Stop within the limits; for the simulation's thread."""
        self.loop.arm.stop(self.loop.motion_time)

    async def halt(self, running: Future) -> tuple[int, str]:
        """Brake; who hears of the end may start from where the arm then rests."""
        def brake() -> None:  # the newest goal changes in the simulation's thread alone
            if self._running is running:
                self.brake()
        await self.ask(brake)
        while self._running is running and not await self.ask(lambda: self.loop.arm.at_rest):
            await Turn()
        return Follow.SUCCESSFUL, "Cancelled."

    async def execute(self, handle: Any) -> FollowJointTrajectory.Result:
        """Drive one trajectory."""
        running = Future()
        try:
            sentence = await self.take_over(
                running, self._checked(handle.request), Follow.INVALID_GOAL,
                "A newer trajectory took its place.")
            if sentence:
                raise Refused(Follow.INVALID_GOAL, sentence)
        except Refused as refused:
            handle.abort()
            self.node.get_logger().warning(f"trajectory refused: {refused.sentence}")
            return Follow(error_code=refused.code, error_string=refused.sentence)
        code, text = await self.wait(handle, running)
        end(handle, (code, text) == OUTCOMES[Outcome.DONE])
        return Follow(error_code=code, error_string=text)

    def _checked(self, goal: FollowJointTrajectory.Goal) -> Callable[[], str]:
        """Work that starts the goal and returns why not; raises Refused for what is known now."""
        robot, loop = self.node.robot, self.loop
        try:
            path = joints.from_trajectory(goal.trajectory)
        except UserError as error:
            raise Refused(Follow.INVALID_GOAL, str(error)) from error
        if sorted(path.names) != sorted(robot.arm_joints):
            raise Refused(Follow.INVALID_JOINTS,
                          f"The trajectory names {', '.join(path.names)}, but the arm's joints "
                          f"are {', '.join(robot.arm_joints)}.")
        stamp = times.seconds(goal.trajectory.header.stamp)
        end = stamp + path.duration
        if stamp > 0 and end < loop.now:
            raise Refused(Follow.OLD_HEADER_TIMESTAMP,
                          f"The trajectory ended {loop.now - end:.2f} s ago by its stamp.")
        order = [path.names.index(name) for name in robot.arm_joints]
        tolerances = self._tolerances(goal)
        positions = path.positions[:, order]
        velocities = None if path.velocities is None else path.velocities[:, order]
        slack, near = self.node.number("limit_slack"), self.node.number("start_tolerance")

        def start() -> str:
            made = make_path(path.times, positions, velocities, loop.arm.command)
            away = np.abs(made.positions[0] - loop.arm.command).max()
            if away > near:
                return (f"The trajectory starts {away:.3f} rad away from the arm "
                        f"(allowed: {near:.3f} rad); plan it from the present joint states.")
            jump = np.abs(made.velocities[0] - loop.arm.velocity)
            if (jump > SPLICE * robot.acceleration_limits).any():
                return "The arm is still moving at another speed than the trajectory starts with."
            sentence = refusal(made, robot, slack)
            if not sentence:
                wait = max(stamp - loop.now, 0.0)
                loop.arm.start(made, tolerances, loop.motion_time + wait)
            return sentence
        return start

    def _tolerances(self, goal: FollowJointTrajectory.Goal) -> Tolerances:
        robot, number = self.node.robot, self.node.number

        def of(entries: Any, default: float) -> np.ndarray:
            values = np.full(robot.dof, default)
            for entry in entries:
                if entry.name in robot.arm_joints and entry.position != 0.0:
                    # negative means: no limit (control_msgs/JointTolerance)
                    values[robot.arm_joints.index(entry.name)] = max(entry.position, 0.0)
            return values
        late = times.seconds(goal.goal_time_tolerance)
        return Tolerances(of(goal.path_tolerance, number("path_tolerance")),
                          of(goal.goal_tolerance, number("goal_tolerance")),
                          late if late > 0 else number("goal_time_tolerance"))


class GripperServer(_Server):
    """GripperCommand: arrives, or stalls on what it holds."""

    def __init__(self, node: WmNode, loop: Loop) -> None:
        super().__init__(node, loop, GripperCommand,
                         node.robot.controllers.gripping)

    def wanted(self, goal: GripperCommand.Goal) -> GoalResponse:
        """Refuse what is no number."""
        if not np.isfinite([goal.command.position, goal.command.max_effort]).all():
            self.node.get_logger().warning("gripper command refused: it is not a finite number")
            return GoalResponse.REJECT
        return super().wanted(goal)

    def hold(self) -> tuple[bool, bool, float, float]:
        """Stay at the present opening; for the simulation's thread."""
        width = float(self.loop.sim.gripper_width)
        self.loop.gripper.stop(width)
        return False, False, width, 0.0

    async def halt(self, running: Future) -> tuple[bool, bool, float, float]:
        """Hold."""
        def hold() -> tuple[bool, bool, float, float]:
            if self._running is running:
                return self.hold()
            return False, False, float(self.loop.sim.gripper_width), 0.0
        return await self.ask(hold)  # type: ignore[no-any-return]

    async def execute(self, handle: Any) -> GripperCommand.Result:
        """Move once; result (reached, stalled, width m, effort N)."""
        running = Future()
        command, scale = handle.request.command, self.node.robot.gripper.command_scale
        width, effort = float(command.position) / scale, float(command.max_effort)

        def start() -> str:
            self.loop.gripper.start(width, effort)
            return ""
        await self.take_over(running, start, False, False, 0.0, 0.0)
        reached, stalled, opening, force = await self.wait(handle, running)
        end(handle, reached or stalled)  # a gripper that holds something stalls: a success
        return GripperCommand.Result(position=float(opening) * scale, effort=float(force),
                                     stalled=bool(stalled), reached_goal=bool(reached))
