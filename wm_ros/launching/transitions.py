# SPDX-License-Identifier: Apache-2.0
"""Which transition a life-cycle node needs next; needs neither ``launch`` nor ROS."""
from __future__ import annotations

CONFIGURE, ACTIVATE = 1, 3  # lifecycle_msgs/Transition
ASK_AGAIN = 4.0  # s without a change of state
NEXT = {"unconfigured": CONFIGURE,
        "inactive": ACTIVATE}


class Transitions:
    """Decides from heartbeats which transition a node needs now; pure, the clock is given."""

    def __init__(self) -> None:
        self._process: dict[str, int] = {}  # newest process of each node
        self._done: set[int] = set()  # processes that have been active
        self._asked: dict[int, tuple[str, float]] = {}

    def managed(self, node: str) -> bool:
        """Whether the node's process has not been active yet."""
        return self._process.get(node) not in self._done

    def wanted(self, node: str, pid: int, state: str, now: float) -> int | None:
        """The transition to ask for, or None.

        :param now: seconds on any clock that only goes forward
        """
        self._process[node] = pid
        if state == "active":
            self._done.add(pid)
        if pid in self._done or state not in NEXT:
            return None
        before, since = self._asked.get(pid, ("", 0.0))
        if before == state and now - since < ASK_AGAIN:
            return None
        self._asked[pid] = (state, now)
        # that it has become inactive is an event of its own, so this is for the case that it
        # was lost
        return None if state == "inactive" and before != state else NEXT[state]
