"""The SQLite file of an embedded broker: schema, transactions, errors, and what happens at fork."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from streamzarr.errors import (
    AccessDeniedError,
    ConfigError,
    DamagedError,
    QueueError,
    QueueReplacedError,
    StreamzarrError,
)
from streamzarr.runtime import SYSTEM, Runtime

APPLICATION_ID: Final = 0x535A5131  # "SZQ1"
SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE topics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE partitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,           -- never reused: a topic made again is another one
    topic INTEGER NOT NULL REFERENCES topics(id),
    number INTEGER NOT NULL,
    first INTEGER NOT NULL DEFAULT 0,               -- lowest offset still there
    next INTEGER NOT NULL DEFAULT 0,                -- offset of the next record
    UNIQUE (topic, number)
);
CREATE TABLE batches (                              -- see log.py for `position` and `data`
    position INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    newest INTEGER NOT NULL,                        -- latest timestamp in it, ms
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL DEFAULT 0           -- grows with every change below
);
CREATE TABLE members (
    id TEXT PRIMARY KEY,                            -- one join of one consumer; names its files
    grp INTEGER NOT NULL REFERENCES groups(id),
    topics TEXT NOT NULL,                           -- JSON array of names
    session_ms INTEGER NOT NULL
);
CREATE TABLE assignments (
    grp INTEGER NOT NULL REFERENCES groups(id),
    partition INTEGER NOT NULL REFERENCES partitions(id),
    owner TEXT,                                     -- member that may commit
    target TEXT,                                    -- member that should become the owner
    PRIMARY KEY (grp, partition)
) WITHOUT ROWID;
CREATE TABLE committed (
    grp INTEGER NOT NULL REFERENCES groups(id),
    partition INTEGER NOT NULL REFERENCES partitions(id),
    position INTEGER NOT NULL,                      -- next offset to read
    PRIMARY KEY (grp, partition)
) WITHOUT ROWID;
"""
_NOTES = """
CREATE TABLE IF NOT EXISTS notes (                  -- what a group has kept with a position
    grp INTEGER NOT NULL REFERENCES groups(id),
    partition INTEGER NOT NULL REFERENCES partitions(id),
    note TEXT NOT NULL,
    PRIMARY KEY (grp, partition)
) WITHOUT ROWID;
"""
"""Not part of format 1 as it began, and nothing that its readers would miss: made where it is not there."""


class Database:
    """One connection to the file, opened when first used and opened again after a fork.

    Thread-safe: a transaction holds the lock from start to end, so callers keep transactions short and
    call nothing foreign inside. A write waits for other processes' writes at most `busy_timeout` seconds.

    Raises
    ------
    streamzarr.errors.ConfigError
        The path cannot hold a queue: no such directory, or a file of something else.
    streamzarr.errors.DamagedError
        The file is damaged.
    streamzarr.errors.QueueReplacedError
        The file was deleted or replaced while it was in use.
    streamzarr.errors.AccessDeniedError
        The file may not be written.
    streamzarr.errors.QueueError
        The file is locked for too long, cannot be opened just now, or the disk is full.
    """

    def __init__(self, path: str, busy_timeout: float, runtime: Runtime = SYSTEM) -> None:
        self.path = path
        self.busy_timeout = busy_timeout
        self.runtime = runtime
        self._lock = runtime.condition()  # nobody waits on it: it is a lock that one thread may take twice
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)  # device and inode of what is open
        self._opened = 0
        _databases.add(self)

    @property
    def live(self) -> str:
        """Directory beside the file for what only lives as long as a process: FIFOs and heartbeats."""
        return f"{self.path}-live"

    def version(self) -> tuple[int, int]:
        """Return a value that changes when another connection has changed the file; a few µs."""
        with self._lock, self._explained():
            (version,) = self._connect().execute("PRAGMA data_version").fetchone()
            return self._opened, version  # each connection counts for itself

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give a connection for one or more SELECT statements."""
        with self._lock, self._explained():
            yield self._connect()

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give a connection in a write transaction: durable when the block ends, undone when it raises."""
        with self._lock, self._explained():
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __del__(self) -> None:
        if getattr(self, "_connection", None) is not None:
            self.close()

    def _connect(self) -> sqlite3.Connection:
        if self._opened:
            self._check_file()
        if self._connection is None:
            directory = Path(self.path).parent
            if not directory.is_dir():
                raise ConfigError(f"sqlite:///{self.path}: the directory {directory} does not exist")
            connection = sqlite3.connect(
                f"file:{quote(self.path)}",
                uri=True,
                timeout=self.busy_timeout,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self._file = self._file_there()
            self._opened += 1
        return self._connection

    def _check_file(self) -> None:
        """Fail, now and ever after, if others would open another file: what ours takes nobody reads.

        Nor is the other one opened instead: it knows nothing of what its user is in the middle of.
        """
        if self._file_there() != self._file:
            self.close()
            raise QueueReplacedError(
                f"sqlite:///{self.path}: the file was deleted or replaced while it was in use; start again"
            )

    def _file_there(self) -> tuple[int, int]:
        try:
            found = os.stat(self.path)  # noqa: PTH116 - at each use, and Path.stat costs twice as much
        except FileNotFoundError:
            return (0, 0)
        return found.st_dev, found.st_ino

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if not self._is_ours(connection) or connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            Path(self.live).mkdir(exist_ok=True)
            # SQLite does not wait when two connections switch a new file to WAL at once; flock does.
            guard = os.open(self.live, os.O_RDONLY)
            try:
                fcntl.flock(guard, fcntl.LOCK_EX)
                if not self._is_ours(connection):
                    connection.executescript(
                        f"BEGIN IMMEDIATE; PRAGMA application_id={APPLICATION_ID};"
                        f"PRAGMA user_version={SCHEMA_VERSION}; {_SCHEMA} COMMIT;"
                    )
                connection.execute("PRAGMA journal_mode=WAL").fetchone()
            finally:
                os.close(guard)
        connection.execute(_NOTES)
        connection.execute("PRAGMA synchronous=FULL")  # NORMAL would lose flushed records on power loss
        connection.execute("PRAGMA wal_autocheckpoint=4096")  # 16 MiB: fewer and larger copies into the file
        connection.execute("PRAGMA journal_size_limit=67108864")  # what a burst leaves of the log, 64 MiB

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        """Tell whether the schema is there; false for a file that is still empty."""
        connection.execute("BEGIN")  # one look at all three: others may be making the file just now
        with connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application == APPLICATION_ID:
            if version != SCHEMA_VERSION:
                raise ConfigError(
                    f"sqlite:///{self.path}: a queue of format {version}, expected {SCHEMA_VERSION}; "
                    "use the streamzarr version that wrote it, or another file"
                )
            return True
        if objects:
            raise ConfigError(f"sqlite:///{self.path}: an SQLite database of something else, not a queue")
        return False

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if _primary(error) in _UNSURE:
                self.close()
            raise self._explain(error) from error
        except OSError as error:
            raise QueueError(f"sqlite:///{self.path}: {error.strerror or error}") from error

    def _explain(self, error: sqlite3.Error) -> StreamzarrError:
        where = f"sqlite:///{self.path}"
        match _primary(error):
            case sqlite3.SQLITE_NOTADB:
                return ConfigError(f"{where}: not a streamzarr queue (nor any SQLite database)")
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return QueueError(f"{where}: another process has kept it locked for {self.busy_timeout:g} s")
            case sqlite3.SQLITE_FULL:
                return QueueError(f"{where}: the disk is full")
            case sqlite3.SQLITE_CORRUPT:
                return DamagedError(f"{where}: the file is damaged ({error})")
            case sqlite3.SQLITE_PERM | sqlite3.SQLITE_READONLY:
                return AccessDeniedError(f"{where}: cannot be written ({error})")
            case sqlite3.SQLITE_CANTOPEN:  # too many open files, a directory that went away
                return QueueError(f"{where}: cannot be opened for writing ({error})")
            case _:
                return QueueError(f"{where}: {error}")


_UNSURE: Final = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
)
"""After these nobody knows what the connection holds: the next use opens another."""


def _primary(error: sqlite3.Error) -> int | None:
    """Return SQLite's result code: the low byte of an extended one."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


# A connection must not exist across a fork: SQLite keeps its file locks in process memory, so the child
# would believe that it holds the parent's, and the last real holder would delete the write-ahead log
# under it (https://www.sqlite.org/howtocorrupt.html, section 2.6). Hence: end transactions, close, fork,
# and let both sides open again when they need to.
_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_forking = SYSTEM.lock()
_held_for_fork: list[Database] = []


def _before_fork() -> None:
    _forking.acquire()  # two threads may fork at the same time
    for database in list(_databases):
        database._lock.acquire()
        _held_for_fork.append(database)
        database.close()


def _after_fork_in_parent() -> None:
    while _held_for_fork:
        _held_for_fork.pop()._lock.release()
    _forking.release()


def _after_fork_in_child() -> None:
    global _forking
    _forking = SYSTEM.lock()
    _held_for_fork.clear()
    for database in list(_databases):
        database._lock = database.runtime.condition()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
