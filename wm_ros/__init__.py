# SPDX-License-Identifier: Apache-2.0
"""A general world model for robot arms, closed over ROS 2 and MoveIt.

The generated interfaces (``wm_ros.msg``, ``wm_ros.srv``, ``wm_ros.action``) are installed under
the same name; extending the path lets a checkout's modules and installed interfaces meet.
"""
from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
__version__ = "0.1.0"
