"""Records of several topics in one transaction of SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamzarr.errors import FencedError, QueueError
from streamzarr.queue.atomic import AtomicWriter
from streamzarr.queue.base import NewRecord
from streamzarr.queue.embedded import log, presence
from streamzarr.queue.embedded.database import Database
from streamzarr.queue.embedded.encode import Encoder

# Made when it is first needed: files of before have no such table.
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS writers (
    name TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL                          -- of the newest writer of this name
) WITHOUT ROWID
"""


class EmbeddedAtomicWriter(AtomicWriter):
    """Holds the number of its epoch; a transaction writes only while that is the newest of the name."""

    def __init__(self, where: str, database: Database, max_record_bytes: int, name: str) -> None:
        self._where, self._database, self._name = where, database, name
        self._encoder = Encoder(where, database, max_record_bytes)
        self._closed = False
        with database.write() as db:
            db.execute(_TABLE)
            (self._epoch,) = db.execute(
                "INSERT INTO writers VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1 "
                "RETURNING epoch",
                (name,),
            ).fetchone()

    def write(self, records: Sequence[tuple[str, NewRecord]]) -> None:  # noqa: D102
        if self._closed:
            raise QueueError(f"{self._where}: the writer {self._name!r} is closed")
        pending: dict[int, log.Pending] = {}
        for topic, record in records:
            [(partition, data, timestamp)] = self._encoder.encode(topic, [record])
            found = pending.setdefault(partition, log.Pending())
            found.records.append(data)
            found.newest = max(found.newest, timestamp)
        with self._database.write() as db:
            (epoch,) = db.execute("SELECT epoch FROM writers WHERE name = ?", (self._name,)).fetchone()
            if epoch != self._epoch:
                raise FencedError(
                    f"{self._where}: writer {self._name!r} has epoch {self._epoch}, a newer one {epoch}"
                )
            if missing := log.append(db, pending):
                raise self._encoder.forget(missing)  # and nothing of it is written
        presence.ring(self._database.live)

    def close(self) -> None:  # noqa: D102
        self._closed = True
        self._database.close()
