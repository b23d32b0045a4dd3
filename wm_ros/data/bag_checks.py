# SPDX-License-Identifier: Apache-2.0
"""Do the commands and motions of a recorded run stay within the robot's limits?

Commands are every JointTrajectory (alone, in a DisplayTrajectory, or in an ActionChunk) and the
`reference` of a JointTrajectoryControllerState; motions are JointState messages. Contacts of the
arm with furniture are read from `/wm/furniture_contacts`.

    python -m wm_ros.data.bag_checks BAG...
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wm_ros.data.bag import Record, read
from wm_ros.errors import UserError
from wm_ros.robot import RobotConfig, load_robot

TOLERANCE = 1e-3  # rounding of times and angles in messages, relative
MEASURED = 0.05  # measured motions may overshoot the commanded limits by this share
CONTACTS = "furniture_contacts"


@dataclass
class Limits:
    """The worst of everything looked at, as a share of its limit (1 is the limit)."""

    points: int = 0
    position: float = 0.0  # beyond the range, rad: 0 inside
    velocity: float = 0.0
    acceleration: float = 0.0

    def add(self, robot: RobotConfig, names: list[str], q: Any, dq: Any, ddq: Any) -> None:
        """Look at one point; arrays in the order of `names`, empty where unknown."""
        index = {joint: i for i, joint in enumerate(robot.arm_joints)}
        here = [i for i, name in enumerate(names) if name in index]
        if not here:
            return
        joints = [index[names[i]] for i in here]
        self.points += 1
        q, dq, ddq = (np.asarray(v, float) for v in (q, dq, ddq))
        if len(q) == len(names):
            low, high = robot.position_limits[joints].T
            beyond = np.maximum(low - q[here], q[here] - high)
            self.position = max(self.position, float(np.nan_to_num(beyond, nan=np.inf).max()))
        if len(dq) == len(names):
            self.velocity = _worst(self.velocity, dq[here], robot.velocity_limits[joints])
        if len(ddq) == len(names):
            self.acceleration = _worst(
                self.acceleration, ddq[here], robot.acceleration_limits[joints])

    def ok(self, slack: float) -> bool:
        """Whether all is within the limits, up to a share `slack`."""
        return (self.position <= slack and self.velocity <= 1 + slack
                and self.acceleration <= 1 + slack)


@dataclass
class Check:
    """The outcome for one bag."""

    bag: str
    commanded: dict[str, Limits] = field(default_factory=dict)
    measured: dict[str, Limits] = field(default_factory=dict)
    furniture_contacts: int | None = None  # None: the bag does not tell

    @property
    def ok(self) -> bool:
        """There are commands, none outside the limits, no motion far outside, and no contact with
        furniture."""
        return (
            any(limits.points for limits in self.commanded.values())
            and all(limits.ok(TOLERANCE) for limits in self.commanded.values())
            and all(limits.ok(MEASURED) for limits in self.measured.values())
            and not self.furniture_contacts
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {**asdict(self), "ok": self.ok}


def check(bag: Path | str, robot: RobotConfig | str = "panda") -> Check:
    """Look at every command and motion of a bag, finished or not.

    Accelerations of motions are not measured: differences of velocities of a 2 ms simulation
    published at 100 Hz say little.

    :raises UserError: there is no bag
    """
    robot = load_robot(robot) if isinstance(robot, str) else robot
    result = Check(str(bag))
    for record in read(bag, _Interesting()):
        kind = record.type.rsplit("/", 1)[-1]
        message = record.message
        if kind == "JointState":
            limits = result.measured.setdefault(record.topic, Limits())
            limits.add(robot, list(message.name), message.position, message.velocity, [])
        elif kind == "JointTrajectoryControllerState":
            limits = result.commanded.setdefault(record.topic, Limits())
            point = message.reference
            limits.add(robot, list(message.joint_names), point.positions, point.velocities,
                       point.accelerations)
        elif record.topic.endswith(CONTACTS):
            result.furniture_contacts = max(result.furniture_contacts or 0, int(message.data))
        else:
            for trajectory in _trajectories(kind, record):
                limits = result.commanded.setdefault(record.topic, Limits())
                _add_trajectory(limits, robot, trajectory)
    return result


class _Interesting:
    """Topics whose types are looked at cannot be known by name: take all but images."""

    def __contains__(self, topic: object) -> bool:
        big = ("/tf", "/clock", "/wm/observation", "/wm/imagined_rollout")
        return "image" not in str(topic) and not str(topic).startswith(big)


def _trajectories(kind: str, record: Record) -> list[Any]:
    message = record.message
    if kind == "JointTrajectory":
        return [message]
    if kind == "RobotTrajectory":
        return [message.joint_trajectory]
    if kind == "DisplayTrajectory":
        return [t.joint_trajectory for t in message.trajectory]
    if kind == "ActionChunk":
        return [message.joints]
    return []


def _add_trajectory(limits: Limits, robot: RobotConfig, trajectory: Any) -> None:
    """Look at every point; where accelerations are not given, at what the velocities imply."""
    names = list(trajectory.joint_names)
    before: tuple[float, np.ndarray] | None = None
    for point in trajectory.points:
        stamp = point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec
        accelerations = np.asarray(point.accelerations, float)
        velocities = np.asarray(point.velocities, float)
        if not len(accelerations) and len(velocities) and before and stamp > before[0] + 1e-6:
            accelerations = (velocities - before[1]) / (stamp - before[0])
        limits.add(robot, names, point.positions, velocities, accelerations)
        before = (stamp, velocities) if len(velocities) else None


def _worst(before: float, values: np.ndarray, limit: np.ndarray) -> float:
    return max(before, float(np.nan_to_num(np.abs(values) / limit, nan=np.inf).max()))


def main() -> int:
    """Check the bags named on the command line; exit status 1 when one is not in order."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("bags", type=Path, nargs="+", metavar="BAG", help="folder or mcap file")
    parser.add_argument("--robot", default="panda", help="name or YAML file of the arm")
    args = parser.parse_args()
    try:
        checks = [check(bag, args.robot) for bag in args.bags]
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps([one.as_dict() for one in checks], indent=2))
    return 0 if all(one.ok for one in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
