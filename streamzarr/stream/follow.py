"""Following a stream: rows in order, each once, as they are committed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Self

from streamzarr.errors import ConfigError, KeyNotFoundError, StoreError
from streamzarr.options import integer
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.runtime.deadline import Deadline
from streamzarr.stream.rows import Rows
from streamzarr.stream.search import first_from
from streamzarr.stream.view import View


class Follow:
    """An iterator over the rows of a stream, for ``for`` and ``async for``; made by ``Snapshot.follow``.

    Owned by one thread or task, but for :meth:`stop`, which any may call. The next item blocks until rows are
    committed, the timeout is over or it is stopped; in ``async for`` a thread of the loop's executor blocks.
    An error of the store ends nothing: ask for the next item again, and no row is left out.

    It never reads a row but when a field of what it gives is indexed.
    """

    def __init__(
        self,
        view: View,
        start: int | Mapping[str, Any] | None = None,
        *,
        batch: int | None = None,
        poll: float = 0.1,
        timeout: float | None = None,
        runtime: Runtime = SYSTEM,
    ) -> None:
        if not poll > 0:
            raise ConfigError(f"poll: expected seconds, more than 0, got {poll}")
        self._batch = None if batch is None else integer("batch", batch, 1)
        self._poll, self._timeout, self._runtime = poll, timeout, runtime
        self._view = view
        self._wanted = start if isinstance(start, Mapping) else None
        self._row = _first(view, start if not isinstance(start, Mapping) else None)
        self._bell, self._lock = runtime.bell(), runtime.lock()
        self._deadline = Deadline(runtime, timeout)
        self._stopped = False

    @property
    def row(self) -> int:
        """The number of the row that comes next: where to go on after :meth:`stop`, also elsewhere."""
        return self._row

    def stop(self) -> None:
        """End the iteration, also while somebody waits for its next item. Any thread may call it."""
        self._stopped = True
        self._bell.ring()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Rows:
        """Return the next rows.

        Raises
        ------
        streamzarr.errors.KeyNotFoundError
            They were given up before they were asked for.
        streamzarr.errors.NodeNotFoundError
            The stream is gone, or another one was made in its place.
        streamzarr.errors.StoreError
            The store failed, or an older root was put back.
        """
        while not self._stopped:
            if not self._is_behind():
                self._renew()
            if (rows := self._take()) is not None:
                return rows
            if self._deadline.passed:
                break
            self._bell.wait(min(self._poll, self._deadline.left))
        raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Rows:
        """Return the next rows; raises as in ``for``. A task that is cancelled meanwhile loses none."""
        while not self._stopped:
            if not self._is_behind():
                await asyncio.to_thread(self._renew)
            if (rows := self._take()) is not None:
                return rows
            if self._deadline.passed:
                break
            await asyncio.to_thread(self._bell.wait, min(self._poll, self._deadline.left))
        raise StopAsyncIteration

    def _is_behind(self) -> bool:
        return self._wanted is None and self._row < self._view.document.record.rows

    def _renew(self) -> None:
        """Look at the stream. Harmless when its caller was cancelled: no row counts as given by it."""
        with self._lock:
            self._view = self._view.renewed()
            self._settle()

    def _settle(self) -> None:
        """Find the first row, if a value says which and it has come."""
        if self._wanted is None:
            return
        rows = self._view.document.record.rows
        new = Rows(self._view, self._row, rows)
        self._row += max((first_from(new[name], value) for name, value in self._wanted.items()), default=0)
        if self._row < rows:
            self._wanted = None

    def _take(self) -> Rows | None:
        """Return what is there of the rows that come next, and count it as given."""
        rows = rows_from(self._view, self._row)
        if self._wanted is not None or not len(rows):
            return None
        if self._batch is not None:
            rows = rows.between(self._row, self._row + self._batch)
        self._row, self._deadline = rows.stop, Deadline(self._runtime, self._timeout)
        return rows


def rows_from(view: View, row: int) -> Rows:
    """Return the rows from `row` on, which comes next to whom follows the stream; there may be none yet.

    Raises
    ------
    streamzarr.errors.KeyNotFoundError
        They were given up.
    streamzarr.errors.StoreError
        An older root was put back.
    """
    record = view.document.record
    if record.rows < row:
        raise StoreError(
            f"{view.url}: the stream has {record.rows} rows, but row {row} comes next: "
            "an older root was put back"
        )
    if row < record.first_row:
        raise KeyNotFoundError(
            f"{view.url}: row {row} comes next, but rows before {record.first_row} were "
            "given up; follow() a new snapshot from there"
        )
    return Rows(view, row, record.rows)


def _first(view: View, start: int | None) -> int:
    record = view.document.record
    if start is None:
        return record.first_row
    row = max(record.first_row, record.rows + start) if start < 0 else start
    if not record.first_row <= row <= record.rows:
        raise ConfigError(
            f"{view.url}: start is row {start}, expected one from {record.first_row} to {record.rows}"
        )
    return row
