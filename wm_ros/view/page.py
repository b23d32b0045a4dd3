# SPDX-License-Identifier: Apache-2.0
"""The page in the browser: robot, room, cameras, imagination, plan, words, buttons. No ROS."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from wm_ros.motion.pose import Array, Pose
from wm_ros.robot import RobotConfig
from wm_ros.sim.link_shapes import LinkShape, link_shapes
from wm_ros.sim.link_tree import LinkPose, LinkTree
from wm_ros.view.guard import check_address, own_pages_only
from wm_ros.view.solid import Colour, Solid

ROBOT: Colour = (225, 228, 232)
PLAN: Colour = (25, 130, 250)
DARK = 40  # of an image that has not come yet
HEIGHT = 192  # pixels of an image on the page
SIDEBAR: Literal["large"] = "large"


class Buttons(NamedTuple):
    """What the buttons do; called in threads of the page's server."""

    do: Callable[[str, bool], None]  # words, whether only to plan
    stop: Callable[[], None]
    resume: Callable[[], None]


class Page:
    """One page for all who look; what is drawn once stays there for those who come later.

    :raises UserError: when the port is taken, or the host is not this machine's
    """

    def __init__(self, host: str, port: int, robot: RobotConfig, buttons: Buttons) -> None:
        import viser
        check_address(host, port)
        with own_pages_only():
            self._server = viser.ViserServer(host=host, port=port, label="wm_ros", verbose=False)
        self._robot = robot
        self._scene = self._server.scene
        self._shown: dict[str, set[str]] = {}
        self._posture: dict[str, float] = {}
        self._draw_robot()
        self._controls(buttons)

    @property
    def watched(self) -> bool:
        """Whether anybody looks."""
        return bool(self._server.get_clients())

    def close(self) -> None:
        """End the server."""
        self._server.stop()

    # --- robot
    def _draw_robot(self) -> None:
        urdf = self._robot.urdf_path.read_text(encoding="utf-8")
        self._tree = LinkTree(urdf)
        scene, base = self._scene, self._robot.base_link
        scene.set_up_direction("+z")
        scene.add_grid("/floor", width=3.0, height=3.0, position=(0.0, 0.0, -0.75))
        self._server.initial_camera.position = (1.35, 0.85, 0.85)
        self._server.initial_camera.look_at = (0.4, 0.0, 0.15)
        self._paths = {base: f"/{base}"}
        links = [*self._tree.fixed(), *self._tree.moving({})]
        while links:  # parents first: a link's place in the page is below its parent's
            ready = [link for link in links if link.parent in self._paths]
            if not ready:
                break
            for link in ready:
                self._paths[link.child] = f"{self._paths[link.parent]}/{link.child}"
            links = [link for link in links if link.child not in self._paths]
        self._frames = {name: scene.add_frame(path, show_axes=False)
                        for name, path in self._paths.items()}
        self._place(self._tree.fixed())
        self.move(dict(zip(self._robot.arm_joints, self._robot.home, strict=True)))
        for i, shape in enumerate(link_shapes(urdf)):
            if shape.link in self._paths:
                self._draw_shape(i, shape)

    def _draw_shape(self, number: int, shape: LinkShape) -> None:
        mesh = shape.mesh()
        self._scene.add_mesh_simple(
            f"{self._paths[shape.link]}/shape_{number}", np.asarray(mesh.vertices),
            np.asarray(mesh.faces), color=ROBOT, position=shape.origin.position,
            wxyz=_wxyz(shape.origin.quaternion))

    def _place(self, links: Iterable[LinkPose]) -> None:
        for link in links:
            frame = self._frames.get(link.child)
            if frame is not None:
                frame.position, frame.wxyz = link.pose.position, _wxyz(link.pose.quaternion)

    def move(self, joints: Mapping[str, float]) -> None:
        """Put the robot into a posture: values by joint (rad, m); the others stay as they are."""
        self._posture |= joints
        self._place(self._tree.moving(self._posture))

    # --- beside the scene
    def _controls(self, buttons: Buttons) -> None:
        gui = self._server.gui
        gui.configure_theme(control_layout="fixed", control_width=SIDEBAR,
                            show_logo=False, show_share_button=False)
        blank = np.full((96, 96, 3), DARK, np.uint8)
        self._status = gui.add_markdown("waiting for the robot")
        self._words = gui.add_text("instruction", initial_value="",
                                   hint="what to do, in plain words")
        self._dry = gui.add_checkbox("plan only", initial_value=False,
                                     hint="look, imagine and plan, but never move")
        do = gui.add_button("Do it", color="green")
        stop = gui.add_button("Stop", color="red", hint="stop the arm at once")
        resume = gui.add_button("Resume", hint="let a stopped arm move again")
        self._cameras = {"scene": blank, "wrist": blank}
        self._stale = False
        self._seen, self._imagined = (
            gui.add_image(_beside(blank, blank), label=label, format="jpeg", jpeg_quality=85)
            for label in ("scene and wrist camera", "imagined, oldest left"))

        def wanted(_event: Any) -> None:
            words = str(self._words.value).strip()
            if words:
                buttons.do(words, bool(self._dry.value))
        do.on_click(wanted)
        stop.on_click(lambda _: buttons.stop())
        resume.on_click(lambda _: buttons.resume())

    def say(self, lines: Sequence[str]) -> None:
        """The state in words, the first line in bold; lines may hold any characters."""
        first, *rest = [_plain(line) for line in lines]
        self._status.content = "  \n".join([f"**{first}**", *rest])

    def camera(self, name: str, image: np.ndarray) -> None:
        """What the ``scene`` or ``wrist`` camera sees, (H, W, 3) uint8."""
        self._cameras[name] = image
        self._stale = True

    def flush(self) -> None:
        """Send the cameras' images, both in one."""
        if self._stale:
            self._stale = False
            self._seen.image = _beside(self._cameras["scene"], self._cameras["wrist"])

    def film(self, frames: np.ndarray) -> None:
        """Imagined frames (F, H, W, 3) uint8, oldest first."""
        self._imagined.image = _beside(*frames)

    # --- in the scene
    def cloud(self, points: np.ndarray, colours: np.ndarray) -> None:
        """What the scene camera sees in 3D: (N, 3) m in the base frame, (N, 3) uint8."""
        self._scene.add_point_cloud("/seen", points.astype(np.float32), colours, point_size=0.006,
                                    point_shape="square")

    def paths(self, candidates: Sequence[tuple[Array, Colour, float]]) -> None:
        """Imagined tool paths, the best first: (n, 3) m, colour, success (NaN: not known)."""
        names = set()
        for i, (points, colour, success) in enumerate(candidates):
            if len(points) < 2:
                continue
            self._line(f"/imagined/{i}", points, colour, 6.0 if i == 0 else 2.5)
            names.add(f"/imagined/{i}")
            if i == 0 and math.isfinite(success):
                self._scene.add_label("/imagined/success", f"{100.0 * success:.0f} %",
                                      position=points[-1])
                names.add("/imagined/success")
        self._only("imagined", names)

    def plan(self, points: Array) -> None:
        """The tool's way along the motion that is driven, (n, 3) m."""
        if len(points) > 1:
            self._line("/plan", points, PLAN, 4.0)

    def key_poses(self, found: Iterable[Pose]) -> None:
        """Where the tool will next grasp or let go, as axes; the next one is large."""
        names = set()
        for i, pose in enumerate(found):
            name = f"/key_pose/{i}"
            self._scene.add_frame(name, axes_length=0.06 / (1 + i), axes_radius=0.004 / (1 + i),
                                  position=pose.position, wxyz=_wxyz(pose.quaternion))
            names.add(name)
        self._only("key poses", names)

    def solids(self, solids: Iterable[Solid]) -> None:
        """The planning scene, in place of what was there."""
        names = set()
        for solid in solids:
            base = self._paths.get(solid.frame, self._paths[self._robot.base_link])
            name = f"{base}/obstacle/{solid.name}"
            self._scene.add_mesh_simple(
                name, np.asarray(solid.mesh.vertices), np.asarray(solid.mesh.faces),
                color=solid.colour, flat_shading=True, position=solid.pose.position,
                wxyz=_wxyz(solid.pose.quaternion))
            names.add(name)
        self._only("solids", names)

    def _line(self, name: str, points: Array, colour: Colour, pixels: float) -> None:
        self._scene.add_line_segments(name, points=np.stack([points[:-1], points[1:]], axis=1),
                                      colors=colour, thickness=pixels, thickness_units="screen")

    def _only(self, kind: str, names: set[str]) -> None:
        """Take away what is no longer there."""
        for gone in self._shown.get(kind, set()) - names:
            self._scene.remove_by_name(gone)
        self._shown[kind] = names


def _beside(*pictures: np.ndarray) -> np.ndarray:
    """Pictures of one height in a row; small ones keep their pixels, so that each can be seen."""
    large = []
    for picture in pictures:
        times = -(-HEIGHT // picture.shape[0])
        shrink = max(1, picture.shape[0] // HEIGHT)
        large.append(picture[::shrink, ::shrink].repeat(times, 0).repeat(times, 1))
    height = min(picture.shape[0] for picture in large)
    gap = np.full((height, 2, 3), 255, np.uint8)
    row = [part for picture in large for part in (picture[:height], gap)]
    return np.concatenate(row[:-1], axis=1)


def _plain(line: str) -> str:
    """Words in which nothing is read as Markdown or HTML."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+-.!|~&" else c for c in " ".join(line.split()))


def _wxyz(quaternion: Array) -> Array:
    """xyzw, as everywhere here, to the page's wxyz."""
    return np.roll(quaternion, 1)
