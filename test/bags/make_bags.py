# SPDX-License-Identifier: Apache-2.0
"""Writes the small bags of this folder anew: a few seconds of an expert in each room.

    python test/bags/make_bags.py test/bags

Topics and messages are those of the simulation node. Depth is rounded to millimetres, as depth
cameras do, which also keeps the files small.
"""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from control_msgs.msg import JointTrajectoryControllerState
from geometry_msgs.msg import WrenchStamped
from mcap.writer import CompressionType
from rclpy.serialization import serialize_message
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from wm_ros.bridge import furniture, images, joints, poses, times
from wm_ros.data.bag import BagWriter
from wm_ros.data.topic_map import load_map
from wm_ros.motion.pose import Pose
from wm_ros.sim.env import TaskEnv

BAGS = {"home": ("open_door", 100, 4.0), "office": ("close_drawer", 100, 4.0)}
START = 1000.0  # s, stamp of the first message
TICK = 0.02  # s between two joint states
CHUNK = 64 << 20  # one chunk: what the cameras see again is stored once
LATCHED: list[dict[str, Any]] = [{
    "history": "keep_last", "depth": 1, "reliability": "reliable",
    "durability": "transient_local", "deadline": {"sec": 0, "nsec": 0},
    "lifespan": {"sec": 0, "nsec": 0}, "liveliness": "automatic",
    "liveliness_lease_duration": {"sec": 0, "nsec": 0}, "avoid_ros_namespace_conventions": False}]


class Recorder:
    """Writes what the simulation node would publish while an expert moves the arm."""

    def __init__(self, folder: Path, env: TaskEnv) -> None:
        self.env, self.sim, self.robot = env, env.sim, env.robot
        self.map = load_map()
        self.writer = BagWriter(folder, CHUNK, CompressionType.ZSTD)
        self._advance = self.sim.advance
        self.sim.advance = self._ticks  # type: ignore[method-assign]

    @property
    def now(self) -> float:
        return START + self.sim.time

    def put(self, role: str, message: Any, latched: bool = False) -> None:
        kind = type(message)
        name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        topic = self.map.topics[role]
        self.writer.add_topic(topic, name, LATCHED if latched else None)
        self.writer.write(topic, serialize_message(message), round(self.now * 1e9))

    def begin(self) -> None:
        """What is told once."""
        sim, robot, stamp = self.sim, self.robot, times.stamp(self.now)
        frames = self.map.frames
        hand = sim.tcp_pose().compose(robot.tcp_offset.inverse())
        fixed = [("world", robot.base_link, Pose.identity()),
                 ("world", frames["scene_camera"], sim.render("scene").pose),
                 (robot.hand_link, frames["wrist_camera"],
                  hand.inverse().compose(sim.render("wrist").pose))]
        self.put("tf_static", TFMessage(transforms=[
            poses.to_transform(pose, parent, child, stamp) for parent, child, pose in fixed]),
            latched=True)
        self.put("furniture", furniture.from_scene(sim.scene, robot.base_link, 0.003), True)
        self.put("instruction", String(data=self.env.instruction), latched=True)
        self.joints()
        self.cameras()

    def _ticks(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            self._advance(TICK)
            self.joints()

    def joints(self) -> None:
        sim, robot, stamp = self.sim, self.robot, times.stamp(self.now)
        finger = float(sim.gripper_width) * robot.gripper.finger_scale
        rest = np.zeros(len(robot.finger_joints))
        self.put("joint_states", joints.to_joint_state(
            stamp, [*robot.arm_joints, *robot.finger_joints], np.append(sim.q, rest + finger),
            np.append(sim.dq, rest), np.append(sim.effort, rest)))
        state = JointTrajectoryControllerState(joint_names=list(robot.arm_joints))
        state.header.stamp = stamp
        state.reference = joints.to_point(sim.arm_reference, sim.dq)
        self.put("commands", state)
        wrench = WrenchStamped(wrench=poses.to_wrench(sim.wrench()))
        wrench.header.stamp, wrench.header.frame_id = stamp, robot.hand_link
        self.put("wrench", wrench)

    def cameras(self) -> None:
        stamp = times.stamp(self.now)
        for camera in ("scene", "wrist"):
            frame = self.map.frames[f"{camera}_camera"]
            seen = self.sim.render(camera, depth=camera == "scene")
            size = seen.rgb.shape[1::-1]
            self.put(f"{camera}_info", images.to_camera_info(seen.K, size, stamp, frame))
            self.put(f"{camera}_color", images.to_colour(seen.rgb, stamp, frame))
            if seen.depth is not None:
                metres = np.round(seen.depth.astype(np.float64), 3).astype(np.float32)
                self.put(f"{camera}_depth", images.to_depth(metres, stamp, frame))


def make(folder: Path, task: str, seed: int, seconds: float) -> None:
    """One bag."""
    env = TaskEnv(task, seed, "held_out")
    expert = env.expert()
    recorder = Recorder(folder, env)
    recorder.begin()
    while env.sim.time < seconds:
        env.step(expert.act())
        recorder.cameras()
    recorder.writer.close()
    env.close()


def main() -> int:
    """Write both bags into the folder named on the command line."""
    out = Path(sys.argv[1])
    for name, (task, seed, seconds) in BAGS.items():
        make(out / name, task, seed, seconds)
        size = sum(f.stat().st_size for f in (out / name).iterdir())
        print(f"{out / name}: {size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
