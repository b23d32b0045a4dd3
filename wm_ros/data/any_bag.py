# SPDX-License-Identifier: Apache-2.0
"""Bags of any rosbag2: mcap and sqlite3, split, compressed, and mcap files without their end.

Plain mcap is read by this package itself, as far as an unfinished file goes; everything else by
the `rosbags` library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import yaml

from wm_ros.data.bag import METADATA, Raw, defined, is_finished, mcap_files, offered, read_raw
from wm_ros.errors import UserError


class AnyBag:
    """One recording, by its folder or by one of its files.

    :param path: folder with metadata.yaml, folder with storage files alone, or a storage file
    :raises UserError: there is no bag, or it cannot be read
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise UserError(f"{path} does not exist: give the folder of a bag, such as the one "
                            "that `wm record` or `ros2 bag record` wrote.")
        self.damage: list[str] = []  # what could not be read, one sentence each; see `messages`
        self._about = _metadata(self.path)
        self._plain = self._is_plain()

    @property
    def name(self) -> str:
        """What people call it."""
        return self.path.stem if self.path.is_file() else self.path.resolve().name

    @property
    def finished(self) -> bool:
        """Whether its recorder came to its end, as far as the files tell."""
        return self.path.is_file() or is_finished(self.path)

    def messages(self, topics: Container[str] | None = None) -> Iterator[Raw]:
        """Every message in the order of recording; fills ``damage`` with what cannot be read."""
        self.damage = []
        if self._plain:
            yield from read_raw(self.path, topics, self.damage)
            if not self.finished and not self.damage:
                self.damage.append(f"{self.name} was not completed by its recorder.")
        else:
            yield from self._foreign(topics)

    def topics(self) -> dict[str, tuple[str, int]]:
        """Topic -> (type, number of messages); reads the whole bag."""
        return survey(self, ())[0]

    def profiles(self) -> dict[str, list[dict[str, Any]]]:
        """Topic -> profiles offered by its publishers, in the words of rosbag2's metadata."""
        if self._plain:
            return offered(*self._files())
        result = {}
        for entry in self._about.get("topics_with_message_count", []):
            about = entry["topic_metadata"]
            given = about.get("offered_qos_profiles") or []
            listed = yaml.safe_load(given) if isinstance(given, str) else given
            result[about["name"]] = [_in_words(profile) for profile in listed or []]
        return result

    def definitions(self) -> dict[str, str]:
        """Type -> its definition, as far as the bag itself holds it."""
        return defined(*self._files()) if self._plain else {}

    def _files(self) -> list[Path]:
        return [self.path] if self.path.is_file() else mcap_files(self.path)

    def _is_plain(self) -> bool:
        if self._about.get("compression_mode", "").lower() in ("file", "message"):
            return False
        if self.path.is_file():
            return self.path.suffix == ".mcap"
        return bool(mcap_files(self.path))

    def _foreign(self, topics: Container[str] | None) -> Iterator[Raw]:
        from rosbags.rosbag2 import Reader, ReaderError

        path = self.path
        if path.is_dir() and not is_finished(path):
            [path] = self._only_database()
        try:
            with Reader(path) as reader:
                wanted = [c for c in reader.connections if topics is None or c.topic in topics]
                if not wanted:
                    return
                read, told = 0, sum(c.msgcount for c in wanted)
                for connection, time, data in reader.messages(wanted):
                    read += 1
                    yield Raw(connection.topic, connection.msgtype, time, time, bytes(data))
                if read < told:
                    self.damage.append(f"{self.name} holds {read} of the {told} messages that "
                                       "its metadata tells of.")
        except (ReaderError, FileNotFoundError) as error:
            raise UserError(f"{self.path} cannot be read as a bag of rosbag2 ({error}): give the "
                            "folder that `wm record` or `ros2 bag record` wrote.") from error
        except OSError:
            raise
        except Exception as error:  # each storage and compression has its own
            self.damage.append(f"{self.name} is damaged from some place on: {error}.")

    def _only_database(self) -> list[Path]:
        files = sorted(self.path.glob("*.db3"))
        if len(files) != 1:
            raise UserError(f"{self.path} holds no bag: give the folder that `wm record` or "
                            "`ros2 bag record` wrote.")
        return files


# before version 9 of the metadata, policies were numbers of the middleware's enumerations
_POLICIES = {
    "history": {0: "system_default", 1: "keep_last", 2: "keep_all", 3: "unknown"},
    "reliability": {0: "system_default", 1: "reliable", 2: "best_effort", 3: "unknown"},
    "durability": {0: "system_default", 1: "transient_local", 2: "volatile", 3: "unknown"},
    "liveliness": {0: "system_default", 1: "automatic", 3: "manual_by_topic", 4: "unknown"},
}


def _in_words(profile: dict[str, Any]) -> dict[str, Any]:
    return {key: _POLICIES[key].get(value, "unknown")
            if key in _POLICIES and isinstance(value, int) else value
            for key, value in profile.items()}


class Fingerprint:
    """Checksum of a recording's content, the same wherever and however it is stored."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, raw: Raw) -> None:
        """Take in one message."""
        self._digest.update(f"{raw.topic} {raw.type} {raw.log_time} ".encode())
        self._digest.update(raw.data)

    def __str__(self) -> str:
        return self._digest.hexdigest()[:16]


def survey(bag: AnyBag, mapped: Container[str]) -> tuple[dict[str, tuple[str, int]], str]:
    """Topic -> (type, messages) of a bag, and the fingerprint of the topics in `mapped`."""
    counts: dict[str, tuple[str, int]] = {}
    mark = Fingerprint()
    for raw in bag.messages():
        counts[raw.topic] = (raw.type, counts.get(raw.topic, ("", 0))[1] + 1)
        if raw.topic in mapped:
            mark.add(raw)
    return counts, str(mark)


def _metadata(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load((path / METADATA).read_text())
        return dict(content["rosbag2_bagfile_information"])
    except OSError:
        return {}
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        advice = (f"complete the bag with `wm record --recover {path}`" if mcap_files(path) else
                  f"write it anew with `ros2 bag reindex {path}`")
        raise UserError(f"{path / METADATA} is damaged: delete it, then {advice}.") from error
