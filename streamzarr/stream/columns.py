"""All fields in the hands of the writer: they take rows together, or none of them does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from streamzarr.runtime import Runtime
from streamzarr.stores import Store
from streamzarr.stream import failpoints
from streamzarr.stream.batches import Rows, check_sorted
from streamzarr.stream.bounds import Bounds
from streamzarr.stream.chunks import FencedChunks, puts_in_flight
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

    What puts or reads chunks blocks on the store, and works on several fields at a time where that likes it,
    or where there is much to encode.
    """

    def __init__(self, store: Store, path: str, root: Root, runtime: Runtime) -> None:
        self.url = root.url
        self.fields: Mapping[str, ArrayMetadataV3] = root.document.fields
        self._store, self._path, self._runtime = store, path, runtime
        self._chunks = FencedChunks(store, root)
        self._columns = {name: self._column(name, array) for name, array in self.fields.items()}
        self._last: Rows = {}
        """The last value of each sorted field, as an array of one row."""
        self._bounds: dict[str, Bounds] = {}
        self.whole = True
        """Whether all fields have the same rows, and nothing is being put; else an interrupt came."""

    @property
    def unit(self) -> int:
        """Rows after which the chunks of all fields end together."""
        return math.lcm(*(column.chunk_rows for column in self._columns.values()))

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

        threads = self._threads(len(self._columns), 0, self._store.capabilities.in_flight)
        parallel.for_each(begin, self._columns, threads)
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

    def add(self, name: str, array: ArrayMetadataV3, committed: int) -> None:
        """Take on one more field, which was just committed: rows so far are its fill value.

        Those that are not `committed` yet are put as they become full; raises as :meth:`take`.
        """
        column, rows = self._column(name, array), self.rows
        column.begin(committed)
        filled = column.fill(rows - committed)
        column.take(filled)
        if is_sorted(array):
            if not committed:
                self._bounds[name] = Bounds(column.chunk_rows).extended(filled, 0)
            if rows:
                self._last[name] = column.fill(1)
        self._columns[name] = column
        self.fields = {**self.fields, name: array}

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
        self.whole = False
        marks, known = (
            {name: each.tail.mark() for name, each in self._columns.items()},
            (self._bounds, self._last),
        )
        try:
            full = [
                (column, block)
                for name, column in self._columns.items()
                for block in column.tail.extend(rows[name])
            ]
            nbytes = sum(block.rows.nbytes for _, block in full)
            parallel.for_each(lambda each: each[0].put(each[1]), full, self._putting(len(full), nbytes))
            check()
            ends = {name: each[-1:].copy() for name, each in rows.items() if is_sorted(self.fields[name])}
            start = self.rows - len(next(iter(rows.values())))
            self._bounds = {name: each.extended(rows[name], start) for name, each in self._bounds.items()}
            self._last = self._last | {name: end for name, end in ends.items() if len(end)}
        except parallel.AbandonedInterrupt:
            raise
        except BaseException:
            for name, mark in marks.items():
                self._columns[name].tail.undo(mark)
            self._bounds, self._last = known
            self.whole = True
            raise
        self.whole = True

    def bounds(self, rows: int) -> dict[str, Bounds]:
        """Return the bounds of sorted fields in the first `rows` rows."""
        return {name: each.upto(rows) for name, each in self._bounds.items()}

    def put_tails(self) -> None:
        """Put the chunks that are not full; raises as :meth:`take`."""

        def put(name: str) -> None:
            self._columns[name].put_tail()
            failpoints.reach(Failpoint.AFTER_TAIL)

        nbytes = sum(column.bytes_of_rows for column in self._columns.values())
        parallel.for_each(put, self._columns, self._putting(len(self._columns), nbytes))

    def settle(self) -> None:
        """Forget what was known of full chunks: they are committed, and not put again."""
        self._chunks.keep_only({key for column in self._columns.values() for key in column.tail_keys()})

    def _putting(self, count: int, nbytes: int) -> int:
        """Return how many threads put `nbytes` in so many chunks.

        Those that put little wait for a disk more than they work.
        """
        if nbytes < count * parallel.LARGE_CHUNK_BYTES:
            return self._threads(count, nbytes, puts_in_flight(self._store, len(self._columns)))
        return self._threads(count, nbytes, self._store.capabilities.in_flight)

    def _threads(self, count: int, nbytes: int, in_flight: int) -> int:
        each = nbytes // count if count else 0
        return parallel.divide(count, each, cpus=parallel.cores(), in_flight=in_flight).threads

    def _column(self, name: str, array: ArrayMetadataV3) -> Column:
        return Column(key_below(self._path, name), array, self._chunks, self._store.url, self._runtime)
