# SPDX-License-Identifier: Apache-2.0
"""Scenes, objects, tasks, experts and the MuJoCo runtime; nothing here knows ROS."""

import ctypes.util
import os

# MuJoCo reads this when it is imported; rendering needs no display
if "MUJOCO_GL" not in os.environ and ctypes.util.find_library("EGL"):
    os.environ["MUJOCO_GL"] = "egl"
elif "MUJOCO_GL" not in os.environ and ctypes.util.find_library("OSMesa"):
    os.environ["MUJOCO_GL"] = "osmesa"
# Mesa's rasteriser threads cost more in waiting than they draw at these picture sizes
os.environ.setdefault("LP_NUM_THREADS", "0")
