# SPDX-License-Identifier: Apache-2.0
"""Joint path -> timed trajectory within velocity and acceleration limits (TOPP-RA)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import roboplan.core as rc
import roboplan.toppra as rt
import yaml

from wm_ros.motion.kinematics import make_scene
from wm_ros.motion.pose import Array
from wm_ros.motion.trajectory import Trajectory, limit_ratios
from wm_ros.robot import RobotConfig

DT = 0.01  # s between points
SAME = 1e-5  # rad, points nearer than this are one
STRAIGHT = 1e-7  # difference of two directions that are one; their arc would have no middle
OUTSIDE = 1e-4  # rad by which a timed path may leave the box around its points
HERMITE = rt.SplineFittingMode.Hermite
HEADROOM = 1e-3  # of the limits, since the sampled spline slightly overshoots


class Timing:
    """Time-optimal parameterisation of joint paths (Pham and Pham, 2018, through roboplan).

    Works on a scene without obstacles: near one, roboplan would silently fall back to a
    trajectory that rests at every point. The caller checks collisions of the result.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self.robot = robot
        self._scene = make_scene(robot, "timing")
        limits = {
            joint: {"max_acceleration": [float(a)], "max_velocity": [float(v)]}
            for joint, a, v in zip(
                robot.arm_joints, robot.acceleration_limits, robot.velocity_limits, strict=True
            )
        }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "limits.yaml"
            path.write_text(yaml.safe_dump({"joint_limits": limits}))
            self._scene.importJointLimitsFromConfig(rc.loadJointLimitsConfig(str(path)))
        self._parameterizer = rt.PathParameterizerTOPPRA(self._scene, robot.srdf_group)

    def __call__(
        self,
        path: list[Array],
        velocity_scale: float = 1.0,
        acceleration_scale: float = 1.0,
        blend: float = 0.02,
    ) -> Trajectory:
        """Straight joint segments joined by arcs that stray at most `blend` rad from corners.

        :param blend: 0 rests at every point of the path.
        :raises RuntimeError: if the path cannot be timed.
        """
        names = tuple(self.robot.arm_joints)
        points = [path[0]]
        for q in path[1:]:
            if float(np.abs(q - points[-1]).max()) > SAME:
                points.append(q)
        if len(points) == 1:
            return Trajectory.still(names, points[0])
        out = self._generate(_corners(points), velocity_scale, acceleration_scale, blend)
        times = np.asarray(out.times)
        keep = np.ones(len(times), dtype=bool)
        if len(times) > 2 and times[-1] - times[-2] < 0.3 * DT:
            keep[-2] = False
        trajectory = Trajectory(
            names,
            times[keep],
            np.asarray(out.positions)[keep],
            np.asarray(out.velocities)[keep],
            np.asarray(out.accelerations)[keep],
        )
        velocity, acceleration = limit_ratios(trajectory, self.robot)
        factor = max(velocity / velocity_scale, float(np.sqrt(acceleration / acceleration_scale)))
        return trajectory.stretched((1 + HEADROOM) * factor) if factor > 1 else trajectory

    def _generate(
        self, points: list[Array], velocity_scale: float, acceleration_scale: float, blend: float
    ) -> rc.JointTrajectory:
        """TOPP-RA now and then fails by rounding; other corners or fewer points help it."""
        thinned = [*points[:-1:2], points[-1]]
        attempts = [(points, 1.0), (points, 0.8), (points, 0.5), (thinned, 1.0), (thinned, 0.5)]
        for i, (chosen, factor) in enumerate(attempts):
            path = rc.JointPath()
            path.joint_names = list(self.robot.arm_joints)
            path.positions = chosen
            options = rt.TOPPRAOptions(
                dt=DT,
                mode=rt.SplineFittingMode.LinearBlend if blend > 0 else HERMITE,
                velocity_scale=velocity_scale,
                acceleration_scale=acceleration_scale,
                max_blend_deviation=factor * blend,
            )
            try:
                out = self._parameterizer.generate(path, options)
                if _strays(np.asarray(out.positions), chosen):
                    raise RuntimeError("the timed path strays from its points")
                return out
            except RuntimeError:
                if blend == 0 or i == len(attempts) - 1:
                    raise
        raise AssertionError("unreachable")


def _corners(points: list[Array]) -> list[Array]:
    """Those between which a path turns: without points on a straight way to the next one."""
    out = points[:1]
    for q, following in zip(points[1:], points[2:], strict=False):
        before, after = q - out[-1], following - q
        if np.linalg.norm(before / np.linalg.norm(before)
                          - after / np.linalg.norm(after)) > STRAIGHT:
            out.append(q)
    return [*out, points[-1]]


def _strays(positions: Array, points: list[Array]) -> bool:
    """Whether (N, n) leave the box around the points, in which lines and arcs between them lie."""
    low, high = np.min(points, axis=0) - OUTSIDE, np.max(points, axis=0) + OUTSIDE
    return bool(((positions < low) | (positions > high)).any())
