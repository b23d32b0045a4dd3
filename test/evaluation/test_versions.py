# SPDX-License-Identifier: Apache-2.0
"""Results of other code are not taken for those of this one."""
from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from wm_ros.evaluation import bench, closed_loop
from wm_ros.motion.pose import Pose


def test_every_edit_and_every_new_file_is_another_version(tmp_path: Path, monkeypatch) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=b",
                        *words], check=True, capture_output=True)

    monkeypatch.setattr(bench, "share", lambda: tmp_path)
    for name in ("wm_ros", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("1")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    seen = [bench.commit("wm_ros")]
    assert "+" not in seen[0]
    for text in ("2", "3"):
        (tmp_path / "wm_ros" / "a.py").write_text(text)
        seen.append(bench.commit("wm_ros"))
    for text in ("x", "y"):
        (tmp_path / "wm_ros" / "new.yaml").write_text(text)
        seen.append(bench.commit("wm_ros"))
    assert len(set(seen)) == 5
    (tmp_path / "other" / "a.py").write_text("2")
    assert bench.commit("wm_ros") == seen[-1] and "+" in bench.commit("other")
    (tmp_path / "wm_ros" / "new.yaml").unlink()
    (tmp_path / "wm_ros" / "a.py").write_text("1")
    assert bench.commit("wm_ros") == seen[0]


def test_success_after_the_time_is_up_does_not_count() -> None:
    env = SimpleNamespace(steps=8, max_steps=10, success=lambda: env.steps > 10,
                          sim=SimpleNamespace(robot_furniture_contacts=lambda: 0))

    def step(action: object) -> None:
        env.steps += 1

    env.step = step
    outcome = closed_loop.Outcome("a", 0, "", False, 0.0, 0.0)
    pose = Pose(np.zeros(3), np.array([0.0, 0, 0, 1]))
    closed_loop.follow(env, outcome, [(pose, 0.08)] * 5, False)  # type: ignore[arg-type]
    assert env.steps == 10 and not outcome.success
