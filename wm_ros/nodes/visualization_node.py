# SPDX-License-Identifier: Apache-2.0
"""What RViz shows of the suite on standard topics: imagination, plan, obstacles, words."""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from moveit_msgs.msg import CollisionObject, PlanningScene
from nav_msgs.msg import Path
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, Header, String
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from wm_ros.bridge import chunks, images, joints, markers, rollouts, times
from wm_ros.errors import UserError
from wm_ros.motion.kinematics import Kinematics
from wm_ros.msg import ActionChunk, ImaginedRollout, Surprise
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode, run_node
from wm_ros.nodes.parameters import TOPICS, VISUALIZATION

MOVE, REMOVE = CollisionObject.MOVE, CollisionObject.REMOVE
PERIOD = 0.1  # s between two updates of the paths
LEVELS = {DiagnosticStatus.WARN: "!", DiagnosticStatus.ERROR: "!!", DiagnosticStatus.STALE: "?"}


class VisualizationNode(WmNode):
    """Turns the suite's own messages into images, markers, a path and text for RViz."""

    def __init__(self) -> None:
        super().__init__("visualization", (*TOPICS, *VISUALIZATION))

    def configure(self) -> None:
        """Create the topics."""
        self._kinematics = Kinematics(self.robot)
        self._proposed: dict[str, chunks.Chunk] = {}
        self._sequence = -1
        self._imagined: dict[str, float] = {}
        self._changed = False
        self._instruction, self._surprise, self._stopped = "", math.nan, False
        self._troubles: dict[str, tuple[str, float]] = {}
        self._objects: dict[str, CollisionObject] = {}
        self._held: dict[str, CollisionObject] = {}
        publish = self.create_publisher
        self._paths_out = publish(MarkerArray, "/wm/imagined_paths", qos.LATCHED)
        self._strip_out = publish(Image, "/wm/film_strip", qos.LATCHED)
        self._path_out = publish(Path, "/wm/chosen_path", qos.LATCHED)
        self._scene_out = publish(MarkerArray, "/wm/scene_markers", qos.LATCHED)
        self._text_out = publish(MarkerArray, "/wm/status_text", qos.LATCHED)
        listen = self.create_subscription
        listen(ActionChunk, "/wm/action_chunk", self._hear_chunk, qos.EVENT)
        listen(ImaginedRollout, "/wm/imagined_rollout", self._hear_rollout, qos.EVENT)
        listen(JointTrajectory, "/wm/planned_trajectory", self._hear_plan, qos.EVENT)
        listen(PlanningScene, "/wm/furniture", self._hear_scene, qos.LATCHED)
        listen(PlanningScene, "/monitored_planning_scene", self._hear_scene, qos.EVENT)
        listen(String, "/wm/instruction", self._hear_words, qos.LATCHED)
        listen(Surprise, "/wm/surprise", self._hear_surprise, qos.EVENT)
        listen(Bool, "/wm/stopped", self._hear_stopped, qos.LATCHED)
        listen(DiagnosticArray, "/diagnostics", self._hear_diagnostics, qos.EVENT)

    def activate(self) -> None:
        """Start drawing."""
        self._drawing = [self.create_timer(PERIOD, self._draw_paths, clock=self.steady),
                        self.create_timer(0.5, self._draw_text, clock=self.steady)]

    def deactivate(self) -> None:
        """Stop drawing."""
        for timer in self._drawing:
            self.destroy_timer(timer)

    def _header(self, frame: str = "") -> Header:
        return markers.header(frame or self.robot.base_link, times.stamp(self.now()))

    # --- imagination
    def _hear_chunk(self, message: ActionChunk) -> None:
        """Chunks of one observation are the candidates of one choice, best first."""
        try:
            chunk = chunks.from_message(message, self.robot.base_link, self.robot.tcp_link)
        except UserError as error:
            self.complain(str(error))
            return
        if int(message.observation_sequence) != self._sequence:
            self._sequence = int(message.observation_sequence)
            self._proposed, self._imagined = {}, {}
        self._proposed[chunk.id] = chunk
        self._changed = True

    def _hear_rollout(self, message: ImaginedRollout) -> None:
        try:
            rollout = rollouts.from_message(message)
        except UserError as error:
            self.complain(str(error))
            return
        self._imagined[rollout.chunk_id] = rollout.success
        self._changed = True
        if len(rollout.frames):
            last = message.frames[-1].header
            self._strip_out.publish(images.to_colour(
                markers.film_strip(rollout.frames), message.header.stamp,
                last.frame_id or self.text("frames.scene_camera")))
            self.tick()

    def _draw_paths(self) -> None:
        if not self._changed:
            return
        self._changed = False
        candidates = []
        for chunk in list(self._proposed.values())[:int(self.value("max_paths"))]:
            judged = self._imagined.get(chunk.id, math.nan)
            candidates.append((chunk.poses, chunk.success if math.isnan(judged) else judged))
        header = self._header()
        self._paths_out.publish(markers.array(markers.paths(candidates, header), header))

    # --- plan and obstacles
    def _hear_plan(self, message: JointTrajectory) -> None:
        """The tool's way along the joints that are driven."""
        try:
            path = joints.from_trajectory(message)
            order = [path.names.index(name) for name in self.robot.arm_joints]
        except (UserError, ValueError):
            self.complain("A planned trajectory does not name the arm's joints.")
            return
        positions = path.positions[:, order]
        few = np.unique(np.linspace(0, len(positions) - 1, int(self.value("path_points")))
                        .round().astype(int))
        poses = [self._kinematics.fk(q) for q in positions[few]]
        self._path_out.publish(markers.path(poses, self._header()))

    def _hear_scene(self, message: PlanningScene) -> None:
        """A whole scene takes the place of what is known, a change is added to it."""
        if not message.is_diff:
            self._objects, self._held = {}, {}
        for item in message.world.collision_objects:
            _apply(item, self._objects)
        for attached in message.robot_state.attached_collision_objects:
            _apply(attached.object, self._held)
        for name in self._held:
            self._objects.pop(name, None)
        shown = [*markers.obstacles(self._objects.values()),
                 *markers.obstacles(self._held.values(), held=True)]
        self._scene_out.publish(markers.array(shown, self._header()))

    # --- words
    def _hear_words(self, message: String) -> None:
        self._instruction = message.data
        if not message.data:  # what was imagined for it is past
            self._proposed, self._changed = {}, True

    def _hear_surprise(self, message: Surprise) -> None:
        self._surprise = float(message.value)

    def _hear_stopped(self, message: Bool) -> None:
        self._stopped = bool(message.data)

    def _hear_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.level == DiagnosticStatus.OK:
                self._troubles.pop(status.name, None)
            else:
                mark = LEVELS.get(status.level, "!")
                self._troubles[status.name] = (f"{mark} {status.message}", self.now())

    def _draw_text(self) -> None:
        lines = [self._instruction or "no instruction"]
        if self._stopped:
            lines.append("STOPPED")
        first = next(iter(self._proposed.values()), None)
        said = {"success": math.nan if first is None else first.success,
                "surprise": self._surprise}
        lines += [f"{name} {value:.2f}" for name, value in said.items() if math.isfinite(value)]
        lines += [words for words, told in self._troubles.values()
                  if self.now() - told < 3.0][:int(self.value("max_complaints"))]
        header = self._header()
        place = np.array([0.0, 0.0, self.number("text_height")])
        words = markers.text("\n".join(lines), place, header, 0.04, "status")
        self._text_out.publish(markers.array([words], header))


def _apply(item: CollisionObject, known: dict[str, CollisionObject]) -> None:
    if item.operation == REMOVE:
        if item.id:
            known.pop(item.id, None)
        else:
            known.clear()
    elif item.operation == MOVE and item.id in known:
        known[item.id].header, known[item.id].pose = item.header, item.pose
    elif item.primitives or item.meshes:
        known[item.id] = item


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(VisualizationNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
