# SPDX-License-Identifier: Apache-2.0
"""The training cache holds exactly what the data set holds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from synthetic import synthetic_episode  # noqa: E402

from wm_ros.data import cache as caches  # noqa: E402
from wm_ros.data.cache import build_cache, fingerprint, load_cache  # noqa: E402
from wm_ros.data.lerobot import Dataset, DatasetWriter  # noqa: E402
from wm_ros.errors import UserError  # noqa: E402
from wm_ros.files import remove_left  # noqa: E402


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> list[Path]:
    root = tmp_path_factory.mktemp("sets")
    for name, tasks in (("a", ("put_mug_on_tray", "open_drawer")), ("b", ("press_button",))):
        writer = DatasetWriter(root / name)
        for task in tasks:
            for seed in range(3):
                writer.commit(synthetic_episode(task, seed, rows=6 + 2 * seed, success=seed != 1,
                                                deliberate_failure=seed == 2,
                                                practised=seed == 1))
        with writer.lock():
            writer.merge()
    return [root / "a", root / "b"]


def test_what_a_killed_decoding_left_behind_is_removed(sets, tmp_path: Path) -> None:
    dead, own, alive = (tmp_path / f".c.part-{pid}"
                        for pid in (2**22 + 1, os.getpid(), os.getppid()))
    for folder in (dead, own, alive):  # a number comes again, in a container at once
        folder.mkdir()
        (folder / "scene.npy").write_bytes(b"half")
    build_cache(sets[1], tmp_path / "c")
    assert not dead.exists() and not own.exists() and alive.exists()
    latents = [tmp_path / f"latents-a.{pid}.partial" for pid in (2**22 + 1, os.getppid())]
    for file in (*latents, tmp_path / "latents-a.npy"):
        file.write_bytes(b"half")
    remove_left(tmp_path, "latents-a.{}.partial")
    assert [f.exists() for f in latents] == [False, True] and (tmp_path / "latents-a.npy").exists()


def test_a_set_that_is_named_twice_gets_one_sentence(sets, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="named twice"):
        build_cache([*sets, sets[0].parent / "." / sets[0].name], tmp_path / "c")


def test_cameras_of_different_sizes_get_one_sentence(sets, tmp_path: Path) -> None:
    shutil.copytree(sets[1], tmp_path / "s")
    file = tmp_path / "s" / "meta" / "info.json"
    info = json.loads(file.read_text())
    info["features"]["observation.images.wrist"]["shape"][:2] = [128, 128]
    file.write_text(json.dumps(info))
    with pytest.raises(UserError, match="different sizes"):
        Dataset(tmp_path / "s")


@pytest.mark.parametrize("workers", [1, 2])
def test_the_cache_equals_the_data_sets(sets, tmp_path: Path, workers: int, monkeypatch) -> None:
    monkeypatch.setattr(caches, "_STEP", 10)  # several jobs for each video
    seen: list[tuple[int, int]] = []
    cache = build_cache(sets, tmp_path / "c", depth=True, workers=workers,
                        progress=lambda a, b: seen.append((a, b)))
    assert seen[-1] == (3 * len(cache), 3 * len(cache))
    assert isinstance(cache.scene, np.memmap)
    row = 0
    for source in sets:
        data = Dataset(source)
        for index in range(len(data)):
            episode = data.episode(index)
            rows = slice(row, row + len(episode))
            for camera in ("scene", "wrist"):
                assert np.array_equal(getattr(cache, camera)[rows], episode.images[camera])
            for name in ("depth", "state", "action", "executed", "wrench", "camera", "progress"):
                assert np.array_equal(getattr(cache, name)[rows], getattr(episode, name)), name
            assert {cache.tasks[t] for t in cache.task[rows]} == {episode.task}
            assert {cache.instructions[i] for i in cache.instruction[rows]} == {
                episode.instruction}
            assert (cache.success[rows] == episode.success).all()
            assert (cache.failure[rows] == episode.deliberate_failure).all()
            assert (cache.episode_practised[cache.episode_index[rows]] == episode.practised).all()
            assert np.array_equal(cache.frame_index[rows], np.arange(len(episode)))
            row += len(episode)
    assert row == len(cache) and cache.episodes == 9


def die(part: Path, job: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def hears_ctrl_c(part: Path, job: int) -> int:
    return int(signal.getsignal(signal.SIGINT) != signal.SIG_IGN)


def test_who_decodes_leaves_ctrl_c_to_its_parent_and_may_be_killed(tmp_path: Path,
                                                                   monkeypatch) -> None:
    jobs: list = [0] * 4
    monkeypatch.setattr(caches, "_decode", hears_ctrl_c)
    assert list(caches._run(tmp_path, jobs, 2)) == [0] * 4
    monkeypatch.setattr(caches, "_decode", die)
    with pytest.raises(UserError, match="ended from outside"):
        list(caches._run(tmp_path, jobs, 2))


def test_chunks_stay_inside_their_episode(sets, tmp_path: Path) -> None:
    cache = build_cache(sets, tmp_path / "c", workers=1)
    rows = np.arange(len(cache))
    chunks = cache.chunks(rows, horizon=16)
    padded = cache.is_padded(rows, np.arange(16))
    assert chunks.shape == (len(cache), 16, 8)
    for row in rows:
        end = cache.episode_start[cache.episode_index[row] + 1]
        inside = min(16, end - row)
        assert np.array_equal(chunks[row, :inside], cache.action[row : row + inside])
        assert (chunks[row, inside:] == cache.action[end - 1]).all()
        assert padded[row].sum() == 16 - inside
    ahead = cache.future(rows, 5)
    assert (cache.episode_index[ahead] == cache.episode_index).all()


def test_a_cache_is_built_once_and_again_when_the_data_changed(sets, tmp_path: Path) -> None:
    first = build_cache(sets[:1], tmp_path / "c", workers=1)
    stamp = (first.folder / "meta.json").stat().st_mtime_ns
    build_cache(sets[:1], tmp_path / "c", workers=1)
    assert (first.folder / "meta.json").stat().st_mtime_ns == stamp
    assert len(build_cache(sets, tmp_path / "c", workers=1)) > len(first)
    # an episode that somebody says is not to be imitated
    [rows] = (sets[0] / "meta/episodes").glob("**/*.parquet")
    table = pq.read_table(rows)
    marked = pa.array([True] * len(table))
    at = table.column_names.index("deliberate_failure")
    shutil.copytree(sets[0], tmp_path / "marked")
    pq.write_table(table.set_column(at, "deliberate_failure", marked),
                   tmp_path / "marked" / rows.relative_to(sets[0]))
    assert fingerprint([tmp_path / "marked"]) != fingerprint([sets[0]])


def test_a_folder_of_something_else_is_left_alone(sets, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("thesis")
    with pytest.raises(UserError, match="no training cache"):
        build_cache(sets, tmp_path, workers=1)
    with pytest.raises(UserError, match="no usable training cache"):
        load_cache(tmp_path)
    (tmp_path / "meta.json").write_text('{"title": "thesis"}')
    with pytest.raises(UserError, match="no training cache"):
        build_cache(sets, tmp_path, workers=1)
    assert (tmp_path / "thesis.txt").exists()


def test_episodes_that_another_recorder_told_less_of_are_read(sets, tmp_path: Path) -> None:
    root = tmp_path / "set"
    shutil.copytree(sets[1], root)
    [file] = (root / "meta/episodes").glob("*/*.parquet")
    ours = ["task_name", "room", "seed", "success", "perturbed", "deliberate_failure", "practised",
            "image_height", "image_width"]
    pq.write_table(pq.read_table(file).drop_columns(ours), file)
    data = Dataset(root)
    assert [row["seed"] for row in data.rows] == [0, 1, 2]
    assert data.episode(1).success and data.episode(1).task == data.episode(1).instruction
    assert build_cache([root], tmp_path / "c", workers=1).episodes == 3
    for change, said in (({"fps": 30}, "30 rows a second"), ({"features": {}}, "has no action")):
        info = json.loads((root / "meta/info.json").read_text()) | change
        (root / "meta/info.json").write_text(json.dumps(info))
        with pytest.raises(UserError, match=said):
            Dataset(root)


def test_robots_are_not_mixed(sets, tmp_path: Path) -> None:
    shutil.copytree(sets[1], tmp_path / "s")
    file = tmp_path / "s" / "meta" / "info.json"
    info = json.loads(file.read_text())
    file.write_text(json.dumps({**info, "robot_type": "fr3"}))
    with pytest.raises(UserError, match="several robots .fr3, panda"):
        build_cache([sets[0], tmp_path / "s"], tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("name", "left"), [
    *((f"{kind}/**/*.*", left) for kind in ("videos", "data") for left in (None, 0.0, 0.6)),
    ("meta/episodes/**/*.parquet", 0.6), ("meta/tasks.parquet", 0.6)])
def test_a_data_set_that_was_copied_in_part_gets_one_sentence(
        sets, tmp_path: Path, workers: int, name: str, left: float | None) -> None:
    shutil.copytree(sets[1], tmp_path / "s")
    file = next(path for path in (tmp_path / "s").glob(name) if path.is_file())
    content = file.read_bytes()
    file.unlink()
    if left is not None:
        file.write_bytes(content[:int(left * len(content))])
    for read in (lambda: build_cache(tmp_path / "s", tmp_path / "c", workers=workers),
                 lambda: Dataset(tmp_path / "s").episode(2)):
        with pytest.raises(UserError, match=f"{file} of the data set is missing or damaged"):
            read()
