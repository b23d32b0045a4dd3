# SPDX-License-Identifier: Apache-2.0
"""What the simulator's benchmark tells."""

from wm_ros.sim.benchmark import benchmark


def test_the_benchmark_reports_every_figure():
    figures = benchmark(0.02)
    for room in ("home", "office"):
        assert figures[room]["scene_depth_96x96_fps"] > 10
        assert figures[room]["physics_x_real_time"] > 1
