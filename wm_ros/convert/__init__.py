# SPDX-License-Identifier: Apache-2.0
"""Between rosbag2 bags and data sets in LeRobot's layout."""
