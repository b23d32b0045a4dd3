# SPDX-License-Identifier: Apache-2.0
"""What every test shares: a quiet ROS domain of its own, and a repository root."""
from __future__ import annotations

import os
from pathlib import Path

import pytest
import ros_domain

ROOT = Path(__file__).resolve().parent.parent

# before anything imports rclpy or MuJoCo
ros_domain.take()
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("OMP_NUM_THREADS", "1")
# wrong field types are silently misread unless this is on
os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")

from wm_ros.environment import prepare  # noqa: E402

prepare()


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository root."""
    return ROOT
