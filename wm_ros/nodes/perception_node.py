# SPDX-License-Identifier: Apache-2.0
"""Cameras, joints and wrench of one moment, as one Observation."""
from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import WrenchStamped
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from wm_ros.bridge import times
from wm_ros.bridge.perception import SENSOR_NAMES, Assembler, Perception, sensor_names
from wm_ros.msg import Observation
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode, run_node
from wm_ros.nodes.parameters import TOPICS


class PerceptionNode(WmNode):
    """Synchronises the sensors by stamp and publishes /wm/observation."""

    def __init__(self) -> None:
        super().__init__("perception")

    def configure(self) -> None:
        """Subscribe to the sensors and load the encoder, if one is named."""
        tolerance = self.number("tolerance")
        self._assembler = Assembler(
            self.robot, int(self.value("image_size")), tolerance,
            {p.name: self.text(p.name) for p in TOPICS}, bool(self.value("rectified_images")))
        self._sensors = sensor_names(bool(self.value("depth")), bool(self.value("wrench")))
        self._perception = Perception(self._assembler, self._sensors, tolerance,
                                      self.number("rate"), self.number("missing_after"))
        self._moving = False
        self._lacking = 0  # looks in a row at which no moment was complete
        self._heard = dict.fromkeys(self._sensors, -math.inf)
        self._assembler.encode = self._encoder(self.text("checkpoint"))
        self._out = self.create_publisher(Observation, "/wm/observation", qos.EVENT)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.EVENT)
        self._subscribe()

    def activate(self) -> None:
        """Give the sensors a moment before they count as missing."""
        # on the steady clock, as the timer: /clock may stop together with the sensors
        self._heard = dict.fromkeys(self._sensors, time.monotonic())
        self._timer = self.create_timer(1.0, self._diagnose, clock=self.steady)

    def deactivate(self) -> None:
        """Stop reporting."""
        self.destroy_timer(self._timer)

    def _subscribe(self) -> None:
        def listen(kind: Any, topic: str, callback: Callable[[Any], None], profile: Any) -> None:
            self.create_subscription(kind, topic, callback, profile)
        kinds = {"scene_color": Image, "scene_depth": Image, "wrist_color": Image,
                 "joint_states": JointState, "wrench": WrenchStamped}
        listen(TFMessage, "/tf_static",
               lambda m: self._assembler.add_transforms(m, static=True), qos.TF_STATIC)
        for name in self._sensors:
            listen(kinds[name], self.text(f"topics.{name}"), self._hear(name), qos.SENSOR)
        for camera in ("scene", "wrist"):
            listen(CameraInfo, self.text(f"topics.{camera}_info"), self._calibrate(camera),
                   qos.SENSOR)
        listen(String, "/wm/instruction", self._hear_instruction, qos.LATCHED)

    def _hear_instruction(self, message: String) -> None:
        self._assembler.instruction = message.data

    def _calibrate(self, camera: str) -> Callable[[CameraInfo], None]:
        return lambda message: self._assembler.calibrate(camera, message)

    def _hear(self, name: str) -> Callable[[Any], None]:
        def callback(message: Any) -> None:
            self._heard[name] = time.monotonic()
            self._perception.add(name, message)
            self._try()
        return callback

    def _try(self) -> None:
        """Publish the newest complete moment, if there is a new one and it is due."""
        if not self.is_active:
            return
        message = self._perception.next()
        if message is not None:
            self._out.publish(message)
            self.tick()
        elif self._perception.lasting:
            self.complain(self._perception.trouble)
        if self._assembler.camera_moves and not self._moving:
            self._moving = True
            self.create_subscription(TFMessage, "/tf", self._hear_transforms, qos.TF)

    def _hear_transforms(self, message: TFMessage) -> None:
        self._assembler.add_transforms(message)

    def _encoder(self, checkpoint: str) -> Callable[[np.ndarray], np.ndarray] | None:
        if not checkpoint:
            return None
        import torch

        from wm_ros.world_model import load_tokeniser
        torch.set_num_threads(int(self.value("threads")))
        tokeniser = load_tokeniser(checkpoint)

        @torch.inference_mode()
        def encode(rgb: np.ndarray) -> np.ndarray:
            image = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1.0
            return np.asarray(tokeniser.encode(image)[0].float().cpu().numpy())
        return encode

    def _diagnose(self) -> None:
        """What every sensor does, on /diagnostics."""
        report = DiagnosticArray()
        report.header.stamp = times.stamp(self.now())
        for name in self._sensors:
            age = time.monotonic() - self._heard[name]
            status = DiagnosticStatus(name=f"perception: {SENSOR_NAMES[name]}",
                                      hardware_id=self.robot.name)
            if age > self.number("missing_after"):
                status.level = DiagnosticStatus.ERROR
                status.message = (f"Nothing comes from the {SENSOR_NAMES[name]} on "
                                  f"{self.text(f'topics.{name}')}; check the driver and "
                                  "topics.yaml.")
                self.complain(status.message)
            else:
                status.level, status.message = DiagnosticStatus.OK, "ok"
            report.status.append(status)
        status = DiagnosticStatus(name="perception: observation", hardware_id=self.robot.name)
        trouble = self._perception.trouble or self._unmatched(report.status)
        status.level = DiagnosticStatus.ERROR if trouble else DiagnosticStatus.OK
        status.message = trouble or "ok"
        report.status.append(status)
        self._diagnostics.publish(report)

    def _unmatched(self, sensors: Sequence[DiagnosticStatus]) -> str:
        """Which sensor comes, but not for the images' moments; into the log once, since the
        distance in the sentence changes all the time."""
        unmatched = self._perception.unmatched()
        told = any(status.level != DiagnosticStatus.OK for status in sensors)  # it is missing
        self._lacking = self._lacking + 1 if unmatched and not told else 0
        if self._lacking == 2:
            self.complain(unmatched)
        return unmatched


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(PerceptionNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
