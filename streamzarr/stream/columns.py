"""All fields in the hands of the writer: they take rows together, or none of them does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from streamzarr.runtime import Runtime
from streamzarr.stores import Store
from streamzarr.stream import failpoints
from streamzarr.stream.batches import Rows, check_sorted
from streamzarr.stream.bounds import Bounds
from streamzarr.stream.chunks import FencedChunks
from streamzarr.stream.column import Column
from streamzarr.stream.failpoints import Failpoint
from streamzarr.stream.record import CommitRecord
from streamzarr.stream.root import Root
from streamzarr.stream.schema import is_sorted
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.metadata import ArrayMetadataV3
from streamzarr.zarr.nodes.paths import key_below


class Columns:
    """The fields of the stream at `path`. Owned by the writer's thread.

    What puts or reads chunks blocks on the store, and works on several fields at a time where that likes it.
    """

    def __init__(self, store: Store, path: str, root: Root, runtime: Runtime) -> None:
        self.url = root.url
        self.fields: Mapping[str, ArrayMetadataV3] = root.document.fields
        self._chunks = FencedChunks(store, root)
        self._columns = {
            name: Column(key_below(path, name), array, self._chunks, store.url, runtime)
            for name, array in self.fields.items()
        }
        self._threads = min(store.capabilities.in_flight, len(self._columns))
        self._last: Rows = {}
        """The last value of each sorted field, as an array of one row."""
        self._bounds: dict[str, Bounds] = {}
        self.unit = math.lcm(*(column.chunk_rows for column in self._columns.values()))
        """Rows after which the chunks of all fields end together."""

    @property
    def rows(self) -> int:
        """Number of rows, those in memory included."""
        return next(iter(self._columns.values())).tail.rows

    @property
    def nbytes(self) -> int:
        """Bytes of the chunks that are not full."""
        return sum(column.tail.nbytes for column in self._columns.values())

    def recover(self, record: CommitRecord) -> None:
        """Begin behind what is committed; see :meth:`Column.recover`."""

        def begin(name: str) -> None:
            since = max(record.first_row, record.since.get(name, 0))
            self._columns[name].recover(record.rows, since=since)

        self._each(begin)
        self._bounds = {
            name: record.bounds.get(name, Bounds(column.chunk_rows))
            for name, column in self._columns.items()
            if is_sorted(self.fields[name]) and (name in record.bounds or not record.rows)
        }
        self._last = {name: column.last for name, column in self._columns.items() if column.last is not None}

    @property
    def last(self) -> Rows:
        """The last value of each sorted field that has one, rows in memory included, as an array of one."""
        return dict(self._last)

    @property
    def put_bytes(self) -> int:
        """Bytes of chunks that were put so far."""
        return self._chunks.put_bytes

    def check_order(self, rows: Rows) -> None:
        """Raise ``ValueError`` unless each sorted field goes on without decreasing."""
        check_sorted(rows, self.fields, self._last, self.url)

    def take(self, rows: Rows, check: Callable[[], None]) -> None:
        """Add rows to every field, and put each chunk that becomes full; nothing was added when it raises.

        Chunks that were put then are rewritten by the rows that come instead.

        Parameters
        ----------
        check
            Called at last; what it raises counts, too.

        Raises
        ------
        streamzarr.errors.FencedError, streamzarr.errors.StoreError
            As :meth:`FencedChunks.put`.
        """
        marks = {name: column.tail.mark() for name, column in self._columns.items()}
        try:
            self._each(lambda name: self._columns[name].take(rows[name]))
            check()
        except BaseException:
            for name, mark in marks.items():
                self._columns[name].tail.undo(mark)
            raise
        ends = {name: each[-1:].copy() for name, each in rows.items() if is_sorted(self.fields[name])}
        start = self.rows - len(next(iter(rows.values())))
        self._bounds = {name: each.extended(rows[name], start) for name, each in self._bounds.items()}
        self._last |= {name: end for name, end in ends.items() if len(end)}

    def bounds(self, rows: int) -> dict[str, Bounds]:
        """Return the bounds of sorted fields in the first `rows` rows."""
        return {name: each.upto(rows) for name, each in self._bounds.items()}

    def put_tails(self) -> None:
        """Put the chunks that are not full; raises as :meth:`take`."""

        def put(name: str) -> None:
            self._columns[name].put_tail()
            failpoints.reach(Failpoint.AFTER_TAIL)

        self._each(put)

    def settle(self) -> None:
        """Forget what was known of full chunks: they are committed, and not put again."""
        self._chunks.keep_only({key for column in self._columns.values() for key in column.tail_keys()})

    def _each(self, action: Callable[[str], None]) -> None:
        parallel.for_each(action, self._columns, self._threads)
