# SPDX-License-Identifier: Apache-2.0
"""From the messages of cameras, joints and wrench to one Observation, live or from a recording."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from geometry_msgs.msg import WrenchStamped
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from wm_ros.bridge import images, joints, observations, poses, times
from wm_ros.bridge.synchroniser import Synchroniser
from wm_ros.bridge.transforms import TransformBuffer
from wm_ros.errors import UserError
from wm_ros.motion.kinematics import Kinematics
from wm_ros.motion.pose import Pose, rotate
from wm_ros.motion.urdf import link_poses
from wm_ros.msg import Observation
from wm_ros.robot import RobotConfig
from wm_ros.sim.link_tree import LinkTree

SENSOR_NAMES = {"scene_color": "scene camera (colour)", "scene_depth": "scene camera (depth)",
                "wrist_color": "wrist camera", "joint_states": "joint states",
                "wrench": "wrist force-torque sensor"}
PATIENCE = 0.5  # s after which a moment that lacks a sensor is told
# what the simulators call the optical frames; as a setting: whatever the images themselves name
OWN_FRAMES = {"scene": "scene_camera_optical_frame", "wrist": "wrist_camera_optical_frame"}


def sensor_names(depth: bool = True, wrench: bool = True, arm: bool = True) -> list[str]:
    """The streams of one observation; the first one sets its moment."""
    return ["scene_color", "wrist_color", *(["joint_states"] if arm else []),
            *(["scene_depth"] if depth else []), *(["wrench"] if wrench else [])]


class Assembler:
    """Makes an Observation of the messages of one moment.

    :param image_size: side of the observation's square images, px
    :param tolerance: between the stamps of one moment, s
    :param names: topics and frames by their names in ``config/topics.yaml``, such as
        ``topics.scene_info`` and ``frames.scene_camera``
    :param rectified: the lens's distortion is undone in the images; P of their calibration counts
    """

    def __init__(self, robot: RobotConfig, image_size: int, tolerance: float,
                 names: Mapping[str, str], rectified: bool = False) -> None:
        self.robot, self.image_size, self._names = robot, image_size, names
        self._rectified = rectified
        self.kinematics = Kinematics(robot)
        urdf = robot.urdf_path.read_text(encoding="utf-8")
        self._links = LinkTree(urdf).links
        # a link behind another joint, on a finger or on a head that pans, is not
        self._told_by_arm = set(link_poses(ElementTree.fromstring(urdf), robot.base_link,
                                           also=robot.arm_joints))
        self._buffer = TransformBuffer(tolerance=tolerance + 0.1)
        self._infos: dict[str, CameraInfo] = {}
        self._sequence = 0
        self.instruction = ""
        self.news = 0  # calibrations and transforms so far: what failed without them may go now
        self.camera_moves = False  # a sensor's pose has to come from /tf
        self.encode: Callable[[np.ndarray], np.ndarray] | None = None

    def calibrate(self, camera: str, message: CameraInfo) -> None:
        """Take in the calibration of the ``scene`` or the ``wrist`` camera."""
        self._infos[camera] = message
        self.news += 1

    def add_transforms(self, message: TFMessage, static: bool = False) -> None:
        """Take in /tf or /tf_static."""
        self._buffer.add(message.transforms, static=static)
        self.news += 1

    def assemble(self, stamp: float, found: Mapping[str, Any]) -> Observation:
        """One observation.

        :param stamp: of the moment, s
        :param found: name of a stream -> its message; ``scene_depth`` and ``wrench`` may lack
        :raises UserError: a message cannot be used, a calibration or a transform is missing
        """
        robot = self.robot
        state = joints.from_joint_state(found["joint_states"], robot.joints)
        q = state.position[:robot.dof]
        views = [self._view("scene", stamp, q, found["scene_color"], found.get("scene_depth")),
                 self._view("wrist", stamp, q, found["wrist_color"], None)]
        wrench = self._wrench(found["wrench"], q) if "wrench" in found else np.zeros(6)
        if not np.isfinite(wrench).all():
            raise UserError("The force-torque sensor gives no numbers (NaN).")
        self._sequence += 1
        message = observations.to_message(
            found["scene_color"].header.stamp, self._sequence, views, robot, state,
            self.kinematics.fk(q), wrench, self.instruction)
        if self.encode is not None:
            observations.set_latent(message, self.encode(views[0].rgb))
        return message

    def _wrench(self, message: WrenchStamped, q: np.ndarray) -> np.ndarray:
        """(6,) N, N m along the axes of the hand; torques stay about the sensor's own origin.
        One in a frame that nobody ties to the robot is taken as it is."""
        wrench = poses.from_wrench(message.wrench)
        frame = self._names.get("frames.wrench") or message.header.frame_id
        hand = self.robot.hand_link
        if frame == hand or self._buffer.anchor(frame, self._links) is None:
            return wrench
        sensor = self._pose(frame, times.seconds(message.header.stamp), q)
        turn = self.kinematics.link_pose(q, hand).inverse().compose(sensor).quaternion
        return np.concatenate([rotate(turn, wrench[:3]), rotate(turn, wrench[3:])])

    def _view(self, camera: str, stamp: float, q: np.ndarray, color: Image,
              depth: Image | None) -> observations.View:
        info = self._infos.get(camera)
        if info is None:
            topic = self._names[f"topics.{camera}_info"]
            raise UserError(f"The {camera} camera gives no calibration on {topic}.")
        images.check_calibration(info, color, f"the {camera} camera", f"topics.{camera}_info",
                                 self._rectified)
        if depth is not None:
            images.check_registered(depth, color, f"topics.{camera}_depth")
        matrix = images.from_camera_info(info, self._rectified)
        rgb, small = images.square(images.from_colour(color), matrix, self.image_size)
        distance = (None if depth is None
                    else images.square(images.from_depth(depth), matrix, self.image_size)[0])
        frame = self._frame(camera, color)
        return observations.View(camera, frame, rgb, distance, small,
                                 self._pose(frame, stamp, q))

    def _frame(self, camera: str, color: Image) -> str:
        """The optical frame: the one that the user names, else the one that the image names."""
        own, named = OWN_FRAMES[camera], self._names.get(f"frames.{camera}_camera", "")
        return named if named not in ("", own) else color.header.frame_id or own

    def _pose(self, frame: str, stamp: float, q: np.ndarray) -> Pose:
        """Pose of a sensor's frame in the base frame.

        On the arm or beside it, it follows from the joints of the same moment; only one that
        moves by itself, or with a joint that is not the arm's, needs /tf.
        """
        fixed = self._buffer.anchor(frame, self._told_by_arm)
        if fixed is not None:
            link, pose = fixed
            return self.kinematics.link_pose(q, link).compose(pose)
        try:
            return self._buffer.lookup(self.robot.base_link, frame, stamp)
        except UserError:
            self.camera_moves = True
            raise


class _Failed(NamedTuple):
    """A moment (s) that could not be made an observation of, and of what it was tried."""

    stamp: float
    found: dict[str, Any]
    news: int
    why: str


class Perception:
    """Picks the newest complete moment of the sensors' messages, at most ``rate`` a second.

    :param sensors: streams, see :func:`sensor_names`
    :param tolerance: largest difference of a message's stamp from the scene camera's, s
    :param rate: observations at most, Hz
    :param lasting_after: what goes wrong for longer than this does not pass by itself, s
    """

    def __init__(self, assembler: Assembler, sensors: Iterable[str], tolerance: float,
                 rate: float, lasting_after: float = 1.0) -> None:
        self.assembler = assembler
        self.trouble = ""  # why the newest complete moment gave no observation
        self.lasting = False
        self._sync = Synchroniser(sensors, tolerance)
        self._rate, self._lasting_after = rate, lasting_after
        self._due, self._sound = -math.inf, math.inf
        self._failed: _Failed | None = None
        robot = assembler.robot
        self._states = joints.JointStates(robot.joints)

    @property
    def failed_at(self) -> float:
        """The moment (s) that could not be made an observation of; minus infinity: none."""
        return -math.inf if self._failed is None else self._failed.stamp

    def add(self, stream: str, message: Any) -> None:
        """Take in a message of a sensor."""
        if stream == "joint_states":
            message = self._states.add(message)
            if message is None:
                return
        self._sync.add(stream, times.seconds(message.header.stamp), message)

    def next(self) -> Observation | None:
        """The newest complete moment, if there is a new one and it is due; see ``trouble``."""
        lead = self._sync.newest("scene_color")
        if lead is not None and lead < self._due - 2.0 / self._rate - 1.0:
            self._due, self._sound = -math.inf, math.inf  # the clock was set back
        if lead is None or lead < self._due:
            return None
        matched = self._sync.match()
        if matched is None:
            return None
        stamp, found = matched
        self._sound = min(self._sound, stamp)
        if self._failed is not None and self._in_vain(self._failed, stamp, found):
            self.trouble = self._failed.why
            return None
        try:
            message = self.assembler.assemble(stamp, found)
        except UserError as error:
            self.trouble = str(error)
            self._failed = _Failed(stamp, found, self.assembler.news, self.trouble)
            self.lasting = stamp - self._sound > self._lasting_after
            return None
        self.trouble, self.lasting, self._sound = "", False, stamp
        self._failed = None
        self._sync.consume(stamp)
        self._due = stamp + 0.9 / self._rate
        return message

    def _in_vain(self, failed: _Failed, stamp: float, found: dict[str, Any]) -> bool:
        """Whether the same would be tried again: joint states come a thousand times a second, and
        each time the images of a moment that cannot be used would be unpacked anew."""
        return (stamp == failed.stamp and self.assembler.news == failed.news
                and all(found[name] is failed.found[name] for name in found))

    def unmatched(self) -> str:
        """Which sensor keeps images from becoming an observation, one sentence; empty: none."""
        lacking = self._sync.unmatched(PATIENCE)
        if lacking is None:
            return ""
        name = SENSOR_NAMES[lacking.stream]
        if not math.isfinite(lacking.distance):
            return f"No observation, since nothing has come from the {name} yet."
        return (f"No observation, since of the {name} the nearest stamp is {lacking.distance:.3f} "
                "s away from the image's; raise perception.tolerance, or synchronise the clocks.")
