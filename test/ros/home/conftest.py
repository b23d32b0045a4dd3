# SPDX-License-Identifier: Apache-2.0
"""All nodes of the simulated home, started once for all tests of this folder."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import ros_domain

from wm_ros.nodes import demo_client


@pytest.fixture(scope="package")
def ros() -> Iterator[None]:
    """ROS in the test's own process, in a domain that no earlier module's nodes were in."""
    ros_domain.take()
    demo_client.init()
    yield
    demo_client.shutdown()


@pytest.fixture(scope="package")
def system(ros: None, tmp_path_factory: pytest.TempPathFactory,
           start_system: Callable[..., AbstractContextManager[Any]],
           standin_specs: Callable[..., list[Any]]) -> Iterator[Any]:
    """The system."""
    tmp = tmp_path_factory.mktemp("home")
    with start_system(standin_specs(tmp), tmp) as running:
        yield running
