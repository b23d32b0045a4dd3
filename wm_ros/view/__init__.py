# SPDX-License-Identifier: Apache-2.0
"""The page in the browser: robot, room, cameras, imagination, instruction. No ROS."""
