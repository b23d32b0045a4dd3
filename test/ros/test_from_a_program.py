# SPDX-License-Identifier: Apache-2.0
"""docs/from_a_program.md: the program that a reader copies from it works."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any


def test_the_pages_program_has_an_instruction_done_and_looks_ahead(
        root: Path, system: Any, tmp_path: Path) -> None:
    page = (root / "docs" / "from_a_program.md").read_text(encoding="utf-8")
    program = tmp_path / "my_program.py"
    program.write_text("\n\n".join(re.findall(r"```python\n(.*?)```", page, re.S)))
    done = subprocess.run([sys.executable, str(program), "go left"], capture_output=True,
                          text=True, timeout=120, cwd=root)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert any(line.startswith("executing") for line in said)
    ended = next(i for i, line in enumerate(said) if line.startswith("True Done; "))
    assert len([line for line in said[ended + 1:] if " 16 " in line]) == 4  # chunks
    assert any(line.startswith("2 frames") for line in said[ended + 1:])
    assert "stopped" in said[-2] and said[-1] == "Resumed."
    system.ready()  # the arm is free again
