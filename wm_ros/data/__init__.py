# SPDX-License-Identifier: Apache-2.0
"""Episodes, data sets, training caches and bags; no ROS runtime needed except by the recorder."""
