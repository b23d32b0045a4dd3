# SPDX-License-Identifier: Apache-2.0
"""Grasp from above, carry, put down or drop: the reactive core of most tasks."""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wm_ros.motion.pose import Pose
from wm_ros.sim.experts.moves import (
    CARRY,
    CLOSED,
    OPEN,
    Action,
    down,
    funnel,
    nearest_turn,
    rise,
    wrap,
    yaw_of,
)

if TYPE_CHECKING:
    from wm_ros.sim.simulator import Simulator

HOVER = 0.095  # approach height above a grasp


@dataclass(frozen=True)
class Grasp:
    """Where the tool centre point shall close, and the width of what is then in between."""

    position: np.ndarray
    yaw: float
    width: float
    opening: float = OPEN  # how far the fingers open around it

    @property
    def empty(self) -> float:
        """A smaller opening of closed fingers means that there is nothing in between."""
        return self.width - min(0.012, 0.5 * self.width)

    def reached(self, tcp: Pose, across: float = 0.009, up: float = 0.008) -> bool:
        """Whether the hand is where it may close."""
        error = self.position - tcp.position
        return (math.hypot(error[0], error[1]) < across and abs(error[2]) < up
                and abs(wrap(self.yaw - yaw_of(tcp.quaternion))) < 0.12)

    def held(self, tcp: Pose, width: float) -> bool:
        """Whether the fingers are closed on it: their width tells."""
        error = self.position - tcp.position
        return (math.hypot(error[0], error[1]) < 0.025 and abs(error[2]) < 0.025
                and self.empty < width < self.width + 0.004)


def pick(tcp: Pose, width: float, grasp: Grasp) -> Action:
    """Return the next action of an approach that ends with closed fingers; retries a miss."""
    if grasp.reached(tcp) and width > grasp.empty:
        return Action(Pose(grasp.position.copy(), down(grasp.yaw)), CLOSED)
    opened = width > grasp.opening - 0.01
    return Action(funnel(tcp, grasp.position, grasp.yaw, HOVER, wait=not opened), grasp.opening)


def carry(tcp: Pose, goal: np.ndarray, yaw: float, height: float = CARRY) -> Action:
    """Return the next action that brings the hand to ``goal`` with closed fingers."""
    return Action(funnel(tcp, goal, yaw, max(height - goal[2], 0.03)), CLOSED)


def release(tcp: Pose, opening: float = OPEN) -> Action:
    """Return the action that opens the fingers on the spot."""
    return Action(Pose(tcp.position.copy(), down(yaw_of(tcp.quaternion))), opening)


def retreat(tcp: Pose, height: float = CARRY, opening: float = OPEN) -> Action:
    """Return the action that leaves upwards with open fingers, then stays."""
    return Action(rise(tcp, height), opening)


def grasp_of(sim: Simulator, name: str) -> Grasp:
    """Return the grasp of a thing where it is now; the yaw with the shortest turn."""
    thing = sim.object_pose(name)
    how = sim.scene.object(name).grasp
    here = yaw_of(sim.tcp_pose().quaternion)
    yaw = 0.0
    if how.yaw:
        turns = [nearest_turn(yaw_of(thing.quaternion) + y, math.pi, here) for y in how.yaw]
        yaw = min(turns, key=lambda turn: abs(turn - here))
    return Grasp(thing.apply(np.asarray(how.position, float)), yaw, float(how.width))


class PickPlace:
    """Take a thing, bring it over a place and let it go there.

    :param thing: name of the thing.
    :param place: returns where the thing's base shall be let go, (3,) m.
    :param done: whether the thing is where it belongs (in hand or not).
    :param across: how far from the place (m, horizontally) it may be let go.
    :param up: how far above.
    """

    def __init__(self, sim: Simulator, thing: str, place: Callable[[], np.ndarray],
                 done: Callable[[], bool], across: float = 0.012, up: float = 0.008,
                 height: float = CARRY) -> None:
        self.sim = sim
        self.thing = thing
        self.place = place
        self.done = done
        self.across = across
        self.up = up
        self.height = height

    def act(self) -> Action:
        tcp, width = self.sim.tcp_pose(), self.sim.gripper_width
        grasp = grasp_of(self.sim, self.thing)
        held = grasp.held(tcp, width)
        base = self.sim.object_pose(self.thing).position
        error = self.place() - base
        there = float(np.hypot(*error[:2])) < self.across and base[2] < self.place()[2] + self.up
        if held and not there:
            return carry(tcp, tcp.position + error, 0.0, self.height)
        if held or (self.done() and width < min(grasp.width + 0.02, OPEN - 0.008)):
            return release(tcp)
        if self.done():
            return retreat(tcp)
        return pick(tcp, width, grasp)
