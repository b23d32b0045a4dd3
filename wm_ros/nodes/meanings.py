# SPDX-License-Identifier: Apache-2.0
"""What each ROS name carries, with units and frames, for docs/ros_names.md.

Names that ``config/topics.yaml`` may change are listed under their parameter, names of the robot's
controllers with ``<arm>`` and ``<gripper>``.
"""
from __future__ import annotations

TOPICS = {
    "topics.joint_states": "Arm and finger joints: rad, rad/s, N m; fingers m, m/s, N.",
    "topics.scene_color": "Scene camera: pixels, rgb8 (other colour encodings are converted).",
    "topics.scene_info": "Its calibration: pixels.",
    "topics.scene_depth": "Distance along the optical axis, registered to the colour image: "
                          "32FC1 in m or 16UC1 in mm; 0 or NaN where unknown.",
    "topics.wrist_color": "Wrist camera: pixels, rgb8 (other colour encodings are converted).",
    "topics.wrist_info": "Its calibration: pixels.",
    "topics.wrench": "What the environment exerts on the hand, its weight compensated: N, N m, in "
                     "the frame of the header.",
    "/clock": "Simulated time: s, ns.",
    "/tf": "Moving links of the robot: m, quaternion x y z w. Perception hears it, too, where the "
           "scene camera moves.",
    "/tf_static": "Fixed links and cameras: m, quaternion x y z w.",
    "/robot_description": "URDF: m, kg, rad.",
    "/robot_description_semantic": "SRDF: groups, end effector, pairs that need no check.",
    "/diagnostics": "State of sensors, nodes, loop and model, one sentence each; once a second.",
    "/trajectory_execution_event": "`stop` ends what MoveIt executes.",
    "/display_planned_path": "What was planned last: rad, s. Planning itself publishes it with "
                             "moveit_py.",
    "/monitored_planning_scene": "Obstacles and held objects: m, in the base frame.",
    "/planning_scene": "Changes of the planning scene: m.",
    "/collision_object": "One obstacle to add, move or remove: m.",
    "/attached_collision_object": "One object that the hand takes or lets go: m.",
    "/<arm>/controller_state": "What the arm's controller commands and sees: rad, rad/s.",
    "/wm/action_chunk": "Proposed actions, best first: m, in the base frame; gripper opening m.",
    "/wm/chosen_path": "Tool positions along the motion that is driven now: m, in the base frame.",
    "/wm/film_strip": "Imagined frames side by side, oldest left: pixels, rgb8.",
    "/wm/furniture": "The simulated room's furniture as obstacles: m, in the base frame; its "
                     "stamp says when it was laid out (s), 0 where that is not known.",
    "/wm/furniture_contacts": "Touches of arm and furniture since the reset: count.",
    "/wm/heartbeat": "Sign of life of each node; rate of its work: Hz.",
    "/wm/imagined_paths": "Imagined paths of the tool, red (will fail) to green (will succeed): "
                          "m, in the base frame.",
    "/wm/imagined_rollout": "Imagined future: frames (pixels), tool path (m), success (0 to 1).",
    "/wm/instruction": "The instruction in force, plain words; empty while there is none.",
    "/wm/key_poses": "Where the model takes the tool's next grasps or releases to be, the next "
                     "one first: m, in the base frame.",
    "/wm/model_status": "Which model is loaded, where it runs and how fast: ms.",
    "/wm/move_object": "Simulation only: where an unseen hand puts the thing that child_frame_id "
                       "names, for tests of surprise: m, in the base frame.",
    "/wm/observation": "What the robot perceives at one moment: m, rad, N, in the base frame. "
                       "Planning hears it with `see_objects`.",
    "/wm/planned_trajectory": "The motion that is sent to the arm: rad, rad/s, rad/s^2, s.",
    "/wm/scene_markers": "The planning scene's obstacles as shapes: m, in the base frame.",
    "/wm/status_text": "Instruction, success, surprise and what /diagnostics complains of, as "
                       "text above the robot: m, in the base frame.",
    "/wm/stop": "true stops the arm, for buttons; false does nothing, /wm/resume lets it move "
                "again.",
    "/wm/stopped": "Whether the arm is held by the monitor: planning takes no instruction and the "
                   "embedded motion node executes nothing then.",
    "/wm/surprise": "How far what is seen departs from what was imagined; above 1 is unusual.",
    "/wm/trace": "When the stages of one piece of motion happened, as JSON: s.",
}

SERVICES = {
    "/wm/propose": "Candidate chunks and their futures for an instruction.",
    "/wm/stop": "Stop the arm and keep it stopped.",
    "/wm/resume": "Let a stopped arm move again.",
    "/wm/reset_simulation": "A fresh, reproducible room.",
    "/wm/task_status": "How the task stands; the simulator knows the truth.",
    "/apply_planning_scene": "MoveIt: change the planning scene.",
    "/get_planning_scene": "MoveIt: ask for the planning scene.",
    "/check_state_validity": "MoveIt: is a posture free of collisions and within limits?",
    "/compute_cartesian_path": "MoveIt: a straight, checked, timed path through poses.",
    "/compute_fk": "MoveIt: poses of links.",
    "/compute_ik": "MoveIt: joint angles for a pose.",
    "/plan_kinematic_path": "MoveIt: plan to joints or to a pose.",
    "/query_planner_interface": "MoveIt: which planners are there.",
    "/<arm>/follow_joint_trajectory/_action/cancel_goal": "Stop every motion at the controller.",
    "/<gripper>/gripper_cmd/_action/cancel_goal": "Stop the gripper at its controller.",
}

ACTIONS = {
    "/wm/execute_instruction": "Do what the words say, within safety.yaml; `dry_run` plans and "
                               "imagines only.",
    "/wm/imagine": "Show what would happen, without moving.",
    "/move_action": "MoveIt: plan and execute; tool speed and work space of safety.yaml bind "
                    "instructions only.",
    "/execute_trajectory": "MoveIt: execute a planned trajectory; tool speed and work space of "
                           "safety.yaml bind instructions only.",
    "/<arm>/follow_joint_trajectory": "ros2_control: drive a trajectory (rad, s).",
    "/<gripper>/gripper_cmd": "ros2_control: open or close (m times command_scale; N).",
}
