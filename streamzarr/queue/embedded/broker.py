"""`EmbeddedBroker`: topics, offsets and groups in one SQLite file."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from streamzarr.errors import ConfigError, QueueError, TopicNotFoundError
from streamzarr.queue.atomic import AtomicWriter
from streamzarr.queue.base import (
    Broker,
    Consumer,
    GroupInfo,
    Producer,
    Reader,
    RebalanceListener,
    TopicIdentity,
    TopicInfo,
    TopicPartition,
)
from streamzarr.queue.embedded import group as groups_
from streamzarr.queue.embedded import log, presence
from streamzarr.queue.embedded.atomic import EmbeddedAtomicWriter
from streamzarr.queue.embedded.consumer import EmbeddedConsumer, EmbeddedReader
from streamzarr.queue.embedded.database import Database
from streamzarr.queue.embedded.producer import EmbeddedProducer
from streamzarr.queue.embedded.shrink import shrink
from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM, Runtime

MAX_RECORD_BYTES: Final = 16 << 20
BUSY_TIMEOUT: Final = 30.0
MAX_PARTITIONS: Final = 10_000

_Number = TypeVar("_Number", int, float)

_TOPIC_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")  # Kafka's rule


class EmbeddedBroker(Broker):
    """A durable log for the processes of one machine, with Kafka's semantics.

    Thread-safe. Holds one connection, opened when first used; what it makes has connections of its own.
    Calls that write wait for other writers at most ``busy_timeout`` seconds.

    Parameters
    ----------
    url
        ``sqlite:///relative.db`` or ``sqlite:////absolute.db``, with options:
        ``max_record_bytes`` (default 16 MiB) and ``busy_timeout`` in seconds (default 30).

    runtime
        Clocks, threads and ids. Processes that share a file must share the clock: their heartbeats tell it.

    Raises
    ------
    streamzarr.errors.ConfigError
        The URL or the file cannot be used.
    streamzarr.errors.QueueError
        By every method, when the file is locked for too long, damaged, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> from streamzarr.queue import NewRecord, open_broker
    >>> with tempfile.TemporaryDirectory() as folder, open_broker(f"sqlite:///{folder}/queue.db") as broker:
    ...     broker.create_topic("ticks", partitions=2)
    ...     with broker.producer() as producer:
    ...         producer.send("ticks", [NewRecord(b"1.0842", key=b"EURUSD")])
    ...     with broker.consumer(["ticks"], group="bars") as consumer:
    ...         [record] = consumer.poll(max_records=10, timeout=5.0)
    >>> record.key, record.value, record.offset
    (b'EURUSD', b'1.0842', 0)
    """

    def __init__(self, url: str, runtime: Runtime = SYSTEM) -> None:
        self.runtime = runtime
        self._path, options = _parse(url)
        self._max_record_bytes = _number(url, options, "max_record_bytes", int, MAX_RECORD_BYTES)
        self._busy_timeout = _number(url, options, "busy_timeout", float, BUSY_TIMEOUT)
        if options:
            raise ConfigError(
                f"{redacted(url)}: unknown option {min(options)!r}, expected max_record_bytes or busy_timeout"
            )
        self._database = self._open()
        self._database.version()  # a wrong path or file should be told now

    def __reduce__(self) -> tuple[Callable[[str], EmbeddedBroker], tuple[str]]:
        return EmbeddedBroker, (self.url,)

    def _open(self) -> Database:
        return Database(self._path, self._busy_timeout, self.runtime)

    @property
    def url(self) -> str:  # noqa: D102
        options: dict[str, int | float] = {}
        if self._max_record_bytes != MAX_RECORD_BYTES:
            options["max_record_bytes"] = self._max_record_bytes
        if self._busy_timeout != BUSY_TIMEOUT:
            options["busy_timeout"] = self._busy_timeout
        return f"sqlite:///{quote(self._path)}" + (f"?{urlencode(options)}" if options else "")

    # ------------------------------------------------------------ topics

    def create_topic(self, name: str, partitions: int = 1, *, exist_ok: bool = False) -> None:  # noqa: D102
        if not _TOPIC_NAME.fullmatch(name) or name in (".", ".."):
            raise ConfigError(f"topic {name!r}: expected 1 to 249 letters, digits, '.', '_' or '-'")
        if not 1 <= partitions <= MAX_PARTITIONS:
            raise ConfigError(f"topic {name!r}: {partitions} partitions, expected 1 to {MAX_PARTITIONS}")
        with self._database.write() as db:
            existing = len(log.partitions_of(db, name))
            if not existing:
                log.create_topic(db, name, partitions)
                groups_.replan_all(db)
        if existing and not (exist_ok and existing == partitions):
            raise QueueError(f"{self}: topic {name!r} exists already, with {existing} partitions")
        presence.ring(self._database.live)

    def delete_topic(self, name: str) -> None:  # noqa: D102
        with self._database.write() as db:
            if not log.partitions_of(db, name):
                raise self._no_topic(name)
            log.delete_topic(db, name)
            groups_.replan_all(db)
        presence.ring(self._database.live)
        shrink(self._database)

    def topics(self) -> list[str]:  # noqa: D102
        with self._database.read() as db:
            return log.topic_names(db)

    def describe(self, topic: str) -> TopicInfo:  # noqa: D102
        partitions = self._partitions(topic)
        return TopicInfo(
            topic,
            begin={number: state.first for number, state in partitions.items()},
            end={number: state.next for number, state in partitions.items()},
        )

    def identify(self, topic: str) -> TopicIdentity:  # noqa: D102
        with self._database.write() as db:
            file, number = log.file_id(db, self.runtime.random_bytes(16).hex()), log.topic_id(db, topic)
        if number is None:
            raise self._no_topic(topic)
        return TopicIdentity(file, str(number))

    def offsets_at(self, topic: str, timestamp: int) -> dict[int, int]:  # noqa: D102
        partitions = self._partitions(topic)
        with self._database.read() as db:
            return {
                number: log.offset_at(
                    db, log.Place(state.id, TopicPartition(topic, number), str(self)), state, timestamp
                )
                for number, state in partitions.items()
            }

    def trim(self, topic: str, before: Mapping[int, int]) -> None:  # noqa: D102
        with self._database.write() as db:
            partitions = log.partitions_of(db, topic)
            if not partitions:
                raise self._no_topic(topic)
            for number, offset in before.items():
                state = partitions.get(number)
                if state is None:
                    raise QueueError(
                        f"{self}: topic {topic!r} has {len(partitions)} partitions, got {number}"
                    )
                if not 0 <= offset <= state.next:
                    raise QueueError(
                        f"{self}: {topic}[{number}] ends at {state.next}, cannot be cut at {offset}"
                    )
                if offset > state.first:
                    log.trim(db, state, offset)
        shrink(self._database)

    def _partitions(self, topic: str) -> dict[int, log.PartitionState]:
        with self._database.read() as db:
            partitions = log.partitions_of(db, topic)
        if not partitions:
            raise self._no_topic(topic)
        return partitions

    def _no_topic(self, name: str) -> TopicNotFoundError:
        return TopicNotFoundError(f"{self}: no topic {name!r}")

    # ------------------------------------------------------------ groups

    def groups(self, name: str | None = None) -> list[GroupInfo]:  # noqa: D102
        with self._database.read() as db:
            found = []
            for id_, each in db.execute("SELECT id, name FROM groups ORDER BY name").fetchall():
                if name in (None, each):
                    found.append(GroupInfo(each, len(self._alive(db, id_)), groups_.committed(db, each)))
            return found

    def members(self, group: str) -> int:  # noqa: D102
        with self._database.read() as db:
            id_ = groups_.id_of(db, group)
            return 0 if id_ is None else len(self._alive(db, id_))

    def assignment(self, group: str, topic: str) -> dict[str, list[int]]:  # noqa: D102
        with self._database.read() as db:
            id_ = groups_.id_of(db, group)
            if id_ is None:
                return {}
            owned: dict[str, list[int]] = {member: [] for member in self._alive(db, id_)}
            for number, owner in groups_.owners(db, id_, topic).items():
                if owner in owned:
                    owned[owner].append(number)
        return owned

    def _alive(self, db: sqlite3.Connection, group_id: int) -> list[str]:
        members = groups_.members(db, group_id)
        live, now = self._database.live, self.runtime.now()
        return [id_ for id_, session in members.items() if presence.is_alive(live, id_, session, now)]

    def committed(self, group: str, topic: str) -> dict[int, int]:  # noqa: D102
        with self._database.read() as db:
            positions = groups_.committed(db, group)
        return {where.partition: offset for where, offset in positions.items() if where.topic == topic}

    # ------------------------------------------------------------ reading and writing

    def producer(self) -> Producer:  # noqa: D102
        return EmbeddedProducer(str(self), self._open(), self._max_record_bytes)

    def atomic_writer(self, name: str) -> AtomicWriter:  # noqa: D102
        return EmbeddedAtomicWriter(str(self), self._open(), self._max_record_bytes, name)

    def consumer(  # noqa: D102
        self,
        topics: Sequence[str],
        group: str,
        *,
        listener: RebalanceListener | None = None,
        session_timeout: float = 10.0,
        max_poll_interval: float = 300.0,
        prefetch_bytes: int | None = None,
        instance: str | None = None,
    ) -> Consumer:
        if session_timeout <= 0 or max_poll_interval <= 0:
            raise ConfigError(
                f"consumer(session_timeout={session_timeout}, max_poll_interval={max_poll_interval}): "
                "expected seconds above 0"
            )
        return EmbeddedConsumer(
            str(self), self._open(), topics, group, listener, session_timeout, max_poll_interval
        )

    def reader(  # noqa: D102
        self, topic: str, start: Mapping[int, int] | None = None, *, prefetch_bytes: int | None = None
    ) -> Reader:
        return EmbeddedReader(str(self), self._open(), topic, start or {})

    def close(self) -> None:  # noqa: D102
        self._database.close()


def _parse(url: str) -> tuple[str, dict[str, str]]:
    """Return the absolute path and the options of a ``sqlite:`` URL."""
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "sqlite" or parts.netloc or parts.fragment or not path or path == ":memory:":
        raise ConfigError(
            f"{redacted(url)!r}: expected sqlite:///relative.db or sqlite:////absolute.db, a file to share"
        )
    if Path(path).is_dir():
        raise ConfigError(f"{redacted(url)!r}: {path} is a directory, expected a file")
    # Absolute, so that another process that opens the URL finds the same file from wherever it runs.
    # Resolved, because a symbolic link to the file has no bells beside it.
    return str(Path(path).resolve()), dict(parse_qsl(parts.query, keep_blank_values=True))


def _number(url: str, options: dict[str, str], name: str, kind: type[_Number], default: _Number) -> _Number:
    """Take an option that is a number above 0 out of `options`."""
    text = options.pop(name, None)
    if text is None:
        return default
    try:
        value = kind(text)
    except ValueError:
        value = kind(0)
    if not value > 0:
        raise ConfigError(f"{redacted(url)}: {name}={text!r}, expected a number above 0")
    return value
