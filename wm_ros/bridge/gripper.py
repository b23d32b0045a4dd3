# SPDX-License-Identifier: Apache-2.0
"""What a hand was told, read off how far it was open.

No standard topic carries a gripper's command. Its measured opening does not stand for it: fingers
that hold a mug stay as wide as the mug, however hard they were told to close.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

STILL = 0.0005  # m from one row to the next: fingers at rest, and the encoders' noise
LEAST = 0.005  # m that fingers move when told to; less is give of what they hold
PAUSE = 2  # rows without a new measurement within one movement: slow drivers repeat the last one


class Move(NamedTuple):
    """Fingers that close or open.

    :param begin: the last row at rest before;  ``end`` the first one after
    :param distance: change of the opening, m; negative when they close
    """

    begin: int
    end: int
    distance: float


def told(opening: np.ndarray, closed: float, start: float | None = None) -> np.ndarray:
    """Openings (n,) m that the hand was told from each row to the next.

    From where it begins to close: ``closed``. From where it begins to open: where it comes to
    rest. Until then ``start``, or where it rests.

    :param opening: (n + 1,) m, measured at n rows and at the end of the last
    :param closed: opening (m) of a hand that has closed on nothing
    :param start: what it was told before the first row (m), where that is known
    """
    found = moves(opening)
    rests = [*(move.begin for move in found), len(opening) - 1]
    resting = float(np.median(opening[:rests[0] + 1]))
    result = np.full(len(opening) - 1, resting if start is None else start)
    for move, rest in zip(found, rests[1:], strict=True):
        opened = move.distance > 0
        result[move.begin:] = np.median(opening[move.end:rest + 1]) if opened else closed
    return result


def moves(opening: np.ndarray) -> list[Move]:
    """The movements of the fingers in openings (n + 1,) m, one a row, in their order."""
    steps = np.diff(opening)
    ways = np.where(np.abs(steps) > STILL, np.sign(steps), 0.0)
    found: list[list[int]] = []  # begin, end
    for i in np.flatnonzero(ways).tolist():
        if found and ways[found[-1][0]] == ways[i] and i - found[-1][1] <= PAUSE:
            found[-1][1] = i + 1
        else:
            found.append([i, i + 1])
    made = [Move(begin, end, float(opening[end] - opening[begin])) for begin, end in found]
    return [move for move in made if abs(move.distance) > LEAST]
