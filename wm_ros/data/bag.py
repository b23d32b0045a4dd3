# SPDX-License-Identifier: Apache-2.0
"""rosbag2 bags (mcap, metadata version 9) that survive kill -9, without ROS.

`BagWriter` keeps chunks small and hands them to the system several times a second, so that a
killed recorder loses the last moment at most; `read` takes unfinished files too; `recover` makes
a complete bag of one.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import struct
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

import yaml
from mcap.exceptions import McapError
from mcap.records import Channel, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer
from zstandard import ZstdError

from wm_ros.data.definitions import definition, type_hash
from wm_ros.errors import UserError
from wm_ros.files import write_text

CHUNK_BYTES = 64 << 10
FLUSH_SECONDS = 0.1
METADATA = "metadata.yaml"
TORN = ".torn"
_TORN = (McapError, EOFError, struct.error, ValueError, RuntimeError, KeyError, ZstdError)
"""How reading a torn or damaged file ends."""


class Raw(NamedTuple):
    """One recorded message: `data` is CDR, times in ns since 1970."""

    topic: str
    type: str
    log_time: int
    publish_time: int
    data: bytes


class Record(NamedTuple):
    """One recorded message, decoded; fields as in the message definition."""

    topic: str
    type: str
    log_time: int
    message: Any


@dataclass
class _Topic:
    channel: int
    type: str
    hash: str
    qos: list[dict[str, Any]]
    count: int = 0


class BagWriter:
    """Writes one bag folder: `<folder>/<name>_0.mcap` at once, metadata.yaml at close."""

    def __init__(self, folder: Path | str, chunk_bytes: int = CHUNK_BYTES,
                 compression: CompressionType = CompressionType.LZ4) -> None:
        """Begin a bag.

        :param chunk_bytes: small for a recording that may be killed, large for a small file
        :raises UserError: the folder exists already, or cannot be written
        """
        self.folder = Path(folder)
        if self.folder.exists():
            raise UserError(f"{folder} exists already and is not overwritten: name another.")
        try:
            self.folder.mkdir(parents=True)
            self.file = self.folder / f"{self.folder.name}_0.mcap"
            self._stream = open(self.file, "xb")  # noqa: SIM115
        except OSError as error:
            raise UserError(f"{folder} cannot be written ({error.strerror}).") from error
        _hold(self._stream)
        self._writer = Writer(self._stream, chunk_size=chunk_bytes, compression=compression)
        self._live = chunk_bytes <= CHUNK_BYTES
        self._writer.start(profile="ros2", library="wm_ros")
        self._schemas: dict[str, int] = {}
        self._topics: dict[str, _Topic] = {}
        self._start, self._end = 2**63 - 1, 0
        self._flushed = time.monotonic()
        self.closed = False

    @property
    def messages(self) -> int:
        """Messages written so far."""
        return sum(topic.count for topic in self._topics.values())

    def add_topic(
        self, name: str, type_name: str, qos: list[dict[str, Any]] | None = None,
        text: str | None = None,
    ) -> None:
        """Declare a topic before its first message.

        :param type_name: such as `sensor_msgs/msg/Image`
        :param qos: profiles offered by the publishers, in the words of rosbag2's metadata
        :param text: definition of the type (default: that of this machine)
        """
        if name in self._topics:
            return
        own = definition(type_name)
        # a hash of this machine's definition says nothing of another one
        known = type_hash(type_name) if not text or text.split() == own.split() else ""
        if type_name not in self._schemas:
            self._schemas[type_name] = self._writer.register_schema(
                type_name, "ros2msg", (text or own).encode())
        profiles = qos or []
        channel = self._writer.register_channel(
            name, "cdr", self._schemas[type_name],
            {"offered_qos_profiles": yaml.safe_dump(profiles) if profiles else "",
             "topic_type_hash": known},
        )
        self._topics[name] = _Topic(channel, type_name, known, profiles)

    def write(self, topic: str, data: bytes, log_time: int, publish_time: int = 0) -> None:
        """Append one serialized message; times in ns.

        :raises OSError: the disk is full; what was flushed before stays readable
        """
        entry = self._topics[topic]
        self._writer.add_message(entry.channel, log_time, data, publish_time or log_time,
                                 entry.count)
        entry.count += 1
        self._start, self._end = min(self._start, log_time), max(self._end, log_time)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Hand everything to the system if the last time is long enough ago."""
        if self._live and time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """End the present chunk and hand it to the system: kill -9 cannot lose it any more."""
        # The library ends a chunk only when it is full; there is no public way to end one in time.
        self._writer._Writer__finalize_chunk()  # type: ignore[attr-defined]
        self._stream.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Write the index and metadata.yaml."""
        if self.closed:
            return
        self.closed = True
        try:  # held until it says that it is complete
            self._writer.finish()
            self._stream.flush()
            start = self._start if self.messages else 0
            _write_metadata(self.folder, self.file.name, start, max(0, self._end - start), [
                {
                    "topic_metadata": {
                        "name": name,
                        "type": topic.type,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": topic.qos,
                        "type_description_hash": topic.hash,
                    },
                    "message_count": topic.count,
                }
                for name, topic in self._topics.items()
            ])
        finally:
            self._stream.close()


def read_raw(
    bag: Path | str, topics: Container[str] | None = None, damage: list[str] | None = None
) -> Iterator[Raw]:
    """Every message of a bag folder or mcap file in the order it was recorded.

    A file without its end (its recorder was killed) is read as far as it goes.

    :param damage: gets a sentence for every file that ends before its time
    :raises UserError: there is no bag
    """
    for path in _files(Path(bag)):
        schemas: dict[int, Schema] = {}
        channels: dict[int, Channel] = {}
        with open(path, "rb") as stream:
            try:
                for record in StreamReader(stream, validate_crcs=True).records:
                    if isinstance(record, Schema):
                        schemas[record.id] = record
                    elif isinstance(record, Channel):
                        channels[record.id] = record
                    elif isinstance(record, Message):
                        channel = channels[record.channel_id]
                        if topics is None or channel.topic in topics:
                            yield Raw(channel.topic, schemas[channel.schema_id].name,
                                      record.log_time, record.publish_time, record.data)
            except _TORN:  # the torn end of an unfinished file
                if damage is not None:
                    damage.append(f"{path.name} breaks off at byte {stream.tell()} of "
                                  f"{path.stat().st_size}.")


def read(bag: Path | str, topics: Container[str] | None = None) -> Iterator[Record]:
    """Every message of a bag, decoded by the definitions that the bag itself holds.

    :raises UserError: there is no bag
    """
    store = typestore(bag)
    for raw in read_raw(bag, topics):
        if raw.type not in store.fielddefs:  # the recorder has come to it meanwhile
            store = typestore(bag)
        yield Record(raw.topic, raw.type, raw.log_time, store.deserialize_cdr(raw.data, raw.type))


def typestore(bag: Path | str) -> Any:
    """A `rosbags` type store of Jazzy's types and of those that the bag defines."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in defined(*_files(Path(bag))).items():
        if name not in store.fielddefs:
            types = get_types_from_msg(text, name)
            store.register({k: v for k, v in types.items() if k not in store.fielddefs})
    return store


def topics_of(bag: Path | str) -> dict[str, tuple[str, int]]:
    """Topic -> (type, number of messages) of a bag, finished or not."""
    counts: dict[str, tuple[str, int]] = {}
    for raw in read_raw(bag):
        counts[raw.topic] = (raw.type, counts.get(raw.topic, ("", 0))[1] + 1)
    return counts


def is_finished(bag: Path | str) -> bool:
    """Whether the recorder of a bag folder came to its end."""
    return (Path(bag) / METADATA).is_file()


def is_recording(bag: Path | str) -> bool:
    """Whether a recorder still holds a file of the bag."""
    path = Path(bag)
    for file in [path] if path.is_file() else path.glob("*.mcap"):
        with open(file, "rb") as stream:
            if not _hold(stream, fcntl.LOCK_SH):
                return True
    return False


def recover(bag: Path | str) -> int:
    """Make a complete bag of one whose recorder was killed; returns its number of messages.

    Several files become one. What was there is kept beside it as `*.mcap.torn`.

    :raises UserError: there is no bag in the folder, or it is still being recorded
    """
    folder = Path(bag)
    if is_finished(folder):
        return sum(count for _, count in topics_of(folder).values())
    # what an interrupted recovery put aside is still what was recorded
    torn = {path.name.removesuffix(TORN): path for path in
            (*folder.glob("*.mcap"), *folder.glob(f"*.mcap{TORN}"))}
    if not torn:
        raise _no_bag(folder)
    torn = {name: torn[name] for name in sorted(torn, key=_order)}
    with ExitStack() as held:
        for path in torn.values():
            if not _hold(held.enter_context(open(path, "rb"))):
                raise UserError(f"{bag} is still being recorded: end its recorder first.")
        return _complete(folder, torn)


def _complete(folder: Path, torn: dict[str, Path]) -> int:
    scratch = folder / "recovered"
    shutil.rmtree(scratch, ignore_errors=True)  # of a recovery that was itself interrupted
    writer = BagWriter(scratch)
    profiles, definitions = offered(*torn.values()), defined(*torn.values())
    try:
        for raw in chain.from_iterable(map(read_raw, torn.values())):
            writer.add_topic(raw.topic, raw.type, profiles.get(raw.topic),
                             definitions.get(raw.type))
            writer.write(raw.topic, raw.data, raw.log_time, raw.publish_time)
        writer.close()
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise UserError(
            f"{folder} could not be completed ({error.strerror}): it needs room for a second "
            "copy; nothing was changed."
        ) from error
    for name in torn:
        os.replace(torn[name], folder / f"{name}{TORN}")
    first = next(iter(torn))
    os.replace(writer.file, folder / first)
    text = (scratch / METADATA).read_text().replace(writer.file.name, first)
    (scratch / METADATA).unlink()
    scratch.rmdir()
    write_text(folder / METADATA, text)
    return writer.messages


def offered(*files: Path) -> dict[str, list[dict[str, Any]]]:
    """Topic -> profiles offered by its publishers, as far as the files go."""
    return {record.topic: yaml.safe_load(record.metadata.get("offered_qos_profiles", "")) or []
            for record in _records(files) if isinstance(record, Channel)}


def defined(*files: Path) -> dict[str, str]:
    """Type -> its definition, as far as the files go."""
    return {record.name: record.data.decode()
            for record in _records(files) if isinstance(record, Schema)}


def _records(files: Iterable[Path]) -> Iterator[McapRecord]:
    for path in files:
        with open(path, "rb") as stream:
            try:
                yield from StreamReader(stream).records
            except _TORN:
                continue


def mcap_files(folder: Path) -> list[Path]:
    """The mcap files of a folder in the order of recording: bag_2 comes before bag_10."""
    return sorted(folder.glob("*.mcap"), key=lambda path: _order(path.name))


def _order(name: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _hold(stream: IO[bytes], kind: int = fcntl.LOCK_EX) -> bool:
    """Hold a file until it is closed; False where another process holds it.

    :param kind: LOCK_SH where others may hold it in the same way
    """
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks: recording goes on without
    return True


def _files(bag: Path) -> list[Path]:
    if bag.is_file():
        return [bag]
    files = mcap_files(bag)
    if not files:
        raise _no_bag(bag)
    return files


def _no_bag(bag: Path) -> UserError:
    return UserError(f"{bag} holds no mcap bag: give the folder that `wm record` wrote.")


def _write_metadata(
    folder: Path, file: str, start: int, duration: int, topics: list[dict[str, Any]]
) -> None:
    count = sum(topic["message_count"] for topic in topics)
    times = {"duration": {"nanoseconds": duration},
             "starting_time": {"nanoseconds_since_epoch": start}}
    content = {
        "rosbag2_bagfile_information": {
            "version": 9,
            "storage_identifier": "mcap",
            **times,
            "message_count": count,
            "topics_with_message_count": topics,
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [file],
            "files": [{"path": file, **times, "message_count": count}],
            "custom_data": None,
            "ros_distro": os.environ.get("ROS_DISTRO", "jazzy"),
        }
    }
    write_text(folder / METADATA, yaml.dump(content, Dumper=_NoAliases, sort_keys=False))


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

