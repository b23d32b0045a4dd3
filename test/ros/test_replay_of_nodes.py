# SPDX-License-Identifier: Apache-2.0
"""What the nodes published while they were recorded is what a replay shows the model."""
from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("wm_ros.msg")
from wm_ros.bridge import observations  # noqa: E402
from wm_ros.bridge.recorded import decode  # noqa: E402
from wm_ros.data.any_bag import AnyBag  # noqa: E402
from wm_ros.nodes.node_list import PERCEPTION, SIMULATION  # noqa: E402
from wm_ros.nodes.supervisor import Supervisor, child_environment  # noqa: E402
from wm_ros.robot import load_robot  # noqa: E402
from wm_ros.world_model import Observation  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "replay"))
from frozen_model import FrozenModel, play  # noqa: E402

pytestmark = pytest.mark.ros
WANTED = 15  # observations
PATIENCE = 120.0  # s


def test_a_replay_sees_the_observations_that_the_perception_node_published(
        tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    specs = [SIMULATION.with_parameters(room="home", seed=3), PERCEPTION]
    with Supervisor(specs, tmp_path / "logs"):
        recorder = subprocess.Popen(
            [sys.executable, "-m", "wm_ros.cli", "record", "--out", str(bag)],
            env=child_environment(), stderr=subprocess.DEVNULL)
        try:
            limit = time.monotonic() + PATIENCE
            while time.monotonic() < limit:
                time.sleep(1.0)
                if bag.exists() and AnyBag(bag).topics().get(
                        "/wm/observation", ("", 0))[1] >= WANTED:
                    break
            recorder.send_signal(signal.SIGINT)
            assert recorder.wait(30) == 0
        finally:
            recorder.kill()
            recorder.wait()
    robot = load_robot()
    live = [Observation(**observations.fields(decode(raw), robot))
            for raw in AnyBag(bag).messages({"/wm/observation"})]
    assert len(live) >= WANTED
    model = FrozenModel()
    play(bag, model=model, instruction="look", every=0.01)
    seen = {round(o.stamp, 6): o for o in model.seen}
    both = [(o, seen[round(o.stamp, 6)]) for o in live if round(o.stamp, 6) in seen]
    assert len(both) >= 0.8 * len(live)  # images may get lost on the way to a busy recorder
    for a, b in both:
        np.testing.assert_array_equal(a.scene_rgb, b.scene_rgb)
        np.testing.assert_array_equal(a.wrist_rgb, b.wrist_rgb)
        np.testing.assert_array_equal(a.scene_depth, b.scene_depth)
        np.testing.assert_allclose(a.scene_position, b.scene_position, atol=1e-12)
        np.testing.assert_array_equal(a.scene_K, b.scene_K)
        # of joint states less than 30 ms apart another one may be the first to arrive
        np.testing.assert_allclose(a.q, b.q, atol=2e-3)
        np.testing.assert_allclose(a.gripper, b.gripper, atol=1e-3)
