# SPDX-License-Identifier: Apache-2.0
"""Every parameter of every node: its default, what it means and the range it may have."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from wm_ros.errors import UserError
from wm_ros.nodes.node_list import PORT


@dataclass(frozen=True)
class Parameter:
    """One node parameter; ``low`` and ``high`` bound a number."""

    name: str
    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    read_only: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """The ROS descriptor, with the range where there is one."""
        result = ParameterDescriptor(name=self.name, description=self.description,
                                     read_only=self.read_only)
        if self.low is None or self.high is None:
            return result
        if isinstance(self.default, int):
            result.integer_range = [IntegerRange(from_value=int(self.low),
                                                 to_value=int(self.high), step=0)]
        else:
            result.floating_point_range = [FloatingPointRange(
                from_value=float(self.low), to_value=float(self.high), step=0.0)]
        return result


P = Parameter
MOST_CANDIDATES = 64  # for one question

COMMON = (
    P("robot", "panda", "Robot by name (config/robots/<name>.yaml) or path of its YAML file.",
      read_only=True),
    P("autostart", True, "Configure and activate at the start, without a life-cycle manager."),
    P("heartbeat.rate", 5.0, "Heartbeats on /wm/heartbeat (Hz).", 5.0, 50.0),
    P("heartbeat.lease", 0.2, "A process is taken for dead after this long (s).", 0.05, 2.0,
      read_only=True),
)

TOPICS = (
    P("topics.joint_states", "/joint_states", "Joint states of arm and fingers."),
    P("topics.scene_color", "/scene_camera/color/image_raw", "Scene camera, colour."),
    P("topics.scene_info", "/scene_camera/color/camera_info", "Scene camera, calibration."),
    P("topics.scene_depth", "/scene_camera/depth/image_rect_raw",
      "Scene camera, depth registered to its colour image."),
    P("topics.wrist_color", "/wrist_camera/color/image_raw", "Wrist camera, colour."),
    P("topics.wrist_info", "/wrist_camera/color/camera_info", "Wrist camera, calibration."),
    P("topics.wrench", "/wrist/wrench", "Force and torque on the hand."),
    P("frames.scene_camera", "scene_camera_optical_frame", "Optical frame of the scene camera; "
      "the default or empty means the one that its images name."),
    P("frames.wrist_camera", "wrist_camera_optical_frame", "Optical frame of the wrist camera; "
      "the default or empty means the one that its images name."),
    P("frames.wrench", "", "Frame of the wrench; empty means the one that its messages name."),
)

SIMULATION = (
    P("room", "home", "Room to simulate, by name (config/rooms/)."),
    P("task", "", "Task that the room is laid out for; empty for any layout."),
    P("seed", 0, "Seed of layout, colours, light and cameras.", 0, 2**31 - 1),
    P("held_out", True, "Draw from the layouts that training never sees."),
    P("image_size", 96, "Width and height of both cameras (pixels).", 32, 640),
    P("camera_rate", 10.0, "Images of each camera (Hz of simulated time).", 1.0, 60.0),
    P("joint_rate", 25.0, "Joint states, transforms and clock (Hz).", 20.0, 250.0),
    P("control_rate", 100.0, "Interpolation of running trajectories (Hz).", 50.0, 500.0),
    P("furniture_margin", 0.003, "Furniture is told larger than it is by this (m).", 0.0, 0.1),
    P("speed", 1.0, "Simulated seconds in a second.", 0.1, 10.0),
    P("path_tolerance", 0.1, "Largest tracking error of a joint on the way (rad); 0: any.",
      0.0, 3.2),
    P("goal_tolerance", 0.02, "Largest error of a joint at the end (rad).", 0.001, 1.0),
    P("goal_time_tolerance", 1.0, "How long a trajectory may end late (s).", 0.0, 10.0),
    P("start_tolerance", 0.05, "A trajectory must start this near to the arm (rad).", 0.001, 1.0),
    P("limit_slack", 1.02, "Velocities may exceed the robot's limits by this factor.", 1.0, 2.0),
    P("gripper_goal_tolerance", 0.003, "The gripper has arrived this near to its goal (m).",
      0.0005, 0.02),
    P("stall_travel", 0.0015, "A gripper that travels less than this is still (m).", 1e-4, 0.01),
    P("stall_time", 0.15, "Still for this long, the gripper has stalled (s).", 0.02, 5.0),
)

GAZEBO = (
    P("room", "home", "Room that Gazebo was started with."),
    P("world", "", "Folder of its world, made by `wm world`."),
)

PERCEPTION = (
    P("rate", 10.0, "Observations at most (Hz).", 1.0, 60.0),
    P("tolerance", 0.03, "Stamps of one observation differ by this at most (s).", 0.001, 1.0),
    P("depth", True, "The scene camera gives depth."),
    P("wrench", True, "There is a force-torque sensor in the wrist."),
    P("image_size", 96, "Images are brought to this size (pixels).", 32, 640),
    P("rectified_images", False, "The topics carry rectified images, as image_proc makes them: P "
      "of camera_info counts instead of K and D."),
    P("checkpoint", "", "Model whose encoder adds latents to each observation; empty: none."),
    P("threads", 1, "Threads of the encoder.", 1, 64),
    P("missing_after", 1.0, "A sensor counts as missing after this long without data (s).",
      0.1, 60.0),
)

IMAGINATION = (
    P("checkpoint", "", "Folder of the trained model; empty: the default checkpoint."),
    P("proposer", "", "For scene3d, which has no policy: the model that proposes; empty: none."),
    P("dreamer", "", "For jepa: the video model that turns words into goal images; empty: none."),
    P("device", "auto", "cpu, cuda or auto."),
    P("threads", 0, "Threads of the model on the CPU; 0: half of the cores.", 0, 256),
    P("precision", "auto", "fp32, bf16, int8, or auto: bf16 on a GPU that is made for it."),
    P("backend", "auto", "torch; onnx: the network run by ONNX Runtime on the CPU; or auto: onnx "
      "where `wm export` has made it ready."),
    P("action_steps", 0, "Sampler steps of actions; 0: the model's own number.", 0, 64),
    P("video_steps", 0, "Sampler steps of imagined frames: 1 is the mean of what may be seen, "
      "more a sharper sample of it; 0: the model's own number.", 0, 64),
    P("n_candidates", 1, "Chunks that are proposed when the caller does not say; with a budget "
      "at most so many.", 1, MOST_CANDIDATES),
    P("budget", 0.0, "Time for a decision (s): as many candidates are imagined as fit; "
      "0: no limit.", 0.0, 10.0),
    P("doubt_limit", 1.0, "Of several candidates, those whose imagined future is doubted more "
      "than this are rejected; 0: none.", 0.0, 100.0),
    P("validity", 1.2, "How long after its start a chunk may be begun (s).", 0.05, 10.0),
    P("judge", True, "Compare what is seen with what was imagined (surprise)."),
    P("judge_rate", 0.5, "Looks compared with what was imagined while the arm moves (Hz), whether "
      "it was drawn or not.", 0.05, 10.0),
    P("surprise_threshold", 1.0, "Surprise above this should stop the arm.", 0.1, 1e6),
    P("render_rate", 0.5, "Imagined futures drawn for people while the arm moves (Hz); 0: none.",
      0.0, 10.0),
    P("observation_wait", 3.0, "How long a request waits for a new observation (s).", 0.05, 30.0),
)

PLANNING = (
    P("planner", "move_group", "Who plans and executes: move_group (MoveIt's services, also those "
      "of the embedded node) or moveit_py (MoveIt inside of this process).", read_only=True),
    P("n_candidates", 1, "Chunks to choose from each time; 0: as many as the imagination node "
      "finds right.", 0, MOST_CANDIDATES),
    P("time_limit", 60.0, "An instruction may take this long (s).", 1.0, 3600.0),
    P("horizon", 3, "Poses of a chunk that are executed before looking again.", 1, 64),
    P("lead", 0.14, "The next chunk is asked for this long before the segment ends (s); it is "
      "measured from then on.", 0.0, 2.0),
    P("retries", 4, "Other chunks tried after one could not be planned.", 0, 50),
    P("margin_fraction", 0.03, "Share of the way kept to an obstacle in it.", 0.0, 0.5),
    P("back_off", 0.02, "Way back (m) along the hand where no planned motion leads on; out of a "
      "touch it is not checked for collisions; 0: none, the instruction ends.", 0.0, 0.1),
    P("max_step", 0.02, "Largest distance between checked points of a path (m).", 0.001, 0.1),
    P("velocity_scaling", 0.9, "Share of the robot's velocity limits.", 0.01, 1.0),
    P("acceleration_scaling", 0.9, "Share of the robot's acceleration limits.", 0.01, 1.0),
    P("follow_timing", True, "Never drive a segment faster than the chunk says."),
    P("gripper_change", 0.006, "Smaller changes of the opening are not commanded (m).", 0.0, 0.08),
    P("gripper_timeout", 3.0, "The gripper must have finished after this long (s).", 0.1, 30.0),
    P("success_threshold", 0.7, "The task counts as done above this predicted success.", 0.0, 1.0),
    P("progress_threshold", 0.8, "The task counts as done above this predicted progress.",
      0.0, 1.0),
    P("still_path", 0.015, "A chunk that stays this close means that the arm wants to rest (m).",
      0.0, 0.5),
    P("still_count", 10, "Looks in a row that must find the task done.", 1, 20),
    P("detours", False, "With moveit_py: where a straight line is blocked at once, let MoveIt's "
      "sampling planner look for a way around."),
    P("see_objects", False, "Things that the scene camera sees on the table are obstacles, and "
      "held ones move with the hand."),
    P("furniture", "", "YAML file with the room's furniture; empty: the simulation publishes it."),
)

SAFETY = (
    P("safety.workspace_min", [0.1, -0.75, 0.005], "Lowest tool position in the base frame (m)."),
    P("safety.workspace_max", [0.9, 0.75, 0.9], "Highest tool position in the base frame (m)."),
    P("safety.max_excess", 0.05, "Poses this far outside are moved to the work space's edge (m).",
      0.0, 0.2),
    P("safety.max_pose_step", 0.08, "Largest distance between two poses of a chunk (m).",
      0.001, 1.0),
    P("safety.max_jump", 0.12, "A chunk must start this near to the arm (m).", 0.001, 1.0),
    P("safety.max_tool_speed", 0.5, "On an instruction the tool is never driven faster (m/s).",
      0.01, 3.0),
    P("safety.max_observation_age", 1.2, "A chunk from older images is dropped (s).", 0.05, 10.0),
    P("safety.stop_on_surprise", False, "Stop the arm when the model is surprised."),
    P("safety.surprise_count", 3, "Surprises in a row that stop the arm.", 1, 100),
    P("safety.surprise_at_once", 2.0, "One surprise this many times the threshold stops the arm "
      "alone: what was moved once surprises once.", 1.0, 1e6),
    P("safety.require_monitor", True, "Move only while the monitor is there."),
    P("safety.heartbeat_timeout", 1.0, "A node that says nothing for this long hangs (s).",
      0.1, 30.0),
    P("safety.resume_when_back", True,
      "After a lost node, accept instructions again once all nodes are back."),
    P("safety.nodes", ["perception", "imagination", "planning", "move_group", "simulation"],
      "Nodes without which the arm must not move; `wm demo` and the launch files "
      "set it to those that they start, whatever a file says."),
    P("safety.min_observation_rate", 5.0, "Fewer observations (Hz) are reported.", 0.1, 100.0),
    P("safety.max_latency", 0.25, "Older observations (s) are reported.", 0.01, 10.0),
)

MOTION = (
    P("topics.joint_states", "/joint_states", "Joint states of arm and fingers."),
    P("planning_scene", "", "YAML file of obstacles that are there from the start; empty: none."),
    P("padding", 0.008, "Obstacles are grown by this while a path is searched (m).", 0.0, 0.1,
      read_only=True),
    P("planning_time", 2.0, "Time to plan where a request does not say (s).", 0.05, 60.0),
    P("max_planning_time", 10.0, "A request may not ask for more (s).", 0.05, 600.0),
    P("velocity_scaling", 1.0, "Share of the velocity limits where a request says 0.", 0.01, 1.0),
    P("acceleration_scaling", 1.0, "Share of the acceleration limits where a request says 0.",
      0.01, 1.0),
    P("allowed_start_tolerance", 0.03,
      "A trajectory must start this near to the present joints (rad); 0: anywhere.", 0.0, 1.0),
    P("allowed_execution_duration_scaling", 2.0,
      "A trajectory may take this many times its duration.", 1.0, 20.0),
    P("allowed_goal_duration_margin", 2.0, "And this much longer (s).", 0.1, 60.0),
    P("joint_state_timeout", 0.5, "Older joint states are stale (s).", 0.05, 10.0),
)

VIEW = (
    P("port", PORT, "Port of the page.", 1, 65535),
    P("host", "127.0.0.1", "Address that the page is served on."),
)

VISUALIZATION = (
    P("max_paths", 16, "Imagined paths shown at once.", 1, 256),
    P("path_points", 30, "Points of the chosen plan's path.", 2, 1000),
    P("max_complaints", 4, "Lines of /diagnostics shown as text.", 0, 50),
    P("text_height", 1.15, "Height of the text above the robot's base (m).", 0.0, 5.0),
)

#: what each node declares, by the node's name
DECLARED = {
    "simulation": (*COMMON, *TOPICS, *SIMULATION),
    "gazebo": (*COMMON, *GAZEBO),
    "move_group": (*COMMON, *MOTION),
    "perception": (*COMMON, *TOPICS, *PERCEPTION),
    "imagination": (*COMMON, *TOPICS, *IMAGINATION),
    "planning": (*COMMON, *TOPICS, *PLANNING, *SAFETY),
    "monitor": (*COMMON, *SAFETY),
    "visualization": (*COMMON, *TOPICS, *VISUALIZATION),
    "view": (P("robot", "panda", "Robot by name or path of its YAML file."), *TOPICS, *VIEW),
}


def declare(node: Any, parameters: tuple[Parameter, ...]) -> None:
    """Declare the parameters on a node.

    :raises UserError: when a YAML file gave a value of the wrong type or out of range
    """
    for parameter in parameters:
        try:
            node.declare_parameter(parameter.name, parameter.default, parameter.descriptor())
        except Exception as error:
            bounds = ("" if parameter.low is None
                      else f" between {parameter.low} and {parameter.high}")
            raise UserError(f"The parameter {parameter.name} must be a "
                            f"{type(parameter.default).__name__}{bounds}: {error}") from error
