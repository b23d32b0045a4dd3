# SPDX-License-Identifier: Apache-2.0
"""Data sets: what is written is what is read, and nothing written is ever lost."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from synthetic import synthetic_episode  # noqa: E402

from wm_ros.data import layout, lerobot, video  # noqa: E402
from wm_ros.data.lerobot import Dataset, DatasetWriter  # noqa: E402
from wm_ros.errors import UserError  # noqa: E402


def write(root: Path, episodes: list) -> DatasetWriter:
    writer = DatasetWriter(root)
    for episode in episodes:
        writer.commit(episode)
    with writer.lock():
        writer.merge()
    return writer


def test_an_episode_comes_back_as_it_was_recorded(tmp_path: Path) -> None:
    episodes = [synthetic_episode(seed=s, rows=9 + s, success=s != 1, perturbed=s == 2)
                for s in range(4)]
    write(tmp_path / "set", episodes)
    data = Dataset(tmp_path / "set")
    assert len(data) == 4
    for index, sent in enumerate(episodes):
        got = data.episode(index)
        assert got.key == sent.key and got.instruction == sent.instruction
        assert (got.success, got.perturbed) == (sent.success, sent.perturbed)
        for name in ("state", "wrench", "camera", "action", "executed", "progress", "depth"):
            assert np.array_equal(getattr(got, name), getattr(sent, name)), name
        for camera, frames in sent.images.items():
            error = np.abs(got.images[camera].astype(int) - frames)
            assert error.mean() < 2.0 and np.percentile(error, 99) < 12


TASKS = ("turn on/off the lamp", "turn on_off the lamp", "part-7-lamp", "../../lamp", "", ".",
         "x" * 400, "x" * 401, "開ける", "lamp\0\n", "lamp")


def test_a_task_may_be_any_words(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "set")
    for task in TASKS:
        writer.commit(synthetic_episode(task, 0, rows=3, size=16))
    assert writer.keys() == {(task, 0) for task in TASKS}
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
    assert {p.name for p in writer.root.iterdir()} == {lerobot.PENDING}
    with writer.lock():
        assert writer.merge() == len(TASKS)
    assert {row["task_name"] for row in Dataset(writer.root).rows} == set(TASKS)


def test_an_episode_that_an_older_version_left_pending_is_taken_in(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "set")
    writer.commit(synthetic_episode("open the drawer", 5, rows=3, size=16))
    [folder] = (p for p in writer.pending.iterdir() if p.is_dir())
    folder.rename(writer.pending / "open the drawer-00000005")
    with writer.lock():
        assert writer.merge() == 1
    assert Dataset(writer.root).episode(0).key == ("open the drawer", 5)


def test_the_files_lie_where_lerobot_looks_for_them(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write(root, [synthetic_episode(seed=s, rows=7) for s in range(3)])
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["fps"] == 10
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, 21, 1)
    at = {"chunk_index": 0, "file_index": 0}
    data = pq.read_table(root / info["data_path"].format(**at))
    stored = {k for k, f in info["features"].items() if f["dtype"] != "video"}
    assert set(data.column_names) == stored
    assert data.column("index").to_pylist() == list(range(21))
    rows = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [r["dataset_from_index"] for r in rows] == [0, 7, 14]
    for key in ("observation.images.scene", "observation.images.wrist"):
        assert (root / info["video_path"].format(video_key=key, **at)).exists()
        assert [r[f"videos/{key}/from_timestamp"] for r in rows] == [0.0, 0.7, 1.4]
    stats = json.loads((root / "meta/stats.json").read_text())
    assert np.asarray(stats["observation.images.scene"]["mean"]).shape == (3, 1, 1)
    assert len(stats["action"]["std"]) == 8


def test_statistics_are_those_of_all_rows(tmp_path: Path) -> None:
    episodes = [synthetic_episode(seed=s, rows=5 + 3 * s) for s in range(4)]
    write(tmp_path / "set", episodes)
    stats = Dataset(tmp_path / "set").stats()["action"]
    rows = np.concatenate([e.action for e in episodes]).astype(np.float64)
    assert np.allclose(stats["mean"], rows.mean(0)) and np.allclose(stats["std"], rows.std(0))
    assert np.allclose(stats["min"], rows.min(0)) and np.allclose(stats["max"], rows.max(0))


def test_a_set_grows_without_changing_what_it_holds(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write(root, [synthetic_episode(seed=0)])
    before = (root / "data/chunk-000/file-000.parquet").read_bytes()
    writer = write(root, [synthetic_episode(seed=1), synthetic_episode("open_drawer", 0)])
    assert (root / "data/chunk-000/file-000.parquet").read_bytes() == before
    assert writer.keys() == {("put_mug_on_tray", 0), ("put_mug_on_tray", 1), ("open_drawer", 0)}
    data = Dataset(root)
    assert data.instructions == ["do put mug on tray", "do open drawer"]
    assert np.array_equal(data.episode(1).state, synthetic_episode("open_drawer", 0).state)


def test_files_are_cut_before_they_grow_too_long(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(lerobot, "MAX_FRAMES_PER_FILE", 20)
    write(tmp_path / "set", [synthetic_episode(seed=s, rows=8) for s in range(5)])
    data = Dataset(tmp_path / "set")
    assert len({data.data_path(i) for i in range(5)}) == 3
    assert np.array_equal(data.episode(4).state, synthetic_episode(seed=4, rows=8).state)


def test_any_frame_is_reached_without_decoding_the_whole_file(tmp_path: Path) -> None:
    frames = synthetic_episode(rows=40).images["scene"]
    video.encode(tmp_path / "v.mp4", frames, 10)
    whole = np.stack(list(video.frames_from(tmp_path / "v.mp4", 0, 40)))
    for first in (1, 17, 38):
        part = np.stack(list(video.frames_from(tmp_path / "v.mp4", first, 2)))
        assert np.array_equal(part, whole[first : first + 2])


@pytest.mark.parametrize("content", ["file", "folder"])
def test_what_lies_in_the_folder_is_never_overwritten(tmp_path: Path, content: str) -> None:
    target = tmp_path / "mine"
    if content == "file":
        target.write_text("thesis")
    else:
        target.mkdir()
        (target / "thesis.txt").write_text("thesis")
    with pytest.raises(UserError, match="choose"):
        DatasetWriter(target)


def test_two_processes_cannot_write_one_set(tmp_path: Path) -> None:
    first, second = DatasetWriter(tmp_path / "set"), DatasetWriter(tmp_path / "set")
    with first.lock(), pytest.raises(UserError, match="Another"), second.lock():
        pass


def test_a_merge_that_dies_half_way_loses_nothing(tmp_path: Path, monkeypatch) -> None:
    root = tmp_path / "set"
    writer = DatasetWriter(root)
    for seed in range(3):
        writer.commit(synthetic_episode(seed=seed))
    write_table = DatasetWriter._write_table

    def dies(self, name, table):
        if name.startswith("meta/episodes"):
            raise OSError(errno.ENOSPC, "full")
        write_table(self, name, table)

    monkeypatch.setattr(DatasetWriter, "_write_table", dies)
    with writer.lock(), pytest.raises(UserError, match="full"):
        writer.merge()
    monkeypatch.undo()
    assert len(DatasetWriter(root).keys()) == 3
    with writer.lock():
        assert writer.merge() == 3
    assert np.array_equal(Dataset(root).episode(2).state, synthetic_episode(seed=2).state)


def test_episodes_merged_but_not_yet_removed_are_not_doubled(tmp_path: Path, monkeypatch) -> None:
    writer = DatasetWriter(tmp_path / "set")
    writer.commit(synthetic_episode(seed=0))
    monkeypatch.setattr(shutil, "rmtree", lambda *a, **k: None)
    with writer.lock():
        writer.merge()
    monkeypatch.undo()
    with writer.lock():
        assert writer.merge() == 1


@pytest.mark.parametrize("in_merge", [True, False], ids=["merging", "recovering"])
def test_a_stop_while_what_was_merged_is_removed_leaves_nothing_that_seems_damaged(
        tmp_path: Path, monkeypatch, in_merge: bool) -> None:
    def stops(path, **_more):
        (path / "episode.json").unlink()
        raise KeyboardInterrupt

    writer = DatasetWriter(tmp_path / "set")
    writer.commit(synthetic_episode(seed=0))
    if not in_merge:
        monkeypatch.setattr(DatasetWriter, "_remove", lambda *_: None)
        with writer.lock():
            writer.merge()
        monkeypatch.undo()
    monkeypatch.setattr(shutil, "rmtree", stops)
    with pytest.raises(KeyboardInterrupt), writer.lock():
        writer.merge()
    monkeypatch.undo()
    assert DatasetWriter(tmp_path / "set").keys() == {("put_mug_on_tray", 0)}
    with writer.lock():
        assert writer.merge() == 1
    assert not list((tmp_path / "set").glob("**/part-*"))


def test_a_full_disk_is_said_in_one_sentence_and_keeps_the_rest(tmp_path, monkeypatch) -> None:
    writer = DatasetWriter(tmp_path / "set")
    writer.commit(synthetic_episode(seed=0))

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(video, "encode", full)
    with pytest.raises(UserError, match="full"):
        writer.commit(synthetic_episode(seed=1))
    monkeypatch.undo()
    assert writer.keys() == {("put_mug_on_tray", 0)}
    assert not list(writer.pending.glob("part-*"))


def test_numbers_that_are_not_finite_are_never_recorded(tmp_path: Path) -> None:
    episode = synthetic_episode()
    episode.action[3, 2] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        DatasetWriter(tmp_path / "set").commit(episode)


def test_a_folder_without_a_data_set_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished data set"):
        Dataset(tmp_path)
    (tmp_path / "meta").mkdir()
    (tmp_path / layout.INFO).write_text('{"codebase_version": "v2.1"}')
    with pytest.raises(UserError, match="v2.1"):
        Dataset(tmp_path)


def test_instructions_of_an_index_without_a_name_are_read(tmp_path: Path) -> None:
    write(tmp_path, [synthetic_episode("a", 0)])
    path = tmp_path / "meta/tasks.parquet"
    table = pq.read_table(path)
    pq.write_table(table.rename_columns(
        ["__index_level_0__" if n == "task" else n for n in table.column_names]), path)
    assert Dataset(tmp_path).instructions == table["task"].to_pylist()


@pytest.mark.parametrize(("feature", "change"), [
    ("observation.images.scene", {"dtype": "image"}),
    ("observation.state", {"shape": [14]}),
    ("observation.images.scene_depth", {"info": {"depth_unit": "m"}})])
def test_features_in_another_form_are_refused(tmp_path: Path, feature: str, change: dict) -> None:
    write(tmp_path, [synthetic_episode("a", 0)])
    path = tmp_path / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"][feature] |= change
    path.write_text(json.dumps(info))
    with pytest.raises(UserError, match=feature):
        Dataset(tmp_path)


def test_a_damaged_episode_that_is_not_in_the_files_yet_is_named(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "set")
    for seed in range(2):
        writer.commit(synthetic_episode(seed=seed))
    bad = writer.pending / "put_mug_on_tray-00000001"
    for file in bad.iterdir():
        whole = file.read_bytes()
        file.write_bytes(whole[:len(whole) // 2])
        with writer.lock(), pytest.raises(UserError, match=f"{bad} .* delete that folder"):
            writer.merge()
        file.write_bytes(whole)
    shutil.rmtree(bad)
    with writer.lock():
        assert writer.merge() == 1


def test_episodes_that_an_older_version_left_to_be_merged_are_taken(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path)
    writer.commit(synthetic_episode())
    [file] = writer.pending.glob("*/episode.json")
    about = json.loads(file.read_text())
    assert about.pop("practised") is False
    file.write_text(json.dumps(about))
    with writer.lock():
        assert writer.merge() == 1
    assert not Dataset(tmp_path).episode(0).practised
