"""Following several streams as one: rows in the order of one field, each once, as they are committed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

from streamzarr.errors import ConfigError
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.runtime.deadline import Deadline
from streamzarr.stream.field_rows import FieldRows
from streamzarr.stream.follow import rows_from
from streamzarr.stream.merge import BATCH_ROWS, Merged, MergedRows
from streamzarr.stream.rows import Rows
from streamzarr.stream.search import place_of


class MergedFollow:
    """An iterator over the rows of several streams in the order of one field, for ``for``.

    A row is given as soon as no stream can commit one that comes before it, which is up to the least of the
    streams' last values: **a stream that gets no rows holds the others back**, and one without any row does
    so from the beginning.

    Owned by one thread, but for :meth:`stop`, which any may call. The next item blocks until rows can be
    given, the timeout is over or it is stopped. An error of the store ends nothing: ask for the next item
    again, and no row is left out.

    Parameters
    ----------
    parts
        Where to begin in each stream; their ends do not matter.
    by
        The field: sorted in each of them.
    batch
        Rows that are given at a time, at most.
    poll, timeout, runtime
        As :meth:`Snapshot.follow`.

    Examples
    --------
    >>> import streamzarr as sz
    >>> from streamzarr.stream import Field, open_streams
    >>> for path, times in (("p0", [1, 4, 5]), ("p1", [2, 3])):
    ...     with sz.StreamWriter("memory://parts", path, schema={"time": Field("i8", sorted=True)}) as writer:
    ...         writer.append({"time": times})
    >>> both = [*open_streams("memory://parts").values()]
    >>> for rows in MergedFollow(both, "time", timeout=0):  # p1 may go on with another 3, or with 4
    ...     print(rows["time"], rows.streams)
    [1 2 3] [0 1 1]
    """

    def __init__(
        self,
        parts: Sequence[Rows],
        by: str,
        *,
        batch: int = BATCH_ROWS,
        poll: float = 0.1,
        timeout: float | None = None,
        runtime: Runtime = SYSTEM,
    ) -> None:
        if not poll > 0:
            raise ConfigError(f"poll: expected seconds, more than 0, got {poll}")
        self._left = [Rows(each.view, each.start, each.view.document.record.rows) for each in parts]
        self._by, self._batch = by, batch
        self._poll, self._timeout, self._runtime = poll, timeout, runtime
        self._bell, self._deadline = runtime.bell(), Deadline(runtime, timeout)
        self._batches: Iterator[MergedRows] = iter(())
        self._stopped = False

    @property
    def rows(self) -> tuple[int, ...]:
        """The number of the row that comes next in each stream."""
        return tuple(each.start for each in self._left)

    def stop(self) -> None:
        """End the iteration, also while somebody waits for its next item. Any thread may call it."""
        self._stopped = True
        self._bell.ring()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> MergedRows:
        """Return the next rows.

        Raises
        ------
        streamzarr.errors.KeyNotFoundError
            They were given up before they were asked for.
        streamzarr.errors.NodeNotFoundError
            A stream is gone, or another one was made in its place.
        streamzarr.errors.StoreError
            The store failed, or an older root was put back.
        """
        while not self._stopped:
            if (rows := next(self._batches, None)) is not None:  # after an error there is none: look anew
                self._count(rows)
                return rows
            self._left = [rows_from(each.view.renewed(), each.start) for each in self._left]
            settled = self._settled()
            if len(settled):
                self._batches = settled.batches(self._batch)
            elif self._deadline.passed:
                break
            else:
                self._bell.wait(min(self._poll, self._deadline.left))
        raise StopIteration

    def _count(self, given: MergedRows) -> None:
        self._left = [
            each.between(each.start + int((given.streams == number).sum()), each.stop)
            for number, each in enumerate(self._left)
        ]
        self._deadline = Deadline(self._runtime, self._timeout)

    def _settled(self) -> Merged:
        """Return the rows before which none can come any more."""
        if not all(each.stop for each in self._left):
            return Merged(tuple(each.between(each.start, each.start) for each in self._left), self._by)
        ends = [FieldRows(each.view, self._by, each.stop - 1, each.stop)[0] for each in self._left]
        least = min(range(len(ends)), key=ends.__getitem__)  # of equal ones the first: it may go on with that
        parts = []
        for number, each in enumerate(self._left):
            count = place_of(each[self._by], ends[least], "right" if number <= least else "left")
            parts.append(each.between(each.start, each.start + count))
        return Merged(tuple(parts), self._by)
