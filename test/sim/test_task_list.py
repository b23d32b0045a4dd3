# SPDX-License-Identifier: Apache-2.0
"""What `wm sim` lists can be given as an instruction as it stands."""
from __future__ import annotations

import re

import pytest

from wm_ros.cli import main
from wm_ros.sim.judging import task_for
from wm_ros.sim.tasks import TASKS


def test_listed_instructions_are_whole_and_name_the_words_that_may_stand_in_them(
        capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(TASKS)
    for line in lines:
        room, task, words = line.split(None, 2)
        meant = task_for(words.split("   (")[0], room, 0)
        assert meant is not None and meant[0] == task
    (buttons,) = re.findall(r"press_button .*\(color: (.*)\)", "\n".join(lines))
    assert buttons == "blue, green, red"
