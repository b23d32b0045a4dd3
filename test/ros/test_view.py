# SPDX-License-Identifier: Apache-2.0
"""The page in the browser is served and draws all that comes."""
from __future__ import annotations

import socket
import urllib.request

import numpy as np
import pytest

from wm_ros.bridge import chunks, furniture, images, joints, rollouts, times
from wm_ros.motion.pose import top_down
from wm_ros.msg import Surprise
from wm_ros.robot import load_robot

pytestmark = [pytest.mark.ros, pytest.mark.timeout(60)]


def test_page_is_served_and_draws_robot_room_camera_and_imagination(
        ros: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from std_msgs.msg import String

    from wm_ros.nodes import parameters, view_node
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    changed = tuple(p if p.name != "port" else parameters.Parameter("port", port, "Port.")
                    for p in parameters.VIEW)
    monkeypatch.setattr(view_node, "VIEW", changed)
    node = view_node.ViewNode()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
            assert page.status == 200
        monkeypatch.setattr(node._page, "get_clients", lambda: {0: object()})
        robot, now = load_robot(), times.stamp(1.0)
        rgb = np.zeros((96, 96, 3), np.uint8)
        way = [top_down([0.4 + 0.01 * i, 0, 0.3]) for i in range(4)]
        chunk = chunks.Chunk("c", 1.0, 1.0, 0.1, way, np.zeros(0), 0.5, 0.8, 0.1)
        future = rollouts.Rollout("c", 1.0, np.zeros((2, 96, 96, 3), np.uint8),
                                  np.array([0.8, 1.6]), way, 0.8, 0.1)
        room = furniture.from_yaml({"table": [{"box": [1, 1, 0.1], "position": [0, 0, 0]}],
                                    "can": [{"cylinder": [0.03, 0.1], "position": [0, 0, 0]}],
                                    "ball": [{"sphere": 0.03, "position": [0, 0, 0]}]}, "base")
        for name, message in {
                "joints": joints.to_joint_state(now, robot.arm_joints, np.array(robot.home)),
                "camera": images.to_colour(rgb, now, "c"), "furniture": room,
                "chunk": chunks.to_message(chunk, "base", "tcp"),
                "imagined": rollouts.to_message(future, "base"),
                "surprise": Surprise(value=0.5, threshold=1.0),
                "instruction": String(data="put the mug on the tray")}.items():
            node._keep(name, message)
        node._draw()
        assert "put the mug on the tray" in node._status.content
    finally:
        node._page.stop()
        node.destroy_node()
