# SPDX-License-Identifier: Apache-2.0
"""What the simulator's benchmark tells."""

from wm_ros.sim.benchmark import SIZES, benchmark


def test_the_benchmark_reports_every_figure():
    figures = benchmark(0.02)
    assert set(figures) == {"home", "office"}
    pictures = {f"{camera}_{width}x{height}_fps" for camera in ("scene_depth", "wrist")
                for width, height in SIZES}
    for room in figures.values():
        assert set(room) == pictures | {"randomize_ms", "build_ms", "physics_x_real_time"}
        assert min(room.values()) > 0
