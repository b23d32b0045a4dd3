# SPDX-License-Identifier: Apache-2.0
"""What RViz shows of the suite on standard topics: imagination, plan, obstacles, words."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from moveit_msgs.msg import PlanningScene
from nav_msgs.msg import Path
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, Header, String
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from wm_ros.bridge import images, markers, rollouts, times
from wm_ros.errors import UserError
from wm_ros.motion.kinematics import Kinematics
from wm_ros.msg import ActionChunk, ImaginedRollout, Surprise
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode, run_node
from wm_ros.nodes.shown import Candidates, Obstacles, Words, tool_way

PERIOD = 0.1  # s between two updates of the paths


class VisualizationNode(WmNode):
    """Turns the suite's own messages into images, markers, a path and text for RViz."""

    def __init__(self) -> None:
        super().__init__("visualization")

    def configure(self) -> None:
        """Create the topics."""
        self._kinematics = Kinematics(self.robot)
        self._candidates, self._obstacles = Candidates(self.robot), Obstacles()
        self._words = Words()
        self._changed = False
        publish = self.create_publisher
        self._paths_out = publish(MarkerArray, "/wm/imagined_paths", qos.LATCHED)
        self._strip_out = publish(Image, "/wm/film_strip", qos.LATCHED)
        self._path_out = publish(Path, "/wm/chosen_path", qos.LATCHED)
        self._scene_out = publish(MarkerArray, "/wm/scene_markers", qos.LATCHED)
        self._text_out = publish(MarkerArray, "/wm/status_text", qos.LATCHED)
        listen, told = self.create_subscription, self._told
        listen(ActionChunk, "/wm/action_chunk", told(self._hear_chunk), qos.EVENT)
        listen(ImaginedRollout, "/wm/imagined_rollout", told(self._hear_rollout), qos.EVENT)
        listen(JointTrajectory, "/wm/planned_trajectory", told(self._hear_plan), qos.EVENT)
        listen(PlanningScene, "/wm/furniture", self._hear_scene, qos.LATCHED)
        listen(PlanningScene, "/monitored_planning_scene", self._hear_scene, qos.EVENT)
        listen(String, "/wm/instruction", self._hear_words, qos.LATCHED)
        listen(Surprise, "/wm/surprise", self._words.hear_surprise, qos.EVENT)
        listen(Bool, "/wm/stopped", self._words.hear_stopped, qos.LATCHED)
        listen(DiagnosticArray, "/diagnostics", self._hear_diagnostics, qos.EVENT)

    def activate(self) -> None:
        """Start drawing."""
        self._drawing = [self.create_timer(PERIOD, self._draw_paths, clock=self.steady),
                        self.create_timer(0.5, self._draw_text, clock=self.steady)]

    def deactivate(self) -> None:
        """Stop drawing."""
        for timer in self._drawing:
            self.destroy_timer(timer)

    def _header(self) -> Header:
        return markers.header(self.robot.base_link, times.stamp(self.now()))

    def _told(self, hear: Callable[[Any], None]) -> Callable[[Any], None]:
        """The same callback; a message that cannot be drawn is told in the log."""
        def callback(message: Any) -> None:
            try:
                hear(message)
            except UserError as error:
                self.complain(str(error))
        return callback

    # --- imagination
    def _hear_chunk(self, message: ActionChunk) -> None:
        self._candidates.hear_chunk(message)
        self._changed = True

    def _hear_rollout(self, message: ImaginedRollout) -> None:
        rollout = rollouts.from_message(message)
        self._candidates.hear_rollout(rollout)
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
        candidates = self._candidates.paths(int(self.value("max_paths")))
        header = self._header()
        self._paths_out.publish(markers.array(markers.paths(candidates, header), header))

    # --- plan and obstacles
    def _hear_plan(self, message: JointTrajectory) -> None:
        """The tool's way along the joints that are driven."""
        way = tool_way(message, self._kinematics, int(self.value("path_points")))
        self._path_out.publish(markers.path(way, self._header()))

    def _hear_scene(self, message: PlanningScene) -> None:
        self._obstacles.hear(message)
        shown = [*markers.obstacles(self._obstacles.free),
                 *markers.obstacles(self._obstacles.held, held=True)]
        self._scene_out.publish(markers.array(shown, self._header()))

    # --- words
    def _hear_words(self, message: String) -> None:
        self._words.hear_instruction(message)
        if not message.data:  # what was imagined for it is past
            self._candidates.forget()
            self._changed = True

    def _hear_diagnostics(self, message: DiagnosticArray) -> None:
        self._words.hear_diagnostics(message, self.now())

    def _draw_text(self) -> None:
        lines = self._words.lines(self._candidates.success, self.now(),
                                  int(self.value("max_complaints")))
        header = self._header()
        place = np.array([0.0, 0.0, self.number("text_height")])
        words = markers.text("\n".join(lines), place, header, 0.04, "status")
        self._text_out.publish(markers.array([words], header))


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(VisualizationNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
