# SPDX-License-Identifier: Apache-2.0
"""A file is whole: the old one or the new one."""
from __future__ import annotations

from pathlib import Path

import pytest

from wm_ros.files import whole, write_text


def test_a_writer_that_fails_leaves_the_old_file_and_no_part(tmp_path: Path):
    path = tmp_path / "card.yaml"
    write_text(path, "old")
    with pytest.raises(OSError, match="full"), whole(path) as part:
        part.write_text("half of the n")
        assert path.read_text() == "old", "readers see the old one meanwhile"
        raise OSError("full")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_was_written_takes_the_old_files_place(tmp_path: Path):
    path = tmp_path / "card.yaml"
    for text in ("old", "new: ä"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text and list(tmp_path.iterdir()) == [path]
