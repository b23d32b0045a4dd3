# SPDX-License-Identifier: Apache-2.0
"""A file is whole: the old one or the new one."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from wm_ros.errors import UserError
from wm_ros.files import alone, whole, write_text


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


def test_two_writers_of_one_file_leave_one_of_the_two(tmp_path: Path):
    path = tmp_path / "cell.json"
    with whole(path) as first:
        first.write_text("first")
        with whole(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path):
    target, link, pipe = (tmp_path / name for name in ("target", "link", "pipe"))
    link.symlink_to(target)
    write_text(link, "through the link")
    assert link.is_symlink() and target.read_text() == "through the link"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "heard")
    assert os.read(reader, 9) == b"heard" and pipe.is_fifo()
    os.close(reader)


def test_a_folder_is_held_by_one_process(tmp_path: Path):
    again = pytest.raises(UserError, match="Another process is writing to")
    with alone(tmp_path / "run"), again, alone(tmp_path / "run"):
        pass
    with alone(tmp_path / "run"):
        pass


def test_what_a_killed_process_left_half_written_goes_with_the_next_hold(tmp_path: Path):
    left = [tmp_path / f"state.safetensors.{n}-0a1b2c.part" for n in (1, 123456)]
    mine = tmp_path / "chapter.part"
    for file in (*left, mine):
        file.write_text("half")
    with alone(tmp_path):
        assert not any(file.exists() for file in left) and mine.exists()
