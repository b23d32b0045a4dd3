# SPDX-License-Identifier: Apache-2.0
"""A node that dies while it is being configured keeps no other from being brought up."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed")

from lifecycle_msgs.msg import Transition  # noqa: E402

from wm_ros.launching import lifecycle  # noqa: E402
from wm_ros.msg import NodeStatus  # noqa: E402

RUN = Path(__file__).parents[1] / "launch" / "run_launch.py"

LAUNCH = '''
import sys
from concurrent.futures import ThreadPoolExecutor
from launch import LaunchDescription
from wm_ros.launching.actions import bring_up, later
from wm_ros.nodes.node_list import NodeSpec

def start(context):
    # one thread stands for the few that a machine with few cores has
    context.asyncio_loop.set_default_executor(ThreadPoolExecutor(1))
    return bring_up(context, [NodeSpec("mortal", "", command=(sys.executable, {node!r}))])

def generate_launch_description():
    return LaunchDescription([later(start)])
'''

NODE = '''
import os, signal
from pathlib import Path
from wm_ros.nodes.base import WmNode, run_node

class Mortal(WmNode):
    def __init__(self):
        super().__init__("mortal")

    def configure(self):
        died = Path({died!r})
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def activate(self):
        self.get_logger().info("it lives")

raise SystemExit(run_node(Mortal))
'''


def test_what_is_asked_waits_for_a_server_and_for_no_answer(
        monkeypatch: pytest.MonkeyPatch) -> None:
    ros, client = Mock(), Mock()
    ros.create_client.return_value = client
    monkeypatch.setattr(lifecycle, "get_ros_node", lambda _: ros)
    action = lifecycle.BringUp([SimpleNamespace(node_name="/arm")])  # type: ignore[list-item]
    monkeypatch.setattr(action, "_go_on", Mock())
    action.execute(Mock(is_shutdown=False))
    beat = ros.create_subscription.call_args.args[2]
    for ready in (False, True):  # who is not found yet hears nothing: it is asked once it is
        client.service_is_ready.return_value = ready
        beat(NodeStatus(node="/arm", pid=7, state="unconfigured"))
        assert client.call_async.called == ready
    assert client.call_async.call_args.args[0].transition.id == Transition.TRANSITION_CONFIGURE


@pytest.mark.ros
def test_a_node_that_died_in_a_transition_is_brought_up_again(tmp_path: Path) -> None:
    node, file, log = tmp_path / "mortal.py", tmp_path / "one.launch.py", tmp_path / "log"
    node.write_text(NODE.format(died=str(tmp_path / "died")))
    file.write_text(LAUNCH.format(node=str(node)))
    with open(log, "wb") as out:
        launch = subprocess.Popen([sys.executable, str(RUN), str(file)], stdout=out,
                                  stderr=subprocess.STDOUT, start_new_session=True,
                                  env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        limit = time.monotonic() + 60.0
        while not re.search("(?s)exit code -9.*it lives", log.read_text()):
            assert launch.poll() is None and time.monotonic() < limit, log.read_text()
            time.sleep(0.1)
    finally:
        os.killpg(launch.pid, signal.SIGINT)
        left: Any = launch.wait(25.0)
    assert left == 0 and "Traceback" not in log.read_text()
