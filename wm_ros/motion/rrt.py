# SPDX-License-Identifier: Apache-2.0
"""roboplan's RRT, without the viewers that it would load to draw its trees: they take longer than
all the rest of a planner's start."""
from __future__ import annotations

import sys

_unused = [name for name in ("viser", "trimesh") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_unused))  # type: ignore[arg-type]  # None: not to be imported
try:
    from roboplan.rrt import RRT, RRTOptions
finally:
    for _name in _unused:
        del sys.modules[_name]

__all__ = ["RRT", "RRTOptions"]
