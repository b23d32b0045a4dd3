# SPDX-License-Identifier: Apache-2.0
"""Who touches whom, and what force the hand feels."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from wm_ros.motion.pose import Array
from wm_ros.sim.mujoco_emitter import FURNITURE, ROBOT


class Touch:
    """Reads a simulation's contacts."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, hand_link: str):
        self.model, self.data = model, data
        self.hand = model.body(hand_link).id
        self._names = [model.body(i).name for i in range(model.nbody)]
        self._meaning = model.geom_user[:, 0].astype(int)
        self._body = model.geom_bodyid.copy()
        below = np.zeros(model.nbody, dtype=bool)
        for i in range(model.nbody):  # parents come before children
            below[i] = i == self.hand or below[model.body_parentid[i]]
        self._on_hand = below[self._body]

    def _pairs(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Numbers (n,) of the contacts that touch and their geoms (n, 2)."""
        contact = self.data.contact
        pairs = np.array(contact.geom, dtype=np.int64).reshape(-1, 2)
        touching = np.flatnonzero(np.asarray(contact.dist) <= 0)
        return touching, pairs[touching]

    def robot_on_furniture(self) -> int:
        """Contacts of the arm or hand with fixed furniture."""
        kinds = np.sort(self._meaning[self._pairs()[1]], axis=1)
        return int(((kinds[:, 0] == FURNITURE) & (kinds[:, 1] == ROBOT)).sum())

    def between(self, a: str, b: str) -> bool:
        """Whether two bodies touch; "robot" and "fingers" stand for any of their links."""
        return any((self._is(x, a) and self._is(y, b)) or (self._is(x, b) and self._is(y, a))
                   for x, y in self._pairs()[1])

    def _is(self, geom: int, name: str) -> bool:
        if name == "robot":
            return bool(self._meaning[geom] == ROBOT)
        if name == "fingers":
            return bool(self._on_hand[geom] and self._body[geom] != self.hand)
        return self._names[self._body[geom]] == name

    def wrench(self) -> Array:
        """Force and torque (6,) that the surroundings exert on the hand, in its frame, N, N m.

        Summed over contacts, so the hand's own weight and inertia are not in it.
        """
        d, total, result = self.data, np.zeros(6), np.zeros(6)
        origin = d.xpos[self.hand]
        numbers, pairs = self._pairs()
        on = self._on_hand[pairs]
        for i in numbers[on[:, 0] != on[:, 1]]:
            contact = d.contact[i]
            mujoco.mj_contactForce(self.model, d, int(i), result)
            frame = contact.frame.reshape(3, 3)
            # the force acts on the second geom
            sign = 1.0 if self._on_hand[contact.geom[1]] else -1.0
            force, torque = sign * frame.T @ result[:3], sign * frame.T @ result[3:]
            total[:3] += force
            total[3:] += torque + np.cross(contact.pos - origin, force)
        rotation = d.xmat[self.hand].reshape(3, 3)
        return np.concatenate([rotation.T @ total[:3], rotation.T @ total[3:]])
