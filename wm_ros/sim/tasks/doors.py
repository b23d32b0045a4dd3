# SPDX-License-Identifier: Apache-2.0
"""The common part of the door tasks: take the post, swing the door, let go."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wm_ros.sim.experts.moves import CLOSED, OPEN, Action, step, yaw_of
from wm_ros.sim.experts.pick_place import Grasp, pick, release, retreat
from wm_ros.sim.tasks.base import Task

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

POST = 0.016  # m, thickness of the post
SLACK = 0.03  # rad, what the door may give when let go
AHEAD = 0.03  # m along the circle


class DoorTask(Task):
    """A task on the cabinet's door."""

    def clear(self, sim: Simulator) -> bool:
        """Whether the hand has let go and is away from the post."""
        post = sim.handle_pose("door").position
        return (not sim.touching("robot", "door")
                and bool(np.linalg.norm(sim.tcp_pose().position - post) > 0.05))


class Swinger:
    """Takes the post and swings the door to an angle.

    :param goal: angle (rad) at which to let go.
    :param sign: 1 to open, -1 to close.
    """

    def __init__(self, sim: Simulator, goal: float, sign: float) -> None:
        self.sim = sim
        self.goal = goal
        self.sign = sign

    def act(self) -> Action:
        tcp, width = self.sim.tcp_pose(), self.sim.gripper_width
        post = self.sim.handle_pose("door").position
        turn = yaw_of(self.sim.object_pose("door").quaternion)
        grasp = Grasp(post, turn, POST)
        left = self.sign * (self.goal - self.sim.joint_value("door"))
        held = grasp.held(tcp, width)
        if left <= (0.0 if held else SLACK):
            if np.linalg.norm(tcp.position - post) < 0.03 and width < OPEN - 0.012:
                return release(tcp)
            return retreat(tcp, post[2] + 0.12)
        if not held:
            return pick(tcp, width, grasp)
        hinge = self.sim.object_pose("door").position
        arm = post[:2] - hinge[:2]
        # the door turns clockwise to open; the chord of the way ahead keeps to its circle
        ahead = -self.sign * AHEAD / float(np.hypot(*arm))
        c, s = np.cos(ahead), np.sin(ahead)
        target = np.array([*(hinge[:2] + np.array([[c, -s], [s, c]]) @ arm), post[2]])
        speed = float(np.interp(left, [0.0, 0.25], [0.010, 0.018]))
        return Action(step(tcp, target, turn, speed), CLOSED)
