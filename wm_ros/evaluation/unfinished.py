# SPDX-License-Identifier: Apache-2.0
"""What is known of an evaluation that is not over, so that the same command goes on."""
from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wm_ros.evaluation import keeping
from wm_ros.evaluation.closed_loop import Outcome


class Unfinished:
    """Outcomes by task and seed, and the films of some.

    :param out: folder of the report; the outcomes lie in one of their own until it is written
    :param mark: changes with the checkpoint and with what is asked of it
    :param version: of the code
    """

    def __init__(self, out: Path, mark: str, version: str):
        self.out, self.folder, self.version = out, out / "unfinished" / mark, version
        self.films: list[Path] = []

    def find(self, task: str, seed: int, film: bool) -> Outcome | None:
        """An outcome that is kept; None where there is none, or not the film that is wanted."""
        path = self._path(task, seed)
        if not keeping.is_current(path, self.version):
            return None
        kept = json.loads(path.read_text())
        if film:
            if not kept["film"] or not (self.out / kept["film"]).is_file():
                return None
            self.films.append(self.out / kept["film"])
        return Outcome(**kept["outcome"])

    def keep(self, outcome: Outcome, model: Any) -> None:
        """Write an outcome, and its film; a refusal is asked for again."""
        film = save_film(outcome, self.out) if outcome.frames else None
        if film is not None:
            self.films.append(film)
        if not outcome.refused:
            keeping.write(self._path(outcome.task, outcome.seed), {
                "outcome": {k: v for k, v in asdict(outcome).items() if k != "frames"},
                "film": "" if film is None else film.name}, self.version, model)

    def told(self, episodes: list[tuple[str, int]]) -> str:
        """What becomes of the outcomes that are kept, in one line; may be empty."""
        return keeping.told([self._path(*episode) for episode in episodes], self.version)

    def clear(self) -> None:
        """The report is written: the next command starts anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # another command's outcomes may be there, or nothing at all
            self.folder.parent.rmdir()

    def _path(self, task: str, seed: int) -> Path:
        return self.folder / f"{task}-{seed}.json"


def save_film(outcome: Outcome, folder: Path) -> Path:
    """An animated GIF of scene and wrist camera; returns its file."""
    from PIL import Image

    word = "success" if outcome.success else "failure"
    images = [Image.fromarray(f).resize((384, 192)) for f in outcome.frames]
    path = folder / f"{outcome.task}-{outcome.seed}-{word}.gif"
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, loop=0)
    return path
