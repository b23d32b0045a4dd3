# SPDX-License-Identifier: Apache-2.0
"""A small transform tree filled from /tf and /tf_static, so that tf2_ros is not needed."""
from __future__ import annotations

import bisect
from collections.abc import Container, Iterable

from geometry_msgs.msg import TransformStamped

from wm_ros.bridge import times
from wm_ros.bridge.poses import from_transform
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose, interpolate


class _Edge:
    """Poses of one child frame in its parent, over time (seconds)."""

    def __init__(self, parent: str, static: bool) -> None:
        self.parent = parent
        self.static = static
        self.times: list[float] = []
        self.poses: list[Pose] = []

    def add(self, time: float, pose: Pose, keep: float) -> None:
        if self.static:
            self.times, self.poses = [time], [pose]
            return
        if self.times and time < self.times[-1] - keep:  # the clock was set back
            self.times, self.poses = [], []
        at = bisect.bisect_left(self.times, time)
        if at < len(self.times) and self.times[at] == time:
            self.poses[at] = pose
        else:
            self.times.insert(at, time)
            self.poses.insert(at, pose)
        old = bisect.bisect_left(self.times, self.times[-1] - keep)
        del self.times[:old], self.poses[:old]

    def at(self, time: float | None, tolerance: float) -> Pose | None:
        """Interpolated pose; the nearest end within the tolerance; None when there is none."""
        if self.static or time is None:
            return self.poses[-1]
        i = bisect.bisect_left(self.times, time)
        if 0 < i < len(self.times):
            before, after = self.times[i - 1], self.times[i]
            return interpolate(self.poses[i - 1], self.poses[i],
                               (time - before) / (after - before))
        nearest = min(i, len(self.times) - 1)
        return self.poses[nearest] if abs(self.times[nearest] - time) <= tolerance else None


class TransformBuffer:
    """Looks up the pose of a frame in another at a time, as tf2's buffer does.

    :param keep: seconds of history
    :param tolerance: how far (s) a look-up may lie outside of the history
    """

    def __init__(self, keep: float = 10.0, tolerance: float = 0.1) -> None:
        self._edges: dict[str, _Edge] = {}
        self._keep = keep
        self._tolerance = tolerance

    def add(self, transforms: Iterable[TransformStamped], static: bool = False) -> None:
        """Take in the transforms of one TFMessage; those that are not finite are left out."""
        for message in transforms:
            parent = message.header.frame_id.lstrip("/")
            child = message.child_frame_id.lstrip("/")
            try:
                pose = from_transform(message.transform)
            except UserError:
                continue
            edge = self._edges.get(child)
            if edge is None or edge.parent != parent or edge.static != static:
                edge = self._edges[child] = _Edge(parent, static)
            edge.add(times.seconds(message.header.stamp), pose, self._keep)

    def anchor(self, frame: str, links: Container[str]) -> tuple[str, Pose] | None:
        """The nearest of ``links`` to which ``frame`` is fixed, and the frame's pose in it."""
        pose, passed = Pose.identity(), set()
        while frame not in links:
            edge = self._edges.get(frame)
            if edge is None or not edge.static or frame in passed:
                return None
            passed.add(frame)
            pose, frame = edge.poses[-1].compose(pose), edge.parent
        return frame, pose

    def lookup(self, target: str, source: str, time: float | None = None) -> Pose:
        """Pose of ``source`` in ``target`` (m, xyzw) at ``time`` (s; None: the newest).

        :raises UserError: when the frames are not connected, in a circle, or not known at that
            time
        """
        up, down = self._chain(target, time), self._chain(source, time)
        common = next((frame for frame in down if frame in up), None)
        if common is None:
            known = source if source not in self._edges else target
            raise UserError(f"There is no transform from {source} to {target}: nothing publishes "
                            f"{known} on /tf or /tf_static.")
        return up[common].inverse().compose(down[common])

    def _chain(self, frame: str, time: float | None) -> dict[str, Pose]:
        """Pose of ``frame`` in each of its ancestors, itself first."""
        first, pose, chain = frame, Pose.identity(), {frame: Pose.identity()}
        while frame in self._edges:
            edge = self._edges[frame]
            if edge.parent in chain:
                raise UserError(f"The transforms of {first} form a circle ({edge.parent} is above "
                                f"and below {frame}); two publishers of /tf or /tf_static "
                                "contradict each other.")
            step = edge.at(time, self._tolerance)
            if step is None:
                raise UserError(f"The transform of {frame} is not known at the time of the "
                                "images; its publisher is late or has stopped.")
            pose, frame = step.compose(pose), edge.parent
            chain[frame] = pose
        return chain
