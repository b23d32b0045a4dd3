# SPDX-License-Identifier: Apache-2.0
"""The simulated robot and room behind the interfaces of a real robot."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
from control_msgs.msg import JointTrajectoryControllerState
from geometry_msgs.msg import WrenchStamped
from moveit_msgs.msg import PlanningScene
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String, UInt32
from tf2_msgs.msg import TFMessage

from wm_ros.bridge import furniture, images, joints, poses, times
from wm_ros.bridge.furniture import stamped
from wm_ros.errors import UserError
from wm_ros.motion.urdf import root_in_base
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode, run_node
from wm_ros.nodes.simulation_controllers import ArmServer, Follow, GripperServer
from wm_ros.nodes.simulation_hand import UnseenHand
from wm_ros.nodes.simulation_loop import Episode, Loop, Rates, Senses, build
from wm_ros.paths import resolved
from wm_ros.sim.controllers import GripperController, Outcome
from wm_ros.sim.link_tree import LinkPose, LinkTree
from wm_ros.srv import ResetSimulation, TaskStatus


class SimulationNode(WmNode):
    """Joint states, TF, clock, cameras, wrench; arm and gripper controllers; reset and truth."""

    def __init__(self) -> None:
        super().__init__("simulation")
        self._arm: ArmServer | None = None
        self._gripper: GripperServer | None = None
        self._loop: Loop | None = None
        self._tf_turn = False
        self._contacts_told = -1

    # --- life cycle
    def configure(self) -> None:
        """Build the room and start simulating."""
        text = self.robot.urdf_path.read_text(encoding="utf-8")
        self._read(text)
        self._advertise(text)
        loop = Loop(self.robot, Rates(self.number("control_rate"), self.number("joint_rate"),
                                      self.number("camera_rate"), self.number("speed")),
                    Senses(self._sense_joints, self._sense_cameras, self._arm_ended,
                           self._gripper_ended), self._make_gripper)
        loop.furniture_changed = lambda: self._announce(loop)
        loop.start(lambda: self._build(self.text("room"), self.text("task"),
                                       int(self.value("seed")), bool(self.value("held_out"))))
        self._loop = loop
        self._serve(loop)

    def deactivate(self) -> None:
        """Brake and hold."""
        self._halt("The simulation is being stopped.")

    def cleanup(self) -> None:
        """Stop simulating."""
        if self._loop is not None:
            self._loop.stop()

    def _read(self, urdf: str) -> None:
        self._tree = LinkTree(urdf)
        self._root = root_in_base(ElementTree.fromstring(urdf), self.robot.base_link)

    def _build(self, room: str, task: str, seed: int, held_out: bool) -> tuple[Any, Episode]:
        return build(self.robot, room, task, seed, held_out, int(self.value("image_size")))

    def _make_gripper(self, width: float) -> GripperController:
        return GripperController(self.robot, width, self.number("gripper_goal_tolerance"),
                                 self.number("stall_travel"), self.number("stall_time"))

    def _advertise(self, urdf: str) -> None:
        def topic(kind: Any, name: str, profile: Any) -> Any:
            return self.create_publisher(kind, name, profile)
        sensor = qos.SENSOR
        self._clock_out = topic(Clock, "/clock", qos.CLOCK)
        self._joints_out = topic(JointState, self.text("topics.joint_states"), qos.STATE)
        self._tf_out = topic(TFMessage, "/tf", qos.TF)
        self._static_out = topic(TFMessage, "/tf_static", qos.TF_STATIC)
        self._color_out = topic(Image, self.text("topics.scene_color"), sensor)
        self._info_out = topic(CameraInfo, self.text("topics.scene_info"), sensor)
        self._depth_out = topic(Image, self.text("topics.scene_depth"), sensor)
        self._wrist_out = topic(Image, self.text("topics.wrist_color"), sensor)
        self._wrist_info_out = topic(CameraInfo, self.text("topics.wrist_info"), sensor)
        self._wrench_out = topic(WrenchStamped, self.text("topics.wrench"), sensor)
        self._reference_out = topic(JointTrajectoryControllerState,
                                    f"/{self.robot.controllers.arm}/controller_state", qos.STATE)
        self._contacts_out = topic(UInt32, "/wm/furniture_contacts", qos.LATCHED)
        self._furniture_out = topic(PlanningScene, "/wm/furniture", qos.LATCHED)
        self._description_out = topic(String, "/robot_description", qos.LATCHED)
        self._description_out.publish(String(data=resolved(urdf, self.robot.urdf_path.parent)))

    def _serve(self, loop: Loop) -> None:
        self._arm, self._gripper = ArmServer(self, loop), GripperServer(self, loop)
        self.create_service(ResetSimulation, "/wm/reset_simulation", self._reset)
        self.create_service(TaskStatus, "/wm/task_status", self._status_of_task)
        self._hand = UnseenHand(self, loop)

    def _arm_ended(self, outcome: Outcome) -> None:
        if self._arm is not None:
            self._arm.ended(outcome)

    def _gripper_ended(self, *result: Any) -> None:
        if self._gripper is not None:
            self._gripper.end(*result)

    def _halt(self, sentence: str) -> None:
        """Brake, hold, and end the goals with a sentence; may block for one step."""
        if self._loop is not None:
            self._loop.ask(lambda: self._brake(sentence))

    def _brake(self, sentence: str) -> None:
        """The same, in the loop's thread."""
        if self._arm is not None and self._gripper is not None:
            self._arm.brake()
            held = self._gripper.hold()
            self._arm.end(Follow.INVALID_GOAL, sentence)
            self._gripper.end(*held)

    # --- what the robot senses (loop's thread)
    def _sense_joints(self, now: float, loop: Loop) -> None:
        stamp, sim = times.stamp(now), loop.sim
        self._clock_out.publish(Clock(clock=stamp))
        finger = float(sim.gripper_width) * self.robot.gripper.finger_scale
        count = len(self.robot.finger_joints)
        names = self.robot.joints
        position = np.append(sim.q, [finger] * count)
        zeros = np.zeros(count)
        self._joints_out.publish(joints.to_joint_state(
            stamp, names, position, np.append(sim.dq, zeros), np.append(sim.effort, zeros)))
        self._tf_turn = not self._tf_turn  # every second time: nobody needs it faster
        if self._tf_turn:
            self._send_transforms(dict(zip(names, position, strict=True)), stamp)
        self._send_reference(stamp, loop)
        wrench = WrenchStamped(wrench=poses.to_wrench(sim.wrench()))
        wrench.header.stamp, wrench.header.frame_id = stamp, self.robot.hand_link
        self._wrench_out.publish(wrench)

    def _send_reference(self, stamp: Any, loop: Loop) -> None:
        """What the arm's controller commands, as ros2_control's tells it."""
        arm = loop.arm
        state = JointTrajectoryControllerState(joint_names=list(self.robot.arm_joints))
        state.header.stamp = stamp
        state.reference = joints.to_point(arm.command, arm.velocity, arm.peak)
        state.feedback = joints.to_point(loop.sim.q, loop.sim.dq)
        state.error = joints.to_point(arm.command - loop.sim.q, arm.velocity - loop.sim.dq)
        arm.peak = np.zeros_like(arm.peak)
        self._reference_out.publish(state)
        if loop.episode.contacts != self._contacts_told:
            self._contacts_told = loop.episode.contacts
            self._contacts_out.publish(UInt32(data=int(self._contacts_told)))

    def _send_transforms(self, values: dict[str, float], stamp: Any) -> None:
        self._tf_out.publish(self._message(self._tree.moving(values), stamp))

    def _sense_cameras(self, now: float, loop: Loop) -> None:
        stamp = times.stamp(now)
        names = self.robot.arm_joints
        self._send_transforms(dict(zip(names, loop.sim.q, strict=True)), stamp)
        scene = loop.sim.render("scene", depth=True)
        wrist = loop.sim.render("wrist")
        frame = self.text("frames.scene_camera")
        height, width = scene.rgb.shape[:2]
        self._color_out.publish(images.to_colour(scene.rgb, stamp, frame))
        self._depth_out.publish(images.to_depth(scene.depth, stamp, frame))
        self._info_out.publish(images.to_camera_info(scene.K, (width, height), stamp, frame))
        frame = self.text("frames.wrist_camera")
        self._wrist_out.publish(images.to_colour(wrist.rgb, stamp, frame))
        self._wrist_info_out.publish(images.to_camera_info(wrist.K, (width, height), stamp, frame))
        self.tick()

    def _announce(self, loop: Loop) -> None:
        """A new room: its furniture, and where the cameras are mounted."""
        sim, stamp = loop.sim, times.stamp(loop.now)
        self._furniture_out.publish(stamped(furniture.from_scene(
            sim.scene, self.robot.base_link, self.number("furniture_margin")), stamp))
        hand = sim.tcp_pose().compose(self.robot.tcp_offset.inverse())
        fixed = [*self._tree.fixed(),
                 LinkPose(self.robot.base_link, self.text("frames.scene_camera"),
                          sim.render("scene").pose),
                 LinkPose(self.robot.hand_link, self.text("frames.wrist_camera"),
                          hand.inverse().compose(sim.render("wrist").pose))]
        if self.robot.tcp_link not in self._tree.links:
            fixed.append(LinkPose(self.robot.hand_link, self.robot.tcp_link,
                                  self.robot.tcp_offset))
        root, place = self._root
        if root != "world":  # then it is the URDF's own
            fixed.append(LinkPose("world", root, place))
        self._static_out.publish(self._message(fixed, stamp))

    @staticmethod
    def _message(links: Sequence[LinkPose], stamp: Any) -> TFMessage:
        return TFMessage(transforms=[poses.to_transform(link.pose, link.parent, link.child, stamp)
                                     for link in links])

    # --- reset and truth
    async def _reset(self, request: Any, response: Any) -> Any:
        loop = self._loop
        assert loop is not None
        room = request.room or loop.episode.room

        def make() -> tuple[Any, Episode]:
            made = self._build(room, request.task, int(request.seed), bool(request.held_out))
            self._brake("The simulation was reset.")
            return made
        try:
            episode = await self.in_worker(loop.ask, lambda: loop.replace(make))
        except UserError as error:
            response.success, response.message = False, str(error)
            return response
        response.success, response.instruction = True, episode.instruction
        return response

    async def _status_of_task(self, _request: Any, response: Any) -> Any:
        loop = self._loop
        assert loop is not None

        def look() -> None:
            episode = loop.episode
            response.room, response.task = episode.room, episode.task_name
            response.seed = int(episode.seed)
            response.elapsed = loop.now - episode.started
            response.furniture_contacts = int(episode.contacts)
            if episode.judge is not None:
                response.success = bool(episode.judge.succeeded)
                response.progress = (1.0 if response.success
                                     else float(episode.task.progress(loop.sim)))
        await self.in_worker(loop.ask, look)
        return response


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(SimulationNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
