# SPDX-License-Identifier: Apache-2.0
"""What every test shares: a quiet ROS domain of its own, and a repository root."""
from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Before anything imports rclpy or MuJoCo. Domains up to 101 keep clear of the ephemeral ports.
os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randint(1, 101))
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
