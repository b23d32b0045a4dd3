# SPDX-License-Identifier: Apache-2.0
"""What RViz draws: paths coloured by success, obstacles, text, film strips."""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseStamped
from moveit_msgs.msg import CollisionObject
from nav_msgs.msg import Path
from shape_msgs.msg import SolidPrimitive
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from wm_ros.bridge import poses
from wm_ros.bridge.seen import extent
from wm_ros.motion.pose import Pose

RED, YELLOW, GREEN = (0.85, 0.15, 0.10), (0.95, 0.80, 0.15), (0.10, 0.70, 0.20)
UNKNOWN = (0.35, 0.55, 0.90)
FURNITURE = ColorRGBA(r=0.72, g=0.62, b=0.48, a=1.0)
HELD = ColorRGBA(r=0.58, g=0.25, b=0.60, a=1.0)
WHITE = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
GAP = 2  # pixels between two frames of a film strip
ENLARGE = 2  # times, of the frames


def success_colour(success: float, alpha: float = 1.0) -> ColorRGBA:
    """Red (0) over yellow (0.5) to green (1); blue where the model does not know (NaN)."""
    if math.isnan(success):
        r, g, b = UNKNOWN
    else:
        share = 2.0 * min(max(success, 0.0), 1.0)
        low, high = (RED, YELLOW) if share < 1.0 else (YELLOW, GREEN)
        share -= share >= 1.0
        r, g, b = ((1 - share) * a + share * c for a, c in zip(low, high, strict=True))
    return ColorRGBA(r=float(r), g=float(g), b=float(b), a=float(alpha))


def array(markers: Iterable[Marker], header: Header) -> MarkerArray:
    """Markers that take the place of all that were shown before on their topic."""
    clear = Marker(header=header, action=Marker.DELETEALL)
    return MarkerArray(markers=[clear, *markers])


def marker(kind: int, header: Header, namespace: str, number: int) -> Marker:
    """An empty marker at the origin of its frame."""
    made = Marker(type=kind, header=header, ns=namespace, id=number, action=Marker.ADD)
    made.pose.orientation.w = 1.0
    return made


def paths(candidates: Sequence[tuple[Sequence[Pose], float]], header: Header) -> list[Marker]:
    """Imagined tool paths, the best first: lines in the colour of their success, and its percents.

    :param candidates: (poses in the header's frame (m), predicted success 0 to 1 or NaN)
    """
    made = []
    for i, (path, success) in enumerate(candidates):
        best = i == 0
        line = marker(Marker.LINE_STRIP, header, "path", i)
        line.scale.x = 0.008 if best else 0.004
        line.color = success_colour(success, 1.0 if best else 0.6)
        line.points = [point(pose) for pose in path]
        made.append(line)
        if not math.isnan(success) and path:
            words = text(f"{100.0 * success:.0f} %", path[-1].position, header, 0.03, "success", i)
            words.pose.position.z += 0.03
            made.append(words)
    return made


def text(words: str, position: np.ndarray, header: Header, height: float, namespace: str,
         number: int = 0) -> Marker:
    """Words that face the viewer; ``height`` of a capital letter in m."""
    made = marker(Marker.TEXT_VIEW_FACING, header, namespace, number)
    made.text, made.color = words, WHITE
    made.scale.z = height
    made.pose.position.x, made.pose.position.y, made.pose.position.z = map(float, position)
    return made


def obstacles(objects: Iterable[CollisionObject], held: bool = False) -> list[Marker]:
    """Collision objects as shapes in their own frames; held ones move with their link."""
    made: list[Marker] = []
    for item in objects:
        base = poses.from_pose(item.pose)
        shapes = [*zip(item.primitives, item.primitive_poses, strict=True),
                  *zip(item.meshes, item.mesh_poses, strict=True)]
        for shape, pose in shapes:
            solid = isinstance(shape, SolidPrimitive)
            one = marker(_kind(shape.type) if solid else Marker.TRIANGLE_LIST,
                         item.header, item.id, len(made))
            one.pose = poses.to_pose(base.compose(poses.from_pose(pose)))
            one.color, one.frame_locked = (HELD, True) if held else (FURNITURE, False)
            if solid:
                one.scale.x, one.scale.y, one.scale.z = map(float, extent(shape))
            else:
                one.scale.x = one.scale.y = one.scale.z = 1.0
                one.points = [shape.vertices[int(i)] for triangle in shape.triangles
                              for i in triangle.vertex_indices]
            made.append(one)
    return made


def _kind(shape: int) -> int:
    return {SolidPrimitive.BOX: Marker.CUBE, SolidPrimitive.SPHERE: Marker.SPHERE}.get(
        shape, Marker.CYLINDER)


def path(waypoints: Iterable[Pose], header: Header) -> Path:
    """Poses in the header's frame (m) -> nav_msgs/Path."""
    return Path(header=header, poses=[PoseStamped(header=header, pose=poses.to_pose(pose))
                                      for pose in waypoints])


def point(pose: Pose) -> Point:
    """Position of a pose (m)."""
    return poses.point(pose.position)


def header(frame: str, stamp: Time) -> Header:
    """A header."""
    return Header(frame_id=frame, stamp=stamp)


def film_strip(frames: np.ndarray) -> np.ndarray:
    """(F, H, W, 3) uint8 frames side by side, oldest left -> (H', W', 3) uint8."""
    large = frames.repeat(ENLARGE, axis=1).repeat(ENLARGE, axis=2)
    count, height, width = large.shape[:3]
    strip = np.zeros((height, count * width + (count - 1) * GAP, 3), np.uint8)
    for i, frame in enumerate(large):
        strip[:, i * (width + GAP):i * (width + GAP) + width] = frame
    return strip
