"""Which letters of a topic are open, told in bounded memory.

The topic is read once; of each record only a digest of its origin is kept, in a temporary database that
SQLite moves to disk when it grows. The letters themselves are read again when they are wanted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from hashlib import blake2b
from itertools import islice
from typing import Final

from streamzarr.errors import ConfigError
from streamzarr.queue.base import Broker, Record
from streamzarr.queue.deadletter import Entry, LetterId, dead_letter_topic
from streamzarr.queue.letters.marker import closes, entry_of, is_foreign
from streamzarr.queue.letters.purged import is_notice
from streamzarr.queue.scan import scan_kept

_CACHE_KBYTES: Final = 16 << 10
"""Of the index in memory; the rest of it is in a file without a name."""
_BATCH: Final = 1000

_SCHEMA: Final = f"""
PRAGMA cache_size = -{_CACHE_KBYTES};
PRAGMA journal_mode = OFF;
CREATE TABLE letters (partition INTEGER, offset INTEGER, origin BLOB, PRIMARY KEY (partition, offset))
    WITHOUT ROWID;
CREATE TABLE closed (partition INTEGER, offset INTEGER, PRIMARY KEY (partition, offset)) WITHOUT ROWID;
"""
# `max` of one column makes SQLite take the others from the same row: the newest letter about each message.
_DERIVE: Final = """
CREATE TABLE over AS SELECT DISTINCT origin FROM letters JOIN closed USING (partition, offset);
CREATE INDEX over_origin ON over (origin);
CREATE TABLE open (partition INTEGER, offset INTEGER, PRIMARY KEY (partition, offset)) WITHOUT ROWID;
INSERT INTO open SELECT partition, offset FROM (
    SELECT partition, offset, max((partition << 48) + offset) FROM letters
    WHERE origin NOT IN (SELECT origin FROM over) GROUP BY origin
);
"""


class LetterIndex:
    """The places of the open letters among records. Owned by one thread; close it.

    Examples
    --------
    >>> from streamzarr.queue import DeadLetter, Record
    >>> failed = Record("t", 0, 7, None, b"x", (), 0)
    >>> letter = DeadLetter.of(failed, error=ValueError(), stage="s").to_record()
    >>> record = Record("t.dead", 0, 0, letter.key, letter.value, letter.headers, 0)
    >>> with closing(LetterIndex([record])) as index:
    ...     list(index.ids()), (0, 0) in index
    ([LetterId(partition=0, offset=0)], True)
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._foreign: tuple[int, Record] | None = None
        rest = map(self._seen, records)
        # Rows, not records, wait for each other: those may be large.
        while rows := [_row(record) for record in islice(rest, _BATCH)]:
            closed, letters = ([row for row in rows if len(row) == width] for width in (2, 3))
            self._db.executemany("INSERT OR IGNORE INTO closed VALUES (?, ?)", closed)
            self._db.executemany("INSERT OR IGNORE INTO letters VALUES (?, ?, ?)", letters)
        self._db.executescript(_DERIVE)

    def __contains__(self, id_: tuple[int, int]) -> bool:
        """Tell whether the letter at this place is open."""
        return (
            self._db.execute("SELECT 1 FROM open WHERE (partition, offset) = (?, ?)", id_).fetchone()
            is not None
        )

    def require_letters(self) -> None:
        """Return if nothing else than letters, and what is written about them, was among the records.

        Raises
        ------
        streamzarr.errors.ConfigError
            The topic may be one of messages that are alive: one slip in its name, and all of them are gone.
        """
        if self._foreign is None:
            return
        count, first = self._foreign
        letters = dead_letter_topic(first.topic)
        named = (
            "" if first.topic.endswith(dead_letter_topic("")) else f"name {letters!r} if you mean that, or "
        )
        what = (
            "1 record that is no dead letter" if count == 1 else f"{count} records that are no dead letters"
        )
        raise ConfigError(
            f"topic {first.topic!r} has {what}, the first one at partition {first.partition}, offset "
            f"{first.offset}; {named}say that you want it all the same: --any-record "
            "(any_record=True)"
        )

    def _seen(self, record: Record) -> Record:
        if is_foreign(record):
            self._foreign = (1, record) if self._foreign is None else (self._foreign[0] + 1, self._foreign[1])
        return record

    def close_letters(self, ids: Iterable[tuple[int, int]]) -> None:
        """Note that the letters at these places are open no more."""
        self._db.executemany("DELETE FROM open WHERE (partition, offset) = (?, ?)", ids)

    def ids(self, partition: int | None = None) -> Iterator[LetterId]:
        """Yield the places of the open letters, of one partition or of all, in their order."""
        rows = self._db.execute(
            "SELECT partition, offset FROM open WHERE ? IS NULL OR partition = ? ORDER BY partition, offset",
            (partition, partition),
        )
        return (LetterId(*row) for row in rows)

    def spans(self) -> dict[int, range]:
        """Return the offsets from the first to the last open letter of each partition that has one."""
        rows = self._db.execute("SELECT partition, min(offset), max(offset) FROM open GROUP BY partition")
        return {partition: range(first, last + 1) for partition, first, last in rows}

    def closed_by_others(self) -> Iterator[LetterId]:
        """Yield the letters that are not open only because another one about their message was closed."""
        rows = self._db.execute(
            "SELECT partition, offset FROM letters WHERE origin IN (SELECT origin FROM over) "
            "EXCEPT SELECT partition, offset FROM closed"
        )
        return (LetterId(*row) for row in rows)

    def close(self) -> None:
        """Forget all."""
        self._db.close()


def _row(record: Record) -> tuple[()] | tuple[int, int] | tuple[int, int, bytes]:
    """Return the place that a marker closes, or that of a letter with a digest of its origin, or nothing."""
    if (closed := closes(record)) is not None:
        return closed
    if is_notice(record):
        return ()
    origin = repr(entry_of(record)[1].origin).encode("utf-8", "backslashreplace")
    return record.partition, record.offset, blake2b(origin, digest_size=16).digest()


def open_letters(records: Iterable[Record]) -> list[Entry]:
    """Return the letters among all records of a dead-letter topic that were not replayed or dropped.

    For few records that are at hand; :meth:`streamzarr.queue.DeadLetterQueue.ls` reads a topic.
    """
    records = list(records)
    with closing(LetterIndex(records)) as index:
        entries = [entry_of(record) for record in records if (record.partition, record.offset) in index]
    return sorted(entries, key=lambda entry: entry[0])


def read_letters(broker: Broker, topic: str, index: LetterIndex, end: Mapping[int, int]) -> Iterator[Entry]:
    """Yield the open letters of a topic, partition by partition; none but the one yielded is in memory.

    Parameters
    ----------
    end
        Where each partition ended when the index was made.
    """
    for partition, span in index.spans().items():
        ids = index.ids(partition)
        wanted: LetterId | None = next(ids)
        start = {**end, partition: span.start}
        for record in scan_kept(broker, topic, start, {**end, partition: span.stop}):
            here = LetterId(record.partition, record.offset)
            while wanted is not None and wanted < here:  # somebody has closed and purged it
                wanted = next(ids, None)
            if wanted is None:
                break
            if here == wanted:
                yield entry_of(record)
