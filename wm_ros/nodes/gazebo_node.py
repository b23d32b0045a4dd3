# SPDX-License-Identifier: Apache-2.0
"""What the embedded simulator tells and does beside Gazebo: the room's furniture, its reset."""
from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from builtin_interfaces.msg import Time
from moveit_msgs.msg import PlanningScene
from std_msgs.msg import String

from wm_ros.bridge import furniture, times
from wm_ros.bridge.furniture import stamped
from wm_ros.errors import UserError
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode, run_node
from wm_ros.sim.gazebo_swap import swap
from wm_ros.sim.tasks import task_class
from wm_ros.sim.world_command import folder_of, write
from wm_ros.srv import ResetSimulation


class GazeboNode(WmNode):
    """Publishes the furniture of Gazebo's room; serves /wm/reset_simulation by changing it."""

    def __init__(self) -> None:
        super().__init__("gazebo")

    def configure(self) -> None:
        """Tell the furniture; begin to serve."""
        self._folder = Path(self.text("world"))
        self._changes = ThreadPoolExecutor(max_workers=1)  # one room after another
        self._out = self.create_publisher(PlanningScene, "/wm/furniture", qos.LATCHED)
        self._event_out = self.create_publisher(String, "/trajectory_execution_event", qos.EVENT)
        self._tell(Time())  # nobody knows since when it stands there
        self.create_service(ResetSimulation, "/wm/reset_simulation", self._reset)

    def cleanup(self) -> None:
        """End the thread that changes rooms."""
        self._changes.shutdown(wait=False, cancel_futures=True)

    def _tell(self, since: Time) -> None:
        if not self.text("world"):
            return
        file = self._folder / "furniture.yaml"
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise UserError(f"{file} cannot be read ({error}); make the world with `wm world` "
                            "and name its folder in the parameter world.") from error
        scene = furniture.from_yaml(data or {}, self.robot.base_link)
        self._out.publish(stamped(scene, since))

    async def _reset(self, request: Any, response: Any) -> Any:
        wanted = request.room, request.task, request.seed, request.held_out
        return await self.once(wanted, self._answer, request, response)

    async def _answer(self, request: Any, response: Any) -> None:
        try:
            response.instruction = await self.in_worker(self._change, request, pool=self._changes)
        except UserError as error:
            response.success, response.message = False, str(error)
            return
        self._tell(times.stamp(self.now()))
        response.success = True

    def _change(self, request: Any) -> str:
        """Make and swap in the room; returns plain words for its task."""
        room = self.text("room")
        if not self.text("world"):
            raise UserError("The parameter world is empty, so the room that Gazebo has is not "
                            "known; name the folder that `wm world` wrote.")
        if request.room not in ("", room):
            raise UserError(f"Gazebo runs the {room}; start {request.room}.launch.py for the "
                            f"{request.room}.")
        layout = (room, str(request.task), int(request.seed), bool(request.held_out))
        folder = folder_of(*layout)
        write(folder, *layout, self.text("robot"))
        self._event_out.publish(String(data="stop"))  # what moves was not meant for another room
        self._tell(times.stamp(self.now()))  # nor is an instruction that has yet to move
        swap(room, self._folder, folder)
        self._folder = folder
        if not request.task:
            return ""
        split = "held_out" if request.held_out else "train"
        return task_class(request.task)(int(request.seed), split).instruction()


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(GazeboNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
