# SPDX-License-Identifier: Apache-2.0
"""Serves MoveIt's own names and types with the embedded planner, where MoveIt is not installed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from moveit_msgs.action import ExecuteTrajectory, MoveGroup
from moveit_msgs.msg import (
    AttachedCollisionObject,
    CollisionObject,
    PlanningScene,
    RobotTrajectory,
)
from moveit_msgs.srv import (
    ApplyPlanningScene,
    GetCartesianPath,
    GetMotionPlan,
    GetPlanningScene,
    GetPositionFK,
    GetPositionIK,
    GetStateValidity,
    QueryPlannerInterfaces,
)
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from std_msgs.msg import Bool, String

from wm_ros import moveit_config
from wm_ros.bridge import furniture, moveit
from wm_ros.bridge.moveit import Refusal
from wm_ros.errors import UserError
from wm_ros.motion.errors import ErrorCode
from wm_ros.motion.planner import Planner
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode, run_node
from wm_ros.nodes.clients import StopFlag
from wm_ros.nodes.goal_end import end
from wm_ros.nodes.motion_answers import Answers
from wm_ros.nodes.motion_execution import Settings, TrajectoryExecution
from wm_ros.nodes.motion_state import PresentState


class MotionNode(WmNode):
    """`move_group` for one arm: planning, execution and the planning scene."""

    def __init__(self) -> None:
        super().__init__("move_group")
        read_only = ParameterDescriptor(read_only=True, description="The robot's URDF.")
        self.declare_parameter("robot_description", moveit_config.urdf(self.robot), read_only)
        read_only = ParameterDescriptor(read_only=True, description="The robot's SRDF.")
        self._semantic = moveit_config.srdf(self.robot)
        self.declare_parameter("robot_description_semantic", self._semantic, read_only)

    # ---- life cycle
    def configure(self) -> None:
        """Load the planner and serve everything."""
        # One thread, so that the scene changes in the order in which it was told to.
        self._changes = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scene")
        self._planner = Planner(self.robot, self.number("padding"))
        self._present = PresentState(self)
        self._answers = Answers(self, self._planner, self._present)
        self._keeper = self._answers.keeper
        self._execution = TrajectoryExecution(self, self._settings, self._present.present)
        self._flags: dict[bytes, StopFlag] = {}
        self._stopped = False  # by the monitor
        # the name under which MoveIt's displays in RViz look for it
        self._semantic_out = self.create_publisher(String, "/robot_description_semantic",
                                                   qos.LATCHED)
        self._semantic_out.publish(String(data=self._semantic))
        self._scene_out = self.create_publisher(
            PlanningScene, "/monitored_planning_scene", qos.EVENT)
        self._listen()
        self._serve()
        self._load_scene()

    def _listen(self) -> None:
        for kind, topic, callback, profile in (
            (CollisionObject, "/collision_object", self._hear_object, qos.EVENT),
            (AttachedCollisionObject, "/attached_collision_object", self._hear_attached,
             qos.EVENT),
            (PlanningScene, "/planning_scene", self._hear_scene, qos.EVENT),
            (String, "/trajectory_execution_event", self._hear_event, qos.EVENT),
            (Bool, "/wm/stopped", self._hear_stopped, qos.LATCHED),
        ):
            self.create_subscription(kind, topic, callback, profile)

    def _serve(self) -> None:
        answers = self._answers
        for kind, name, answer in (
            (GetMotionPlan, "/plan_kinematic_path", answers.plan),
            (GetCartesianPath, "/compute_cartesian_path", answers.cartesian),
            (GetPositionIK, "/compute_ik", answers.ik),
            (GetPositionFK, "/compute_fk", answers.fk),
            (GetStateValidity, "/check_state_validity", answers.validity),
            (GetPlanningScene, "/get_planning_scene", answers.scene),
            (ApplyPlanningScene, "/apply_planning_scene", self._serve_apply),
            (QueryPlannerInterfaces, "/query_planner_interface", answers.interfaces),
        ):
            pool = self._changes if kind is ApplyPlanningScene else None

            async def handle(request: Any, response: Any, answer: Any = answer,
                             pool: ThreadPoolExecutor | None = pool) -> Any:
                return await self.in_worker(self._answered, answer, request, response, pool=pool)
            self.create_service(kind, name, handle)
        for kind, name, body in (
            (MoveGroup, "/move_action", self._move),
            (ExecuteTrajectory, "/execute_trajectory", self._execute),
        ):
            ActionServer(self, kind, name, execute_callback=body, goal_callback=self._wanted,
                         cancel_callback=self._unwanted)

    def _load_scene(self) -> None:
        path = self.text("planning_scene")
        if not path:
            return
        try:
            data = yaml.safe_load(Path(path).expanduser().read_text()) or {}
            message = furniture.from_yaml(data, self.robot.base_link)
        except (OSError, yaml.YAMLError, ValueError, UserError) as error:
            raise UserError(f"The planning scene {path} cannot be read: {error}") from error
        problems = self._keeper.apply(message)
        if problems:
            raise UserError(f"The planning scene {path} cannot be used: {problems[0]}")

    def activate(self) -> None:
        """Tell the scene once a second."""
        self._timer = self.create_timer(1.0, self._tell_scene, clock=self._beat_timer.clock)

    def deactivate(self) -> None:
        """Stop the arm."""
        self.destroy_timer(self._timer)
        self._stop("The motion node was deactivated.")

    def cleanup(self) -> None:
        """End the thread of the scene's changes."""
        self._changes.shutdown(wait=False, cancel_futures=True)

    def _settings(self) -> Settings:
        return Settings(
            self.number("allowed_start_tolerance"),
            self.number("allowed_execution_duration_scaling"),
            self.number("allowed_goal_duration_margin"),
        )

    # ---- what is heard
    def _hear_object(self, message: CollisionObject) -> None:
        self.worker(self._change, self._keeper.change_object, message, pool=self._changes)

    def _hear_attached(self, message: AttachedCollisionObject) -> None:
        self.worker(self._change, self._keeper.change_attached, message, pool=self._changes)

    def _hear_scene(self, message: PlanningScene) -> None:
        self.worker(self._apply, message, pool=self._changes)

    def _hear_event(self, message: String) -> None:
        if message.data == "stop":
            self._stop("A stop was asked for on /trajectory_execution_event.")

    def _hear_stopped(self, message: Bool) -> None:
        """Whoever asks, nothing is executed while the monitor holds the arm; planning goes on."""
        self._stopped = bool(message.data)
        if self._stopped:
            self._stop("The arm was stopped by the monitor; see /diagnostics for the reason.")

    def _stop(self, reason: str) -> None:
        """End what runs, and what is still being planned or waits to run."""
        for flag in list(self._flags.values()):
            flag.set(reason)
        self._execution.stop(reason)

    def _change(self, change: Any, message: Any) -> None:
        try:
            change(message)
        except Refusal as refusal:
            raise UserError(str(refusal)) from refusal
        self._tell_scene()

    def _apply(self, message: PlanningScene) -> list[str]:
        problems = self._keeper.apply(message)
        for problem in problems:
            self.complain(problem)
        self._tell_scene()
        return problems

    # ---- services
    def _answered(self, answer: Any, request: Any, response: Any) -> Any:
        """Runs a service's body; every failure becomes an error code."""
        try:
            answer(request, response)
        except Refusal as refusal:
            self._refuse(response, refusal.code, str(refusal))
        except UserError as error:
            self._refuse(response, ErrorCode.FAILURE, str(error))
        except Exception as error:
            self._refuse(response, ErrorCode.FAILURE, f"{type(error).__name__}: {error}")
        return response

    def _refuse(self, response: Any, code: ErrorCode, sentence: str) -> None:
        self.complain(sentence)
        target = getattr(response, "motion_plan_response", response)
        if hasattr(target, "error_code"):
            target.error_code = moveit.error_code(code, sentence)

    def _serve_apply(self, request: Any, response: Any) -> None:
        response.success = False
        response.success = not self._apply(request.scene)

    def _tell_scene(self) -> None:
        if self._scene_out.get_subscription_count():
            state = self._present
            self._scene_out.publish(self._keeper.tell(0, state.joints, state.width))

    # ---- actions
    def _wanted(self, _: Any) -> GoalResponse:
        return GoalResponse.ACCEPT if self.is_active else GoalResponse.REJECT

    def _unwanted(self, handle: Any) -> CancelResponse:
        flag = self._flags.get(bytes(handle.goal_id.uuid))
        if flag is not None:
            flag.set("The goal was cancelled.")
        return CancelResponse.ACCEPT

    async def _run_goal(self, handle: Any, body: Any, action: Any) -> Any:
        key, flag = bytes(handle.goal_id.uuid), StopFlag()
        self._flags[key] = flag
        if handle.is_cancel_requested:
            flag.set("The goal was cancelled.")

        def tell(state: str) -> None:
            handle.publish_feedback(action.Feedback(state=state))

        try:
            result, code = await self.in_worker(body, handle.request, flag, tell)
        except Exception as error:
            self.complain(f"{type(error).__name__} in a goal: {error}")
            code = ErrorCode.FAILURE
            result = action.Result(error_code=moveit.error_code(
                code, "The motion node failed; see its log."))
        finally:
            self._flags.pop(key, None)
        end(handle, code is ErrorCode.SUCCESS)
        return result

    async def _execute(self, handle: Any) -> Any:
        return await self._run_goal(handle, self._execute_body, ExecuteTrajectory)

    def _execute_body(self, request: Any, flag: StopFlag, tell: Any) -> tuple[Any, ErrorCode]:
        tell("MONITOR")
        code, sentence = self._run_trajectory(request.trajectory, flag)
        return ExecuteTrajectory.Result(error_code=moveit.error_code(code, sentence)), code

    def _run_trajectory(
        self, trajectory: RobotTrajectory, flag: StopFlag
    ) -> tuple[ErrorCode, str]:
        if self._stopped:
            code, sentence = ErrorCode.CONTROL_FAILED, (
                "The arm is stopped; look at /diagnostics, then call /wm/resume.")
        else:
            code, sentence = self._execution.run(trajectory, flag)
        if code is not ErrorCode.SUCCESS:
            self.get_logger().warning(f"{code.name}: {sentence}")
        return code, sentence

    async def _move(self, handle: Any) -> Any:
        return await self._run_goal(handle, self._move_body, MoveGroup)

    @staticmethod
    def _check_options(options: Any) -> None:
        diff = options.planning_scene_diff
        if diff.world.collision_objects or diff.robot_state.attached_collision_objects or (
            diff.allowed_collision_matrix.entry_names
        ):
            raise Refusal(
                ErrorCode.INVALID_MOTION_PLAN,
                "This planner takes no scene for a single request; send it to "
                "/apply_planning_scene first.",
            )

    def _move_body(self, goal: Any, flag: StopFlag, tell: Any) -> tuple[Any, ErrorCode]:
        result = MoveGroup.Result()
        tell("PLANNING")
        try:
            self._check_options(goal.planning_options)
            response = self._answers.plan_request(goal.request)
        except Refusal as refusal:
            self.complain(str(refusal))
            result.error_code = moveit.error_code(refusal.code, str(refusal))
            return result, refusal.code
        result.trajectory_start = response.trajectory_start
        result.planned_trajectory = response.trajectory
        result.planning_time = response.planning_time
        result.error_code = response.error_code
        code = ErrorCode(response.error_code.val)
        if code is ErrorCode.SUCCESS and flag:
            code = ErrorCode.PREEMPTED
            result.error_code = moveit.error_code(code, flag.reason)
        elif code is ErrorCode.SUCCESS and not goal.planning_options.plan_only:
            tell("MONITOR")
            code, sentence = self._run_trajectory(response.trajectory, flag)
            result.error_code = moveit.error_code(code, sentence)
            if code is ErrorCode.SUCCESS:
                result.executed_trajectory = response.trajectory
        tell("IDLE")
        return result, code


def main(args: list[str] | None = None) -> int:
    """Runs the node until it is told to end."""
    return run_node(MotionNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
