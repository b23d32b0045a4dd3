# SPDX-License-Identifier: Apache-2.0
"""A page in the browser: robot and room, camera, imagined frames, planned path, instruction."""
from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rclpy
from moveit_msgs.msg import PlanningScene
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState
from shape_msgs.msg import SolidPrimitive
from std_msgs.msg import String
from std_srvs.srv import Trigger

from wm_ros import environment
from wm_ros.action import ExecuteInstruction
from wm_ros.bridge import images, poses
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose
from wm_ros.msg import ActionChunk, ImaginedRollout, Surprise
from wm_ros.nodes import qos
from wm_ros.nodes.action_client import ActionClient
from wm_ros.nodes.base import leave_with_supervisor
from wm_ros.nodes.parameters import TOPICS, VIEW, P, declare
from wm_ros.paths import robot_data
from wm_ros.robot import load_robot
from wm_ros.sim.link_tree import LinkTree

PERIOD = 0.15  # s between two updates of the page; it must not slow the loop


class ViewNode(Node):
    """Keeps the newest of everything; a slow timer draws it while somebody looks."""

    def __init__(self) -> None:
        super().__init__("view")
        declare(self, (P("robot", "panda", "Robot by name or path of its YAML file."),
                       *TOPICS, *VIEW))
        import viser
        self._robot = load_robot(str(self.get_parameter("robot").value))
        host, port = (self.get_parameter(name).value for name in ("host", "port"))
        try:
            self._page = viser.ViserServer(host=str(host), port=int(port), label="wm_ros",
                                           verbose=False)
        except OSError as error:
            raise UserError(f"The page cannot be served on port {port} ({error.strerror}); choose "
                            "another one with --port.") from error
        self._new: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._draw_robot()
        self._controls()
        self._listen()
        self.create_timer(PERIOD, self._draw)

    # --- page
    def _draw_robot(self) -> None:
        import trimesh
        urdf = self._robot.urdf_path.read_text(encoding="utf-8")
        self._tree = LinkTree(urdf)
        scene = self._page.scene
        scene.set_up_direction("+z")
        scene.add_grid("/floor", width=3.0, height=3.0, position=(0.0, 0.0, -0.75))
        paths = {self._robot.base_link: f"/{self._robot.base_link}"}
        links = [*self._tree.fixed(), *self._tree.moving({})]
        while links:  # parents first: a link's place in the page is below its parent's
            ready = [link for link in links if link.parent in paths]
            if not ready:
                break
            for link in ready:
                paths[link.child] = f"{paths[link.parent]}/{link.child}"
            links = [link for link in links if link.child not in paths]
        self._frames = {name: scene.add_frame(path, show_axes=False)
                        for name, path in paths.items()}
        self._place([*self._tree.fixed(), *self._tree.moving(
            dict(zip(self._robot.arm_joints, self._robot.home, strict=True)))])
        for name, file, origin in _meshes(urdf):
            if name in paths:
                mesh = trimesh.load_mesh(file)
                scene.add_mesh_trimesh(f"{paths[name]}/shape_{Path(file).stem}", mesh,
                                       position=origin.position, wxyz=_wxyz(origin.quaternion))

    def _place(self, links: Sequence[Any]) -> None:
        for link in links:
            frame = self._frames.get(link.child)
            if frame is not None:
                frame.position, frame.wxyz = link.pose.position, _wxyz(link.pose.quaternion)

    def _controls(self) -> None:
        gui = self._page.gui
        blank = np.full((96, 96, 3), 40, np.uint8)
        self._camera = gui.add_image(blank, label="camera")
        self._imagined = gui.add_image(blank, label="imagined")
        self._status = gui.add_markdown("waiting for the robot")
        self._words = gui.add_text("instruction", initial_value="")
        do, stop, resume = (gui.add_button(name) for name in ("Do it", "Stop", "Resume"))
        self._actor = ActionClient(self, ExecuteInstruction, "/wm/execute_instruction")
        stopper = self.create_client(Trigger, "/wm/stop")
        resumer = self.create_client(Trigger, "/wm/resume")
        do.on_click(lambda _: self._instruct())
        stop.on_click(lambda _: _ask(stopper))
        resume.on_click(lambda _: _ask(resumer))

    def _instruct(self) -> None:
        if self._actor.server_is_ready() and self._words.value.strip():
            self._actor.send_goal_async(ExecuteInstruction.Goal(instruction=self._words.value))

    # --- what is heard
    def _listen(self) -> None:
        def keep(kind: Any, topic: str, name: str, profile: Any) -> None:
            self.create_subscription(kind, topic, lambda m: self._keep(name, m), profile)

        def topic(name: str) -> str:
            return str(self.get_parameter(f"topics.{name}").value)
        newest = qos.profile(1, reliable=False)
        keep(JointState, topic("joint_states"), "joints", newest)
        keep(Image, topic("scene_color"), "camera", newest)
        keep(ImaginedRollout, "/wm/imagined_rollout", "imagined", qos.EVENT)
        keep(ActionChunk, "/wm/action_chunk", "chunk", qos.EVENT)
        keep(Surprise, "/wm/surprise", "surprise", qos.EVENT)
        keep(String, "/wm/instruction", "instruction", qos.LATCHED)
        keep(PlanningScene, "/wm/furniture", "furniture", qos.LATCHED)

    def _keep(self, name: str, message: Any) -> None:
        with self._lock:
            self._new[name] = message

    # --- drawing
    def _draw(self) -> None:
        if not self._page.get_clients():
            return
        with self._lock:
            new, self._new = self._new, {}
        draw = {"joints": self._draw_joints, "camera": self._draw_camera,
                "imagined": self._draw_imagined, "chunk": self._draw_chunk,
                "surprise": self._draw_surprise, "instruction": self._draw_words,
                "furniture": self._draw_furniture}
        for name, message in new.items():
            try:
                draw[name](message)
            except UserError as error:
                self.get_logger().warning(str(error))

    def _draw_joints(self, message: JointState) -> None:
        self._place(self._tree.moving(dict(zip(message.name, message.position, strict=False))))

    def _draw_camera(self, message: Image) -> None:
        self._camera.image = _large(images.from_colour(message))

    def _draw_imagined(self, message: ImaginedRollout) -> None:
        if message.frames:
            frames = [images.from_colour(frame) for frame in message.frames]
            self._imagined.image = _large(np.concatenate(frames[-2:], axis=1))

    def _draw_chunk(self, message: ActionChunk) -> None:
        points = np.array([poses.from_pose(pose).position for pose in message.poses])
        if len(points) > 1:
            self._page.scene.add_line_segments(
                "/planned", points=np.stack([points[:-1], points[1:]], axis=1),
                colors=(20, 120, 255), thickness=4.0)
        self._say(success=message.predicted_success)

    def _draw_surprise(self, message: Surprise) -> None:
        self._say(surprise=message.value)

    def _draw_words(self, message: String) -> None:
        self._say(instruction=message.data)

    def _say(self, **values: Any) -> None:
        self._said = {**getattr(self, "_said", {}), **values}
        lines = [f"**{self._said.get('instruction') or 'no instruction'}**"]
        lines += [f"{name} {self._said[name]:.2f}" for name in ("success", "surprise")
                  if np.isfinite(self._said.get(name, np.nan))]
        self._status.content = "  \n".join(lines)

    def _draw_furniture(self, message: PlanningScene) -> None:
        import trimesh
        self._page.scene.remove_by_name("/room")
        for item in message.world.collision_objects:
            base = poses.from_pose(item.pose)
            parts = zip(item.primitives, item.primitive_poses, strict=True)
            for i, (shape, pose) in enumerate(parts):
                place = base.compose(poses.from_pose(pose))
                size = list(shape.dimensions)
                if shape.type == SolidPrimitive.BOX:
                    mesh = trimesh.creation.box(size)
                elif shape.type == SolidPrimitive.CYLINDER:
                    mesh = trimesh.creation.cylinder(radius=size[1], height=size[0], sections=24)
                else:
                    mesh = trimesh.creation.icosphere(radius=size[0], subdivisions=2)
                mesh.visual.face_colors = [170, 150, 120, 255]
                self._page.scene.add_mesh_trimesh(f"/room/{item.id}/{i}", mesh,
                                                  position=place.position,
                                                  wxyz=_wxyz(place.quaternion))


def _ask(client: Any) -> None:
    if client.service_is_ready():
        client.call_async(Trigger.Request())


def _meshes(urdf: str) -> list[tuple[str, str, Pose]]:
    """(link, file, pose in the link) of the coarse meshes of a URDF."""
    found = []
    for link in ElementTree.fromstring(urdf).findall("link"):
        for part in link.findall("collision"):
            mesh = part.find("geometry/mesh")
            if mesh is None:
                continue
            origin = part.find("origin")
            xyz = "0 0 0" if origin is None else origin.get("xyz", "0 0 0")
            position = np.array([float(v) for v in xyz.split()])
            found.append((link.get("name", ""), str(robot_data(mesh.get("filename", ""))),
                          Pose.of(position)))
    return found


def _wxyz(quaternion: np.ndarray) -> np.ndarray:
    """xyzw, as everywhere here, to the page's wxyz."""
    return np.roll(quaternion, 1)


def _large(image: np.ndarray) -> np.ndarray:
    return image.repeat(3, axis=0).repeat(3, axis=1)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until a signal."""
    environment.prepare()
    rclpy.init(args=list(sys.argv if args is None else args),
               signal_handler_options=SignalHandlerOptions.NO)
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    try:
        node = ViewNode()
    except UserError as error:
        print(f"[ERROR] [view]: {error}", file=sys.stderr, flush=True)
        time.sleep(5.0)  # not started again in a hurry
        return 2
    node.create_timer(0.5, lambda: leave_with_supervisor(ending))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not ending.is_set():
        executor.spin_once()
    node._page.stop()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
