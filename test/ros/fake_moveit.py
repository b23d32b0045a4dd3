# SPDX-License-Identifier: Apache-2.0
"""The part of moveit_py that the planning node uses, on this package's own planner.

Names and arguments are those of moveit_py's bindings (MoveIt 2.12), so that a call which they
would refuse is refused here too.
"""
from __future__ import annotations

import copy
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from moveit_msgs.msg import CollisionObject
from moveit_msgs.msg import RobotTrajectory as Message

from wm_ros.bridge import joints, moveit, poses
from wm_ros.motion.plan import Request
from wm_ros.motion.planner import Planner
from wm_ros.motion.pose import Pose
from wm_ros.robot import load_robot

ROBOT = load_robot()


class RobotState:
    def __init__(self, planner: Planner) -> None:
        self.planner, self.q = planner, np.array(ROBOT.home)

    def __deepcopy__(self, _memo: Any) -> RobotState:
        other = RobotState(self.planner)
        other.q = self.q.copy()
        return other

    def set_joint_group_positions(self, joint_model_group_name: str,
                                  position_values: np.ndarray) -> None:
        self.q = np.array(position_values)

    def get_joint_group_positions(self, joint_model_group_name: str) -> np.ndarray:
        return self.q

    def get_frame_transform(self, frame_id: str) -> np.ndarray:
        assert frame_id == ROBOT.base_link
        return np.eye(4)

    def set_from_ik(self, joint_model_group_name: str, geometry_pose: Any, tip_name: str,
                    timeout: float = 0.0) -> bool:
        assert (joint_model_group_name, tip_name) == (ROBOT.planning_group, ROBOT.tcp_link)
        q = self.planner.kinematics.step(poses.from_pose(geometry_pose), self.q)
        if q is not None:
            self.q = q
        return q is not None

    def update(self, force: bool = False, type: str = "all") -> None:
        pass


class RobotTrajectory:
    def __init__(self, robot_model: Any) -> None:
        self.planner: Planner = robot_model.planner
        self.joint_model_group_name = ""
        self.message = Message()

    def set_robot_trajectory_msg(self, robot_state: RobotState, msg: Message) -> RobotTrajectory:
        self.message = msg
        return self

    def apply_totg_time_parameterization(
            self, velocity_scaling_factor: float, acceleration_scaling_factor: float, *,
            path_tolerance: float = 0.1, resample_dt: float = 0.1,
            min_angle_change: float = 0.001) -> bool:
        path = joints.from_trajectory(self.message.joint_trajectory)
        timed = self.planner._timed(list(path.positions), Request(
            velocity_scaling_factor, acceleration_scaling_factor), path_tolerance)
        self.message = moveit.to_trajectory(timed, ROBOT)
        return True

    def get_robot_trajectory_msg(self, joint_filter: Any = ()) -> Message:
        return self.message


class Monitor:
    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.current_state = RobotState(planner)

    @contextmanager
    def read_only(self) -> Iterator[Monitor]:
        yield self

    read_write = read_only

    def remove_all_collision_objects(self) -> None:
        self.planner.clear()

    def is_state_colliding(self, robot_state: RobotState, joint_model_group_name: str,
                           verbose: bool = False) -> bool:
        return self.planner.in_collision(robot_state.q)

    def process_collision_object(self, collision_object_msg: CollisionObject,
                                 color_msg: Any = None) -> bool:
        if collision_object_msg.operation == CollisionObject.REMOVE:
            return self.planner.remove_object(collision_object_msg.id)
        self.planner.add_object(moveit.from_object(collision_object_msg,
                                                   lambda _: Pose.identity()))
        return True


class ExecutionStatus:
    def __init__(self, status: str) -> None:
        self.status = status

    def __bool__(self) -> bool:
        return self.status == "SUCCEEDED"


class Manager:
    def __init__(self) -> None:
        self.pushed: list[tuple[Message, str]] = []
        self.stopped = threading.Event()
        self.arrives = True
        self.fails = ""

    def push(self, trajectory: Message, controller: str = "") -> bool:
        assert isinstance(trajectory, Message)
        self.pushed.append((trajectory, controller))
        return True

    def execute_and_wait(self, auto_clear: bool = True) -> ExecutionStatus:
        if self.fails:
            return ExecutionStatus(self.fails)
        stopped = not self.arrives and self.stopped.wait(20.0)
        return ExecutionStatus("PREEMPTED" if stopped else "SUCCEEDED")

    def stop_execution(self, auto_clear: bool = True) -> None:
        self.stopped.set()


class PlanRequestParameters:
    def __init__(self, moveit_cpp: Any, ns: str) -> None:
        self.max_velocity_scaling_factor = self.max_acceleration_scaling_factor = 1.0


class Component:
    def __init__(self, planner: Planner) -> None:
        self.planner = planner

    def set_start_state(self, configuration_name: Any = None, robot_state: Any = None) -> bool:
        self.start = copy.deepcopy(robot_state)
        return True

    def set_goal_state(self, configuration_name: Any = None, robot_state: Any = None,
                       pose_stamped_msg: Any = None, pose_link: Any = None,
                       motion_plan_constraints: Any = None) -> bool:
        assert pose_stamped_msg.header.frame_id == ROBOT.base_link and pose_link == ROBOT.tcp_link
        self.goal = poses.from_pose(pose_stamped_msg.pose)
        return True

    def plan(self, single_plan_parameters: Any = None, multi_plan_parameters: Any = None,
             planning_scene: Any = None, solution_selection_function: Any = None,
             stopping_criterion_callback: Any = None) -> Any:
        asked = single_plan_parameters or PlanRequestParameters(None, "")
        plan = self.planner.plan_pose(self.start.q, self.goal, Request(
            asked.max_velocity_scaling_factor, asked.max_acceleration_scaling_factor, 5.0))
        if not plan.success:
            return None
        found = RobotTrajectory(types.SimpleNamespace(planner=self.planner))
        found.message = moveit.to_trajectory(plan.trajectory, ROBOT)
        return types.SimpleNamespace(trajectory=found)


class MoveItPy:
    def __init__(self, node_name: str = "moveit_py", name_space: str = "",
                 launch_params_filepaths: Any = (), config_dict: Any = None,
                 provide_planning_service: bool = True, remappings: Any = None) -> None:
        self.config, self.remappings = config_dict, remappings
        self.planner = Planner(ROBOT, 0.0)
        self.monitor, self.manager = Monitor(self.planner), Manager()
        self.component = Component(self.planner)

    def get_robot_model(self) -> Any:
        group = types.SimpleNamespace(active_joint_model_names=list(ROBOT.arm_joints))
        return types.SimpleNamespace(planner=self.planner,
                                     get_joint_model_group=lambda _: group)

    def get_planning_scene_monitor(self) -> Monitor:
        return self.monitor

    def get_trajectory_execution_manager(self) -> Manager:
        return self.manager

    def get_planning_component(self, planning_component_name: str) -> Component:
        assert planning_component_name == ROBOT.planning_group
        return self.component


def install(monkeypatch: Any) -> None:
    """Let ``import moveit`` find this."""
    for name, contents in {"moveit": {}, "moveit.core": {},
                           "moveit.planning": {"MoveItPy": MoveItPy,
                                               "PlanRequestParameters": PlanRequestParameters},
                           "moveit.core.robot_trajectory": {"RobotTrajectory": RobotTrajectory},
                           }.items():
        module = types.ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "wm_ros.nodes.moveit_py_body", raising=False)
