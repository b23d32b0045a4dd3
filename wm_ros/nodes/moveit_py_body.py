# SPDX-License-Identifier: Apache-2.0
"""The planning node's hands on moveit_py: MoveIt inside of this process, no move_group."""
from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped
from moveit_msgs.action import ExecuteTrajectory
from moveit_msgs.msg import (
    CollisionObject,
    DisplayTrajectory,
    MoveItErrorCodes,
    PlanningScene,
)
from moveit_msgs.msg import RobotTrajectory as TrajectoryMessage
from rclpy.task import Future

from wm_ros import moveit_config
from wm_ros.bridge import joints, poses
from wm_ros.errors import UserError
from wm_ros.motion.lines import along
from wm_ros.motion.pose import Pose
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode
from wm_ros.nodes.clients import SUCCEEDED, Goal, StopFlag
from wm_ros.nodes.moveit_body import UNTIMED, Hopeless, MoveItBody

try:
    from moveit.core.robot_trajectory import RobotTrajectory
    from moveit.planning import MoveItPy, PlanRequestParameters
except ImportError as missing:
    raise UserError("The planner moveit_py is not installed: install MoveIt's Python package "
                    "(apt install ros-$ROS_DISTRO-moveit-py) or set planner to move_group."
                    ) from missing

if TYPE_CHECKING:
    from moveit.core.planning_scene import PlanningScene as Scene
    from moveit.core.robot_model import RobotModel
    from moveit.core.robot_state import RobotState
    from moveit.planning import (
        PlanningComponent,
        PlanningSceneMonitor,
        TrajectoryExecutionManager,
    )

MAX_JUMP = 0.35  # rad a joint may move between neighbouring points of a path
IK_TIME = 0.02  # s for one point
PATH_TOLERANCE = 0.01  # rad by which corners of a path are rounded
SAMPLE = 0.05  # s between points of a timed path
SLACK = 1e-3  # m by which a way around may leave the work space
NOMINAL = 0.1  # s between points before they are timed
ENDS = {  # what MoveIt's ExecutionStatus says of a motion that has ended
    "SUCCEEDED": MoveItErrorCodes.SUCCESS,
    "PREEMPTED": MoveItErrorCodes.PREEMPTED,
    "TIMED_OUT": MoveItErrorCodes.TIMED_OUT}


_STARTED: list[tuple[moveit_config.Tree, str, MoveItPy]] = []  # none or one
_TURN = threading.Lock()  # at its scene: who waits for MoveIt's own lock keeps Python from all


def started(parameters: moveit_config.Tree, joint_states: str) -> MoveItPy:
    """This process's MoveIt, with an empty scene; there is one, since one that ends shuts ROS
    down for all.

    :param joint_states: topic
    :raises UserError: no joint states come, or the settings are not those that it was started with
    """
    if not _STARTED:
        # which topic it listens to is no setting of MoveItCpp (2.12): a remapping is needed
        mapped = {} if joint_states == "/joint_states" else {
            "remappings": {"joint_states": joint_states}}
        try:
            made = MoveItPy(node_name="planning_moveit", config_dict=parameters, **mapped)
        except RuntimeError as error:
            raise UserError(f"MoveIt cannot be set up ({error}); its log says why.") from error
        _STARTED.append((parameters, joint_states, made))
        return made
    *before, made = _STARTED[0]
    if before != [parameters, joint_states]:
        raise UserError("moveit_py keeps the settings that it was started with; end the planning "
                        "node and start it again.")
    with _TURN, made.get_planning_scene_monitor().read_write() as scene:
        scene.remove_all_collision_objects()
    return made


class _Running:
    """A motion that runs in a worker thread, as the handle of a `Goal`."""

    def __init__(self, manager: TrajectoryExecutionManager) -> None:
        self._manager = manager

    def cancel_goal_async(self) -> None:
        """Stop what is executed."""
        self._manager.stop_execution()


class MoveItPyBody(MoveItBody):
    """What a run asks for, from MoveItPy, its planning component and planning scene monitor."""

    def __init__(self, node: WmNode) -> None:
        parameters = moveit_config.parameters(node.robot, moveit_cpp=True)
        parameters["use_sim_time"] = bool(node.value("use_sim_time"))
        self._moveit = started(parameters, node.text("topics.joint_states"))
        self._model: RobotModel = self._moveit.get_robot_model()
        self._monitor: PlanningSceneMonitor = self._moveit.get_planning_scene_monitor()
        self._manager: TrajectoryExecutionManager = (
            self._moveit.get_trajectory_execution_manager())
        self._component: PlanningComponent = self._moveit.get_planning_component(
            node.robot.planning_group)
        self._check_joints(node)
        super().__init__(node)

    def _check_joints(self, node: WmNode) -> None:
        group = self._model.get_joint_model_group(node.robot.planning_group)
        names = tuple(group.active_joint_model_names)
        if names != node.robot.arm_joints:
            raise UserError(f"MoveIt's group {node.robot.planning_group} moves "
                            f"{', '.join(names)}, but the robot's YAML file names "
                            f"{', '.join(node.robot.arm_joints)}.")

    def _connect_planner(self) -> None:
        self._display_out = self.node.create_publisher(DisplayTrajectory, "/display_planned_path",
                                                       qos.EVENT)

    # --- planning scene
    def _known(self, stop: StopFlag) -> PlanningScene:
        names = self._applied_ids | (set() if self._seen is None else self._seen.names)
        known = PlanningScene()  # nobody else changes this process's scene
        known.world.collision_objects = [CollisionObject(id=name) for name in names]
        return known

    def _change_scene(self, scene: PlanningScene, stop: StopFlag) -> bool:
        with _TURN:
            taken = [self._monitor.process_collision_object(collision_object_msg=item)
                     for item in scene.world.collision_objects]
            taken += [self._monitor.process_attached_collision_object(
                attached_collision_object_msg=item)
                for item in scene.robot_state.attached_collision_objects]
        return all(taken)

    @contextmanager
    def _reading(self) -> Iterator[Scene]:
        with _TURN, self._monitor.read_only() as scene:
            yield scene

    # --- planning
    def plan(self, start: np.ndarray, waypoints: list[Pose], stop: StopFlag,
             check: bool = True) -> tuple[joints.JointPath | None, float, str]:
        """Straight lines through the waypoints; see planning_run.Body.

        Where the first of them is blocked and ``detours`` is set, the planning component looks
        for a way around to the last waypoint.
        """
        stop.check()
        self._make_way(start, waypoints, stop)
        with self._reading() as scene:
            state = self._state_at(start, scene.current_state)
            positions, fraction = self._follow(state, start, waypoints, scene if check else None)
        if fraction <= 0.0 and check and self.node.value("detours"):
            path = self._around(start, waypoints[-1])
            if path is None:
                return None, 0.0, "MoveIt found no way around."
            if self._leaves_work_space(path):
                return None, 0.0, "MoveIt found only a way around that leaves the work space."
            return self._slowed(path), 1.0, ""
        reason = (f"MoveIt reaches only {100.0 * fraction:.0f} % of the way; something is in the "
                  "way or out of reach.")
        if len(positions) < 2:
            return None, 0.0, reason
        path = self._timed(start, positions)
        if path is None:
            raise Hopeless(UNTIMED)
        return self._slowed(path), fraction, reason

    def _state_at(self, q: np.ndarray, present: RobotState) -> RobotState:
        state = copy.deepcopy(present)
        state.set_joint_group_positions(self.robot.planning_group, np.asarray(q, dtype=float))
        state.update()
        return state

    def _follow(self, state: RobotState, start: np.ndarray, waypoints: list[Pose],
                scene: Scene | None) -> tuple[list[np.ndarray], float]:
        """Joints along the lines as far as they can be followed, and the share of the way.

        :param scene: where collisions are looked for; None: nowhere
        """
        robot, group = self.robot, self.robot.planning_group
        base = Pose.from_matrix(np.asarray(state.get_frame_transform(robot.base_link)))
        positions, fraction = [np.asarray(start, dtype=float)], 0.0
        step = self.node.number("max_step")
        for share, pose in along(self.tool(start), waypoints, step):
            target = poses.to_pose(base.compose(pose))
            if not state.set_from_ik(group, target, robot.tcp_link, IK_TIME):
                break
            state.update()
            q = np.asarray(state.get_joint_group_positions(group), dtype=float)
            if np.abs(q - positions[-1]).max() > MAX_JUMP:
                break
            if scene is not None and scene.is_state_colliding(
                    robot_state=state, joint_model_group_name=group):
                break
            positions.append(q)
            fraction = share
        return positions, fraction

    def _timed(self, start: np.ndarray, positions: list[np.ndarray]) -> joints.JointPath | None:
        """A path within the limits (time-optimal, TOTG); None where that fails."""
        raw = joints.JointPath(self.robot.arm_joints, NOMINAL * np.arange(len(positions)),
                               np.array(positions), None, None)
        with self._reading() as scene:
            state = self._state_at(start, scene.current_state)
        trajectory = RobotTrajectory(self._model)
        trajectory.joint_model_group_name = self.robot.planning_group
        trajectory.set_robot_trajectory_msg(
            state, TrajectoryMessage(joint_trajectory=joints.to_trajectory(raw)))
        timed = trajectory.apply_totg_time_parameterization(
            self.node.number("velocity_scaling"), self.node.number("acceleration_scaling"),
            path_tolerance=PATH_TOLERANCE, resample_dt=SAMPLE)
        return self._path(trajectory) if timed else None

    def _path(self, trajectory: RobotTrajectory) -> joints.JointPath:
        message = trajectory.get_robot_trajectory_msg()
        return joints.from_trajectory(message.joint_trajectory)

    def _around(self, start: np.ndarray, goal: Pose) -> joints.JointPath | None:
        """A way that the planning component's sampling planner finds, None if there is none."""
        with self._reading() as scene:
            state = self._state_at(start, scene.current_state)
        self._component.set_start_state(robot_state=state)
        target = PoseStamped(pose=poses.to_pose(goal))
        target.header.frame_id = self.robot.base_link
        self._component.set_goal_state(pose_stamped_msg=target, pose_link=self.robot.tcp_link)
        wanted = PlanRequestParameters(self._moveit, "")  # the rest as in moveit_cpp.yaml
        wanted.max_velocity_scaling_factor = self.node.number("velocity_scaling")
        wanted.max_acceleration_scaling_factor = self.node.number("acceleration_scaling")
        answer = self._component.plan(single_plan_parameters=wanted)
        return self._path(answer.trajectory) if answer else None

    def _leaves_work_space(self, path: joints.JointPath) -> bool:
        """Whether the tool leaves safety.workspace_*, or gets further out where it is outside."""
        low, high = (np.array(self.node.value(f"safety.workspace_{end}"), dtype=float)
                     for end in ("min", "max"))
        tools = np.array([self.tool(q).position for q in path.positions])
        outside = np.maximum(low - tools, tools - high).max(axis=1)
        return bool((outside > max(outside[0], 0.0) + SLACK).any())

    # --- execution
    def _send(self, goal: ExecuteTrajectory.Goal, stop: StopFlag) -> Goal:
        stop.check()
        self._display_out.publish(DisplayTrajectory(model_id=self.robot.model_name,
                                                    trajectory=[goal.trajectory]))
        if not self._manager.push(goal.trajectory, self.robot.controllers.arm):
            raise UserError("MoveIt refused the trajectory; its log says why.")
        ended: Future = Future()

        def run() -> None:
            result, status = ExecuteTrajectory.Result(), GoalStatus.STATUS_ABORTED
            result.error_code.val = MoveItErrorCodes.CONTROL_FAILED
            try:
                outcome = self._manager.execute_and_wait()
                result.error_code.val = ENDS.get(str(outcome.status), result.error_code.val)
                status = SUCCEEDED if outcome else status
            finally:  # whatever MoveIt raised: nobody waits for ever
                ended.set_result(SimpleNamespace(status=status, result=result))
        self.node.worker(run)
        return Goal(_Running(self._manager), ended)
