
"""A store of one's own: values as rows of one SQLite table, opened by the URL ``table:///path/file.db``.

All that a store must do is in six methods; the rest of the contract has defaults, of which this one replaces
two to save time. Its test is three lines (docs/stores.md), and it passes.

python examples/custom_store.py
"""

import os
import sqlite3
import tempfile
import threading
import uuid
from contextlib import closing
from pathlib import Path

import numpy as np

import streamzarr as sz
from streamzarr.errors import KeyNotFoundError, PreconditionFailedError
from streamzarr.stores import (
    Capabilities,
    DirListing,
    ObjectInfo,
    Store,
    StoredObject,
    StoreURL,
    check_key,
    check_prefix,
    probe_conditional_put,
    register_store,
    resolve_range,
)

SCHEMA = "CREATE TABLE IF NOT EXISTS v (key TEXT PRIMARY KEY, data BLOB NOT NULL, etag TEXT NOT NULL)"


class TableStore(Store):
    """Rows of the table ``v`` in a SQLite file. Thread-safe and picklable: each thread has its connection."""

    def __init__(self, path: str) -> None:
        self._path = str(Path(path).resolve())
        self._local = threading.local()

    @classmethod
    def from_url(cls, url: StoreURL) -> "TableStore":
        url.reject_options()  # a misspelt option is an error
        return cls(f"/{url.path}")

    @property
    def url(self) -> str:
        return str(StoreURL("table", path=self._path.lstrip("/")))

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(conditional_put=True, atomic_put=True)

    # Reading

    def get(self, key, byte_range=None):
        data = self.fetch(key).data
        return data if byte_range is None else data[slice(*resolve_range(byte_range, len(data)))]

    def fetch(self, key):
        return StoredObject(*self._row(key, "data, etag"))

    def head(self, key):
        return ObjectInfo(*self._row(key, "length(data), etag"))

    def _row(self, key, columns):
        check_key(key)
        row = self._connect().execute(f"SELECT {columns} FROM v WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyNotFoundError(f"{self.url}: no value under key {key!r}")
        return row

    # Writing: each in a transaction, so that nothing comes between a condition and what depends on it

    def put(self, key, data, *, if_match=None, if_none_match=False):
        check_key(key)
        with self._transaction() as connection:
            self._check(connection, key, if_match, if_none_match)
            return self._write(connection, key, data)

    def put_many(self, items):
        with self._transaction() as connection:  # one sync of the disk for all
            for key, data in items:
                check_key(key)
                self._write(connection, key, data)

    def delete(self, key, *, if_match=None):
        check_key(key)
        with self._transaction() as connection:
            self._check(connection, key, if_match, False)
            connection.execute("DELETE FROM v WHERE key = ?", (key,))

    def _write(self, connection, key, data):
        etag = uuid.uuid4().hex
        connection.execute("INSERT OR REPLACE INTO v VALUES (?, ?, ?)", (key, bytes(data), etag))
        return etag

    def _check(self, connection, key, if_match, if_none_match):
        row = connection.execute("SELECT etag FROM v WHERE key = ?", (key,)).fetchone()
        found = None if row is None else row[0]
        if (if_none_match and found is not None) or (if_match is not None and found != if_match):
            raise PreconditionFailedError(
                f"{self.url}: key {key!r} has etag {found!r}, expected {if_match!r}"
            )

    # Listing

    def list(self, prefix=""):
        check_prefix(prefix)
        query, bounds = "SELECT key FROM v", ()
        if prefix:  # "0" comes right after "/"
            query, bounds = query + " WHERE key > ? AND key < ?", (f"{prefix}/", f"{prefix}0")
        return iter([key for (key,) in self._connect().execute(query, bounds).fetchall()])

    def list_dir(self, prefix=""):
        return DirListing.of(prefix, self.list(prefix))

    # Connections

    def _connect(self):
        if getattr(self._local, "pid", None) != os.getpid():  # a forked child must not use its parent's
            self._local.connection = sqlite3.connect(self._path, timeout=60, isolation_level=None)
            self._local.connection.execute(SCHEMA)
            self._local.pid = os.getpid()
        return self._local.connection

    def _transaction(self):
        connection = self._connect()
        connection.execute("BEGIN IMMEDIATE")
        return connection  # as a context manager it commits, or rolls back when an error passes

    def __reduce__(self):
        return TableStore, (self._path,)


def main() -> None:
    """Write an array into a table and read it back."""
    # In this process. A package does it for all of them, by [project.entry-points."streamzarr.stores"].
    register_store("table", TableStore.from_url)
    with tempfile.TemporaryDirectory() as folder:
        url = f"table://{folder}/arrays.db"
        field = np.linspace(0, 1, 1000, dtype="f4").reshape(50, 20)
        z = sz.create_array(f"{url}", shape=(50, 20), chunks=(10, 20), dtype="f4", compressors="zstd")
        z[...] = field
        assert np.array_equal(sz.open_array(url)[7:33], field[7:33])
        probe_conditional_put(z.store)  # what exactly-once streams ask of a store
        with closing(sqlite3.connect(f"{folder}/arrays.db")) as table:
            for key, size in table.execute("SELECT key, length(data) FROM v ORDER BY key"):
                print(f"{key:12} {size:5} bytes")
        print("the array read back from the table is the one that was written")


if __name__ == "__main__":
    main()
