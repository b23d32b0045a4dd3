# SPDX-License-Identifier: Apache-2.0
"""An unseen hand: puts a thing of the simulated room somewhere else, for tests of surprise."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import TransformStamped

from wm_ros.bridge import poses
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode
from wm_ros.nodes.simulation_loop import Loop

TOPIC = "/wm/move_object"


class UnseenHand:
    """Listens to the pose that a thing is to have; the arm and the nodes are told nothing.

    ``child_frame_id`` names the thing, ``header.frame_id`` the base frame (or ``world``, which is
    the same here, or nothing).
    """

    def __init__(self, node: WmNode, loop: Loop) -> None:
        self.node, self.loop = node, loop
        node.create_subscription(TransformStamped, TOPIC, self.hear, qos.EVENT)

    def hear(self, message: TransformStamped) -> None:
        """Move the thing between two steps of the simulation, or say why not."""
        try:
            frame = str(message.header.frame_id)
            if frame not in ("", "world", self.node.robot.base_link):
                raise UserError(f"{TOPIC} wants poses in {self.node.robot.base_link}, not in "
                                f"{frame}.")
            pose = poses.from_transform(message.transform)
        except UserError as error:
            self.node.complain(str(error))
            return
        self.loop.post(self._move(str(message.child_frame_id), pose))

    def _move(self, name: str, pose: Pose) -> Callable[[], None]:
        def move() -> None:
            sim: Any = self.loop.sim
            names = [thing.name for thing in sim.scene.objects]
            if name in names:
                sim.set_object_pose(name, pose)
            else:
                self.node.complain(f"{TOPIC} names {name!r}, but the things in this room are "
                                   f"{', '.join(names)}.")
        return move
